"""How many files and connections a process may have open."""

import contextlib
import errno
import resource

EXHAUSTED = {errno.EMFILE, errno.ENFILE}
"""The system's errors when this process, or all together, have too many files open."""


def allow_all() -> None:
    """Allows as many as the system grants. A connection needs one or two, a worker three; a Mac begins with 256."""
    with contextlib.suppress(OSError, ValueError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
