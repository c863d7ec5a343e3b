"""`make stop`: ends what `make run` started here, and waits until its data is saved."""

import fcntl
import os
import signal
import sys

from local.stack import HOME


def main() -> None:
    """Returns when nothing runs."""
    try:
        lock = (HOME / "run.lock").open("r+")
    except FileNotFoundError:
        print("Nothing runs here")
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("Nothing runs here")
        except OSError:
            os.kill(int(lock.read()), signal.SIGTERM)
            fcntl.flock(lock, fcntl.LOCK_EX)  # free when it has ended
            print("Stopped")


if __name__ == "__main__":
    sys.exit(main())
