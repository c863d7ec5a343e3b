"""Every read of the tables, whether it has to be strongly consistent, and why. A read without a row fails the tests.

For a new read say what goes wrong if it sees an older state. If nothing does, make it eventual: that costs half.
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
    "Messages.items_at": (["strong"], "a text that was redacted a moment ago goes out in no event any more"),
    "Messages.page": (["strong"], "it holds all up to the head that was read before it: a sync without a hole"),
    "Calls.latest": (["strong"], "what may happen to a call is decided on it"),
    "Calls.with_head": (
        ["strong", "strong"],
        "a phone believes both: it has every message up to the head, and one that has heard of the end must not ring",
    ),
    "Calls.logged": (
        ["strong"],
        "who acts on a call right after its end is told that it has ended, not that it never was",
    ),
    "Calls.log": (["strong"], "a call that has ended is no longer the live one, so it has to be in the log"),
    "Connections.get": (["strong"], "whether a side is present is told from what its leaving connection said last"),
    "Connections.get_maybe_stale": (
        ["eventual", "strong"],
        "but for `away` a row never changes, and a client says `away` again if a pong tells it otherwise; its first "
        "frame follows its $connect at once, so that a row which is not there is looked for again",
    ),
    "Connections.of_booking": (
        ["eventual"],
        "an index has no other; whom it does not show yet finds the message by ping or sync",
    ),
}
"""By adapter and method: the consistency of its requests, in order, if nothing is found."""
