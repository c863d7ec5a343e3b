"""Python runs this at its start. In a function's worker it does what the embedded AWS leaves out.

It sets the variable that says how the container was started, as Lambda does. It copies what the function logs to one
file: the embedded AWS drops the logs of WebSocket invocations, so its CloudWatch Logs are incomplete. And it gives way
to the embedded AWS where CPU is short: all workers wait for its single thread, and give up after a while.
"""

import contextlib
import os
import sys
from typing import TextIO

NICENESS = 5


class Copied:
    """A text stream whose whole lines also go to a file, marked with the function's name."""

    def __init__(self, stream: TextIO, file: TextIO, name: str) -> None:
        self._stream = stream
        self._file = file
        self._name = name
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        if lines:
            with contextlib.suppress(OSError):  # the disk may be full: a request must not fail because of its log
                self._file.write("".join(f"{self._name}\t{line}\n" for line in lines))
                self._file.flush()
        return self._stream.write(text)

    def __getattr__(self, attribute: str) -> object:
        return getattr(self._stream, attribute)


if "_LAMBDA_FUNCTION_ARN" in os.environ:
    os.nice(NICENESS)
    os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] = "on-demand"
    if path := os.environ.get("NAVIETAKIE_FUNCTION_LOG"):
        log = open(path, "a")  # noqa: SIM115  (it stays open as long as the worker lives)
        sys.stderr = Copied(sys.stderr, log, os.environ["AWS_LAMBDA_FUNCTION_NAME"])
