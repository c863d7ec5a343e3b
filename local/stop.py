"""`make stop`: ends what `make run` has started here, and waits until its data is saved."""

import contextlib
import fcntl
import os
import signal
from pathlib import Path

from local import embedded
from local.stack import HOME


def main(home: Path = HOME) -> None:
    """Returns when nothing runs any more that `make run` has started in the folder `home`."""
    ran = False
    with contextlib.suppress(FileNotFoundError), (home / "run.lock").open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            ran = True
            os.kill(int(lock.read()), signal.SIGTERM)
            fcntl.flock(lock, fcntl.LOCK_EX)  # we get the lock when it has ended
        ran |= embedded.end(home)  # a `make run` that was killed leaves it running
    print("Stopped" if ran else "Nothing runs here")


if __name__ == "__main__":
    main()
