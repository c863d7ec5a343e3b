"""Every read of the tables, whether it has to be strongly consistent, and why. A read without a row fails the tests.

A new read: say what goes wrong for whom if it sees an older state. If nothing does, it is eventual, at half the price.
"""

from typing import Final, Literal

Consistency = Literal["strong", "eventual"]

READS: Final[dict[str, tuple[list[Consistency], str]]] = {
    "Messages.head": (
        ["strong"],
        "who may write is decided on it, and a client learns from it that it has everything",
    ),
    "Messages.marker": (["strong"], "a retry right after its first try has to find it"),
    "Messages.message": (["strong"], "a repeat is answered with an original that may have been stored a moment ago"),
    "Messages.read_again": (["strong"], "a text that was redacted a moment ago goes out in no event any more"),
    "Messages.page": (["strong"], "it holds all up to the head that was read before it: a sync without a hole"),
    "Calls.latest": (["strong"], "what may happen to a call is decided on it"),
    "Calls.latest_as_seen": (["strong"], "a phone believes it: one that has heard of the end must not ring again"),
    "Calls.logged": (
        ["strong"],
        "who acts on a call right after its end is told that it has ended, not that it never was",
    ),
    "Calls.log": (["strong"], "a call that has ended is no longer the live one, so it has to be in the log"),
    "Connections.get": (["strong"], "a client's first frame follows its $connect at once"),
    "Connections.of_booking": (
        ["eventual"],
        "an index has no other; whom it does not show yet finds the message by ping or sync",
    ),
}
"""By adapter and method: the consistency of its requests, in their order, where nothing is found."""
