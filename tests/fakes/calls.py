"""The calls table in memory, beside the messages table in memory: every method is one atomic step, as in DynamoDB."""

from threading import RLock

from navietakie.aws.tables.calls import LogPage, VersionConflict
from navietakie.domain import instants
from navietakie.domain.call import Call
from navietakie.domain.conversation import Head
from navietakie.domain.message import Message, Side
from navietakie.domain.orders import NO_TOKEN
from tests.fakes.messages import FakeMessages


class FakeCalls:
    def __init__(self, messages: FakeMessages) -> None:
        self._lock = RLock()
        self._messages = messages
        self.kept: dict[str, Call] = {}
        self.ended: dict[str, dict[str, tuple[Call, int]]] = {}
        self.leavings: dict[tuple[str, Side], int] = {}

    def latest(self, booking_code: str) -> Call | None:
        with self._lock:
            return self._with_leavings(self.kept.get(booking_code))

    def logged(self, booking_code: str, call_id: str, now: int) -> Call | None:
        with self._lock:
            for call, expires_at in self.ended.get(booking_code, {}).values():
                if call.call_id == call_id and expires_at > instants.to_seconds(now):
                    return call
            return None

    def log(self, booking_code: str, *, now: int, limit: int, before: str | None = None) -> LogPage:
        with self._lock:
            log = sorted(self.ended.get(booking_code, {}).items(), reverse=True)
        alive = [
            call
            for start, (call, expires_at) in log
            if (before is None or start < before) and expires_at > instants.to_seconds(now)
        ]
        return LogPage(alive[:limit], len(alive) > limit)

    def store_live(self, before: Call | None, after: Call, iat: int | None = NO_TOKEN) -> None:
        with self._lock:
            self._check(before, after.booking_code)
            by, rights = after.act.by, self._messages.head(after.booking_code).rights
            assert by is not None
            rights.check_token(by, iat)
            rights.check_open()
            if after.act.event == "initiate":
                rights.check_not_muted(by)
            self.kept[after.booking_code] = after

    def store_end(
        self, before: Call, after: Call, message: Message, *, head: Head, head_after: Head, expires_at: int
    ) -> None:
        with self._lock:
            self._check(before, after.booking_code)
            self._messages.store(
                message, before=head, after=head_after, expires_at=expires_at, now=0, token=message.message_id
            )
            self.kept[after.booking_code] = after
            self.ended.setdefault(after.booking_code, {})[after.timestamp] = (after, expires_at)

    def note_left(self, booking_code: str, call_id: str, side: Side, left_at: int) -> Call | None:
        with self._lock:
            call = self.kept.get(booking_code)
            known = self.leavings.get((call_id, side))
            if call is None or call.call_id != call_id or call.state == "ended" or (known or left_at) > left_at:
                return None
            self.leavings[call_id, side] = left_at
            return self._with_leavings(call)

    def _with_leavings(self, call: Call | None) -> Call | None:
        """The call as it is read, with the leavings, which transitions do not write."""
        if call is None:
            return None
        left_at = {side: at for (call_id, side), at in self.leavings.items() if call_id == call.call_id}
        return call.model_copy(update={"left_at": left_at})

    def _check(self, before: Call | None, booking_code: str) -> None:
        there = self.kept.get(booking_code)
        wanted = (before.call_id, before.version) if before else None
        if (there and (there.call_id, there.version)) != wanted:
            raise VersionConflict(there)
