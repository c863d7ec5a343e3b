"""`make stop`: ends what `make run` started here, and waits until its data is saved."""

import contextlib
import fcntl
import os
import signal
from pathlib import Path

from local import embedded
from local.stack import HOME


def main(home: Path = HOME) -> None:
    """Returns when nothing runs that `make run` started in the folder `home`."""
    ran = False
    with contextlib.suppress(FileNotFoundError), (home / "run.lock").open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            ran = True
            os.kill(int(lock.read()), signal.SIGTERM)
            fcntl.flock(lock, fcntl.LOCK_EX)  # free when it has ended
        ran |= embedded.end(home)  # a killed `make run` leaves it running
    print("Stopped" if ran else "Nothing runs here")


if __name__ == "__main__":
    main()
