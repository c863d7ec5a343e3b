"""What a client knows about its booking, and how it heals. Pure."""

from dataclasses import dataclass, field
from typing import Any

Fields = dict[str, Any]
BEGINNING = "1970-01-01T00:00:00.000000Z"
NOTHING = {"driver": {"delivered": 0, "read": 0}, "passenger": {"delivered": 0, "read": 0}}


def disowns(frame: Fields) -> bool:
    """Whether an `error` says that the server does not know this connection.

    Only `not_found` does: a server that cannot look up the connection cannot name its booking either.
    """
    return frame["booking_code"] is None and frame["error"]["code"] == "not_found"


@dataclass
class View:
    """`messages` have no hole from after `floor` up to `through`. `floor` None: nothing is known yet."""

    floor: int | None = None
    through: int = 0
    head: int = 0
    epoch: str | None = None
    messages: list[Fields] = field(default_factory=list[Fields])
    receipts: Fields = field(default_factory=lambda: NOTHING)
    call: Fields | None = None
    _ahead: dict[int, Fields] = field(default_factory=dict[int, Fields])
    _redacted: set[int] = field(default_factory=set[int])

    @property
    def hole(self) -> bool:
        """Whether a message is known to exist that is not here."""
        return self.floor is not None and (bool(self._ahead) or self.head > self.through)

    @property
    def after(self) -> str | None:
        """The `after` of a sync: the last message before any hole. None asks for the newest page."""
        if self.floor is None:
            return None
        return self.messages[-1]["timestamp"] if self.messages else BEGINNING

    def offer(self, message: Fields) -> None:
        """Takes a message from a push or an ack."""
        message = self._as_left(message)
        self.head = max(self.head, message["seq"])
        if message["seq"] > self.through:
            self._ahead[message["seq"]] = message
        if self.floor is not None:
            self._close_up()

    def admit(self, frame: Fields) -> None:
        """Takes a frame of a sync. A gap before part 0: messages have expired. A gap before a later part is a hole."""
        first = frame["part"] == 0
        self.epoch = frame["epoch"]
        self.head = max(self.head, frame["head_seq"])
        messages = [self._as_left(message) for message in frame["messages"]]
        if first and self.floor is None:
            floor: int = (messages[0]["seq"] if messages else frame["through_seq"] + 1) - 1
            self.floor = self.through = floor
            self._ahead = {seq: it for seq, it in self._ahead.items() if seq > floor}
        self._ahead |= {it["seq"]: it for it in messages if it["seq"] > self.through}
        if first:
            for seq in sorted(seq for seq in self._ahead if seq <= frame["through_seq"]):
                self.messages.append(self._ahead.pop(seq))
            self.through = max(self.through, frame["through_seq"])
        if self.floor is not None:
            self._close_up()

    def stands(self, frame: Fields) -> bool:
        """Takes the standing from a pong or the last frame of a sync. Returns whether there is more to ask for."""
        self.head = max(self.head, frame["head_seq"])
        self.hear_receipts(frame["receipts"])
        call = frame["call"]
        if call is not None and "timestamp" in call:
            self.hear_call(call)
        return self.hole or self._is_news(call)

    def hear_receipts(self, receipts: Fields) -> None:
        """Takes receipts. None of them moves back."""
        self.receipts = {
            side: {kind: max(seq, receipts[side][kind]) for kind, seq in marks.items()}
            for side, marks in self.receipts.items()
        }

    def hear_call(self, call: Fields) -> None:
        """Takes a call, unless a newer one or a newer version of it is known."""
        if self._is_news(call):
            self.call = call

    def start_over(self) -> None:
        """Forgets everything, because the server has another history."""
        self.floor, self.through, self.head, self.epoch = None, 0, 0, None
        self.messages, self._ahead, self._redacted = [], {}, set()

    def _as_left(self, message: Fields) -> Fields:
        """The message as a redaction leaves it, if one is known: notices also blank copies that come later."""
        about: Fields = (message["metadata"] or {}) if message["message_type"] == "system" else {}
        if about.get("event") == "message_redacted":
            self._redacted.add(about["seq"])
            self.messages = [self._blanked(it) for it in self.messages]
            self._ahead = {seq: self._blanked(it) for seq, it in self._ahead.items()}
        return self._blanked(message)

    def _blanked(self, message: Fields) -> Fields:
        return {**message, "message": "", "metadata": None} if message["seq"] in self._redacted else message

    def _is_news(self, call: Fields | None) -> bool:
        if call is None:
            return False
        known = self.call
        return known is None or (call["call_id"], call["version"]) > (known["call_id"], known["version"])

    def _close_up(self) -> None:
        while (message := self._ahead.pop(self.through + 1, None)) is not None:
            self.messages.append(message)
            self.through += 1
