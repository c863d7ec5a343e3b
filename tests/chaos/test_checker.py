"""Tests the checker: with a history without a problem, and with the same history and one thing wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from clients.proving.checker import problems
from clients.proving.history import (
    Answered,
    Asked,
    Booking,
    Cut,
    Disowned,
    Event,
    Heard,
    History,
    Judged,
    Opened,
    Read,
    Rested,
    Synced,
    TimerLost,
    Told,
)
from clients.proving.view import View, disowns

NOTHING = {"driver": {"delivered": 0, "read": 0}, "passenger": {"delivered": 1, "read": 1}}


def message(seq: int, text: str, sender: str = "driver", **fields: Any) -> dict[str, Any]:
    return {
        "message_id": f"id-{seq}",
        "booking_code": "ride",
        "seq": seq,
        "timestamp": f"2026-03-01T08:00:0{seq}.000000Z",
        "sender": sender,
        "sender_id": None,
        "message_type": "text",
        "message": text,
        "client_message_id": text,
        "metadata": None,
        **fields,
    }


CALL = {
    "call_id": "c1",
    "timestamp": "2026-03-01T08:00:03.000000Z",
    "caller": "driver",
    "callee": "passenger",
    "state": "ended",
    "end_reason": "completed",
    "answered_at": "2026-03-01T08:00:03.500000Z",
    "answered_by": "phone",
    "ended_at": "2026-03-01T08:00:04.000000Z",
    "version": 3,
}
RINGING = {**CALL, "state": "ringing", "end_reason": None, "answered_at": None, "answered_by": None, "ended_at": None}
HELLO, HI = message(1, "hello"), message(2, "hi", "passenger")
ENDED = message(4, "Call ended", "system", message_type="call", client_message_id=None, metadata=CALL)
BYE = message(3, "bye")
WHERE: Any = {"booking": "ride", "client": "d"}


def event(of: Callable[..., Event], at: int, /, **fields: Any) -> Event:
    return of(**{"at": at, **WHERE, **fields})


def sent(at: int, number: int, stored: dict[str, Any]) -> list[Event]:
    fields = {"message": stored["message"], "client_message_id": stored["client_message_id"]}
    return [
        event(Asked, at, number=number, kind="send", sender=stored["sender"], fields=fields),
        event(Answered, at + 5, number=number, code=None, body={"message": stored, "duplicate": False}),
    ]


def acted(at: int, number: int, sender: str, action: str, call: dict[str, Any]) -> list[Event]:
    fields = {"action": action, "device_id": "phone", **({} if action == "initiate" else {"call_id": "c1"})}
    return [
        event(Asked, at, number=number, kind="call", sender=sender, fields=fields),
        event(Answered, at + 5, number=number, code=None, body={"call": call}),
    ]


READ: Any = {"number": 9, "kind": "receipt", "sender": "passenger", "fields": {"read": 1}}
EVENTS = [
    event(Opened, 0, connection="line", sender="driver"),
    *sent(10, 1, HELLO),
    *sent(20, 2, HI),
    *sent(30, 3, BYE),
    event(Heard, 31, frame={"type": "message", "message": BYE}),
    event(Synced, 40, floor=0, through=3, messages=(HELLO, HI, BYE)),
    *acted(50, 4, "driver", "initiate", {**RINGING, "version": 1}),
    *acted(60, 5, "passenger", "accept", {**RINGING, "state": "connected", "answered_by": "phone", "version": 2}),
    *acted(70, 6, "driver", "end", CALL),
    event(Asked, 80, **READ),
    event(Answered, 85, number=9, code=None, body={"receipts": NOTHING}),
    event(Rested, 90, floor=0, messages=(HELLO, HI, BYE, ENDED), receipts=NOTHING, call=CALL),
]
BOOKING = Booking(messages=[HELLO, HI, BYE, ENDED], calls=[CALL], head_seq=4, epoch="e", receipts=NOTHING)


def judged(events: list[Event] | None = None, **changes: Any) -> list[str]:
    booking = replace(BOOKING, **changes)
    return problems(History(seed=1, events=EVENTS if events is None else events, bookings={"ride": booking}))


def test_a_history_that_keeps_every_promise_has_no_problems() -> None:
    assert judged() == []


CLOSED = message(2, "closed", "system", message_type="system", metadata={"event": "booking_closed"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"messages": [HELLO, HI, ENDED]}, "the sequence is"),
        ({"messages": [HELLO, HI, {**BYE, "seq": 2}, ENDED]}, "the sequence is"),
        ({"head_seq": 5}, "the head is 5"),
        ({"messages": [HELLO, {**HI, "timestamp": HELLO["timestamp"]}, BYE, ENDED]}, "comes after"),
        ({"messages": [HELLO, {**HI, "message_id": "id-1"}, BYE, ENDED]}, "have one id"),
        ({"messages": [HELLO, HI, {**BYE, "message": "goodbye"}, ENDED]}, "is not there as it was"),
        ({"messages": [HELLO, HI, {**BYE, "client_message_id": "hello"}, ENDED]}, "both hold"),
        ({"messages": [HELLO, {**HI, "message": "whisper"}, BYE, ENDED]}, "nobody sent it"),
        ({"messages": [HELLO, CLOSED, BYE, ENDED]}, "in the closed booking"),
        ({"receipts": {**NOTHING, "driver": {"delivered": 0, "read": 3}}}, "driver has read 3, and said 0"),
        ({"receipts": {**NOTHING, "passenger": {"delivered": 0, "read": 0}}}, "has moved back"),
        ({"calls": []}, "is not in the log"),
        ({"calls": [{**CALL, "end_reason": "cancelled"}]}, "is ended for cancelled"),
        ({"calls": [{**CALL, "end_reason": "connection_lost"}]}, "nobody gave that reason"),
        ({"calls": [{**CALL, "state": "connected", "end_reason": None}]}, "is both"),
        ({"messages": [HELLO, HI, BYE, {**ENDED, "message_type": "text"}]}, "left messages of"),
        ({"messages": [HELLO, HI, BYE, {**ENDED, "metadata": {**CALL, "version": 2}}]}, "another message"),
        ({"messages": [HELLO, HI, BYE, {**ENDED, "metadata": None}]}, "left messages of [None]"),
    ],
)
def test_stored_data_that_breaks_a_promise_is_reported(changes: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in judged(**changes)), judged(**changes)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([event(Synced, 99, floor=0, through=3, messages=(HELLO, BYE))], "synced to 1–3"),
        ([event(Heard, 99, frame={"type": "message", "message": message(5, "ghost")})], "that is not stored"),
        ([event(Rested, 99, floor=0, messages=(HELLO,), receipts=NOTHING, call=CALL)], "rests with 1 messages"),
        ([event(Rested, 99, floor=4, messages=(), receipts={}, call=CALL)], "rests with the receipts"),
        ([event(Rested, 99, floor=4, messages=(), receipts=NOTHING, call=RINGING)], "rests with the call"),
        ([event(Rested, 99, floor=4, messages=(), receipts=NOTHING, call=CALL, hidden=True)], "is away: False"),
        ([event(Disowned, 99, connection="line")], "was disowned"),
        ([event(Heard, 99, frame={"type": "error", "error": {"code": "internal"}})], "heard"),
        (acted(99, 10, "passenger", "end", {**CALL, "version": 4, "state": "connected"}), "from ended to connected"),
        (acted(99, 10, "passenger", "accept", {**CALL, "answered_by": "tablet"}), "was told that it accepted"),
        (acted(99, 10, "driver", "end", {**CALL, "end_reason": "cancelled"}), "is both"),
        (sent(99, 10, {**BYE, "message_id": "other"}), "is not there as it was"),
        (
            [
                event(Asked, 99, **{**READ, "number": 10}),
                event(
                    Answered, 99, number=10, code=None, body={"receipts": {**NOTHING, "passenger": NOTHING["driver"]}}
                ),
            ],
            "has moved back",
        ),
    ],
)
def test_a_history_in_which_a_client_sees_something_wrong_is_reported(more: list[Event], said: str) -> None:
    assert any(said in problem for problem in judged([*EVENTS, *more])), judged([*EVENTS, *more])


def test_a_message_that_was_refused_at_every_try_may_not_be_stored() -> None:
    events = [
        replace(it, code="booking_closed") if isinstance(it, Answered) and it.number == 3 else it for it in EVENTS
    ]
    assert any("all tries were refused" in problem for problem in judged(events))


def test_a_message_with_one_try_of_unknown_outcome_may_be_stored() -> None:
    assert judged([it for it in EVENTS if not (isinstance(it, Answered) and it.number == 3)]) == []


OTHERWISE: Any = {"message": "other words", "client_message_id": "hello"}


@pytest.mark.parametrize(("fields", "fine"), [(OTHERWISE, True), ({"booking_code": "ride", **OTHERWISE}, False)])
def test_only_on_a_websocket_may_an_ack_belong_to_an_earlier_text_with_the_same_id(
    fields: dict[str, Any], fine: bool
) -> None:
    late = [
        event(Asked, 98, number=10, kind="send", sender="driver", fields=fields),
        event(Answered, 99, number=10, code=None, body={"message": HELLO, "duplicate": True}),
    ]
    assert (judged([*EVENTS, *late]) == []) is fine


def test_a_message_sent_after_an_ack_comes_after_the_acknowledged_one() -> None:
    late = [replace(it, at=it.at + 100) if isinstance(it, Asked | Answered) and it.number == 1 else it for it in EVENTS]
    assert any("was sent after" in problem for problem in judged(late))


def test_a_ping_shows_every_message_acknowledged_before_it() -> None:
    look = [
        event(Asked, 98, number=10, kind="look", sender="driver", fields={}),
        event(Answered, 99, number=10, code=None, body={"head_seq": 2, "receipts": NOTHING}),
    ]
    assert any("was told of 2 after 3" in problem for problem in judged([*EVENTS, *look]))


def test_a_connection_that_was_cut_may_be_disowned() -> None:
    gone = [event(Cut, 98, connection="line", sender="driver"), event(Disowned, 99, connection="line")]
    assert judged([*EVENTS, *gone]) == []


GONE = {**BYE, "message": "", "metadata": None, "redacted_at": "2026-03-01T08:00:05.000000Z"}
NOTICE = message(
    5,
    "Message removed",
    "system",
    message_type="system",
    client_message_id=None,
    metadata={"event": "message_redacted", "seq": 3, "timestamp": BYE["timestamp"], "by": "driver"},
)


def redacted(*stored: dict[str, Any]) -> list[str]:
    """What the checker says about a booking in which the driver has sent BYE and redacted it."""
    messages = [{**it, "seq": seq} for seq, it in enumerate(stored, 1)]
    bye = next(it for it in messages if it["message_id"] == BYE["message_id"])
    notes = [{**it, "metadata": {**it["metadata"], "seq": bye["seq"]}} for it in messages if it["metadata"]]
    messages = [next((note for note in notes if note["seq"] == it["seq"]), it) for it in messages]
    events = [
        *sent(0, 1, {**BYE, "seq": bye["seq"]}),
        event(Heard, 7, frame={"type": "message", "message": {**BYE, "seq": bye["seq"]}}),
        event(Asked, 10, number=2, kind="redact", sender="driver", fields={"timestamp": BYE["timestamp"]}),
        event(
            Answered,
            15,
            number=2,
            code=None,
            body={"message": notes[-1] if notes else {**NOTICE, "metadata": {"seq": 1}}},
        ),
    ]
    nobody = {side: {"delivered": 0, "read": 0} for side in ("driver", "passenger")}
    booking = Booking(messages=messages, calls=[], head_seq=len(messages), epoch="e", receipts=nobody)
    return problems(History(seed=1, events=events, bookings={"ride": booking}))


def test_a_message_may_be_redacted_after_its_ack() -> None:
    assert redacted(GONE, NOTICE) == []


def test_a_redaction_that_leaves_the_content_is_reported() -> None:
    assert any("its content is there" in it for it in redacted({**GONE, "message": "bye"}, NOTICE))


def test_a_redaction_that_was_announced_but_not_done_is_reported() -> None:
    assert any("it is not" in it for it in redacted(BYE, NOTICE))
    assert any("the notices name" in it for it in redacted(GONE))


def test_a_redaction_with_two_notices_is_reported() -> None:
    again = {**NOTICE, "message_id": "id-6", "timestamp": "2026-03-01T08:00:06.000000Z"}
    assert any("more than once" in it for it in redacted(GONE, NOTICE, again))


def test_a_client_that_knows_of_a_redaction_blanks_every_later_copy_of_the_message() -> None:
    view = View(floor=2, through=2, head=2)
    view.offer(BYE)
    view.offer({**ENDED, "metadata": None})
    view.offer(NOTICE)
    assert [it["message"] for it in view.messages] == ["", "Call ended", "Message removed"]
    late = View(floor=2, through=2, head=2)
    late.offer(NOTICE)
    late.offer(BYE)
    assert [it["message"] for it in late.messages] == [""]


def at(seconds: float) -> str:
    """A timestamp of this ride."""
    return f"2026-03-01T08:{int(seconds) // 60:02}:{int(seconds) % 60:02}.000000Z"


def instant(seconds: float) -> int:
    """A message as an event shows it."""
    return 1_772_352_000_000_000 + round(seconds * 1_000_000)


def ordered(seq: int, seconds: float, event: str, **about: Any) -> dict[str, Any]:
    metadata = {"event": event, **about}
    return message(seq, event, "system", message_type="system", timestamp=at(seconds), metadata=metadata)


def called(start: float, answered: float | None, end: float, reason: str, caller: str = "driver") -> dict[str, Any]:
    other = "passenger" if caller == "driver" else "driver"
    told = None if answered is None else at(answered)
    times = {"timestamp": at(start), "answered_at": told, "ended_at": at(end)}
    return {**CALL, **times, "caller": caller, "callee": other, "end_reason": reason}


def said_of(messages: list[dict[str, Any]], calls: list[dict[str, Any]], events: list[Event], **how: Any) -> list[str]:
    booking = Booking(messages=messages, calls=calls, head_seq=len(messages), epoch="e", receipts=NOTHING)
    return problems(History(seed=1, events=events, bookings={"ride": booking}, **how))


CLOSE, OPEN = ordered(1, 10, "booking_closed"), ordered(2, 200, "booking_opened")
MUTE, REVOKE = ordered(1, 10, "side_muted", side="driver"), ordered(1, 10, "tokens_revoked", side="passenger")


@pytest.mark.parametrize(
    ("orders", "call", "said"),
    [
        ([CLOSE, OPEN], called(15, None, 16, "cancelled"), "began in the closed booking"),
        ([CLOSE, OPEN], called(9, 15, 16, "completed"), "was answered in the closed booking"),
        ([CLOSE, OPEN], called(1, 2, 90, "completed"), "went on after the order: closed"),
        ([MUTE], called(15, None, 16, "cancelled"), "was begun by the muted driver"),
        ([REVOKE], called(1, 2, 90, "completed"), "went on after the order: revoked"),
        ([CLOSE, OPEN], called(1, 2, 15, "booking_closed"), None),
        ([MUTE], called(15, None, 16, "cancelled", "passenger"), None),
        ([ordered(1, 10, "tokens_revoked", side="agent")], called(1, 2, 90, "completed"), None),
    ],
)
def test_a_call_that_goes_against_an_order_is_reported(
    orders: list[dict[str, Any]], call: dict[str, Any], said: str | None
) -> None:
    found = [it for it in said_of(orders, [call], []) if "order" in it or "closed booking" in it or "muted" in it]
    assert (found != []) if said else (found == []), found
    assert said is None or any(said in it for it in found)


def test_a_call_ended_as_lost_although_both_sides_were_connected_is_reported() -> None:
    call = called(1, 2, 10, "connection_lost")
    both = [event(Opened, instant(0), connection=side, sender=side) for side in ("driver", "passenger")]
    told = [event(Heard, instant(41), frame={"type": "call", "call": call})]
    away = [event(Cut, instant(10), connection="passenger", sender="passenger")]
    back = [event(Opened, instant(12), connection="again", sender="passenger")]

    def lost(*events: Event) -> bool:
        return any("both sides were there" in it for it in said_of([], [call], list(events), one_clock=True))

    assert lost(*both, *told)
    assert lost(*both, *away, *back, *told)
    assert not lost(*both, *away, *told)


OLD = message(1, "my number")
GONE_BY_THEN = {**OLD, "message": "", "metadata": None, "redacted_at": at(5)}
TAKEN_BACK = [
    event(Asked, 10, number=1, kind="redact", sender="driver", fields={"timestamp": OLD["timestamp"]}),
    event(Answered, 20, number=1, code=None, body={"message": {**NOTICE, "metadata": {"seq": 1}}}),
]


@pytest.mark.parametrize(
    ("later", "fine"),
    [
        (event(Read, 40, began=30, messages=(OLD,)), False),
        (event(Read, 40, began=15, messages=(OLD,)), True),
        (event(Read, 40, began=30, messages=(GONE_BY_THEN,)), True),
        (event(Told, 40, began=30, event={"type": "message.stored", **OLD, "event_id": "id-1-stored"}), False),
        (event(Told, 40, began=15, event={"type": "message.stored", **OLD, "event_id": "id-1-stored"}), True),
        (event(Heard, 70_000_000, frame={"type": "message", "message": OLD}), False),
        (event(Heard, 40, frame={"type": "message", "message": OLD}), True),
    ],
)
def test_a_redacted_text_that_is_read_afterwards_is_reported(later: Event, fine: bool) -> None:
    found = said_of([GONE_BY_THEN], [], [*TAKEN_BACK, later])
    assert any("got the text of seq 1" in it for it in found) is not fine


def test_a_repeat_of_a_redacted_message_that_is_refused_as_a_conflict_is_reported() -> None:
    fields = {"booking_code": "ride", "message": "other", "client_message_id": OLD["client_message_id"]}
    again = [
        event(Asked, 30, number=9, kind="send", sender="driver", fields=fields),
        event(Answered, 35, number=9, code="idempotency_conflict", body={}),
    ]
    found = said_of([GONE_BY_THEN], [], [*sent(0, 8, OLD), *TAKEN_BACK, *again])
    assert any("was refused a repeat of a redacted message" in it for it in found)


def judged_by(stored: str | None, *, failed: bool = False) -> Event:
    named = {"sender": "driver", "client_message_id": "hello", "message": "hello"}
    return event(Judged, 5, **named, stored=stored, failed=failed)


@pytest.mark.parametrize(
    ("hook", "verdicts", "said"),
    [
        ("deny", [judged_by("hello")], None),
        ("deny", [], "the hook had not let"),
        ("deny", [judged_by(None)], "the hook had not let"),
        ("deny", [judged_by("h•llo")], "the hook had not let"),
        ("deny", [judged_by(None, failed=True)], "the hook had not let"),
        ("allow", [judged_by(None, failed=True)], None),
        ("deny", [judged_by("hello"), judged_by("hello")], "the hook was asked 2 times"),
        (None, [], None),
    ],
)
def test_a_message_stored_against_the_hooks_answer_is_reported(
    hook: Any, verdicts: list[Event], said: str | None
) -> None:
    found = [it for it in said_of([HELLO], [], [*sent(0, 1, HELLO), *verdicts], hook=hook) if "hook" in it]
    assert (found == []) if said is None else any(said in it for it in found), found


STORED_EVENT = {"type": "message.stored", "event_id": "id-1-stored", **HELLO}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([STORED_EVENT, STORED_EVENT], None),
        ([], "was never told of"),
        ([{**STORED_EVENT, "message": "other"}], "which is not there as it was"),
        ([STORED_EVENT, {**STORED_EVENT, "type": "message.redacted", "event_id": "x"}], "which there was not"),
    ],
)
def test_a_message_event_that_is_missing_or_wrong_is_reported(told: list[dict[str, Any]], said: str | None) -> None:
    events = [event(Told, 50, began=40, event=it) for it in told]
    found = [it for it in said_of([HELLO], [], [*sent(0, 1, HELLO), *events], told=True) if "told of" in it]
    assert (found == []) if said is None else any(said in it for it in found), found


@pytest.mark.parametrize(
    ("redacted_too", "served", "fine"), [(False, True, True), (False, False, False), (True, True, False)]
)
def test_an_attachment_served_after_its_redaction_or_not_before_it_is_reported(
    redacted_too: bool, served: bool, fine: bool
) -> None:
    whole = {"id": "a" * 32, "content_type": "image/jpeg", "bytes": 9}
    photo = message(1, "look", metadata={"attachment": whole})
    asked = event(
        Asked,
        0,
        number=1,
        kind="send",
        sender="driver",
        fields={"message": "look", "client_message_id": "look", "metadata": {"attachment": {"id": whole["id"]}}},
    )
    stored = {**photo, "message": "", "metadata": None, "redacted_at": at(5)} if redacted_too else photo
    booking = Booking(
        messages=[stored], calls=[], head_seq=1, epoch="e", receipts=NOTHING, attachments={whole["id"]: served}
    )
    found = problems(History(seed=1, events=[asked], bookings={"ride": booking}))
    assert any("served" in it for it in found) is not fine


def test_a_refused_message_does_not_pass_its_attachment_on_to_the_next_one_with_its_id() -> None:
    photo = {"message": "look", "client_message_id": "other", "metadata": {"attachment": {"id": "a" * 32}}}
    tries = [
        event(Asked, number, number=number, kind="send", sender="driver", fields=fields)
        for number, fields in enumerate((photo, {"message": "other", "client_message_id": "other"}), start=1)
    ]
    stored = message(1, "other")
    booking = Booking(
        messages=[stored], calls=[], head_seq=1, epoch="e", receipts=NOTHING, attachments={"a" * 32: False}
    )
    found = problems(History(seed=1, events=tries, bookings={"ride": booking}))
    assert not any("attachment" in it for it in found), found


def test_a_newest_page_without_a_message_acknowledged_before_is_reported() -> None:
    late = [event(Read, 99, began=98, messages=(HELLO, HI), newest=True)]
    assert any("read up to 2 after 3" in it for it in judged([*EVENTS, *late]))


@pytest.mark.parametrize(("head", "fine"), [(2, False), (3, True)])
def test_a_page_says_that_there_is_what_was_acknowledged_before(head: int, fine: bool) -> None:
    late = [event(Read, 99, began=98, messages=(), head=head)]
    assert any("read that the last is 2 after 3" in it for it in judged([*EVENTS, *late])) is not fine


@pytest.mark.parametrize(
    ("ended_at", "lost", "fine"),
    [("08:00:03", False, True), ("07:58:00", False, False), ("07:58:00", True, True)],
)
def test_a_call_that_nobody_answers_ends_in_time_unless_its_timer_is_lost(
    ended_at: str, lost: bool, fine: bool
) -> None:
    missed = {**CALL, "end_reason": "no_answer", "answered_at": None, "ended_at": f"2026-03-01T{ended_at}.000000Z"}
    timer = [event(TimerLost, 99, call_id="c1")] if lost else []
    found = judged([*EVENTS, *timer], messages=[HELLO, HI, BYE, {**ENDED, "metadata": missed}])
    assert any("went on ringing for 124 s" in it for it in found) is not fine


@pytest.mark.parametrize(("code", "disowned"), [("not_found", True), ("unavailable", False)])
def test_only_not_found_disowns_a_connection(code: str, disowned: bool) -> None:
    assert disowns({"type": "error", "booking_code": None, "error": {"code": code}}) is disowned
