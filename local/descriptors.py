"""How many files and connections a process may have open."""

import contextlib
import errno
import resource

EXHAUSTED = {errno.EMFILE, errno.ENFILE}
"""What the system says when there are no more: of the process, or of all."""


def allow_all() -> None:
    """As many as the system grants: each connection is one or two, each worker three, and a Mac begins at 256."""
    with contextlib.suppress(OSError, ValueError):
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
