"""What clients are answered, field by field: acks, a pong, an attachment's address; and what their requests cost."""

from typing import Any

import pytest

from get_message import app as get_message
from get_message.attachment import AttachmentQuery, address
from make_call.answers import call_ack
from navietakie.aws.attachments import StoredObject
from navietakie.aws.tables.connections import Connection
from navietakie.broadcast import Outcomes
from navietakie.domain import instants
from navietakie.domain.call import as_stored, begun
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message
from navietakie.domain.orders import Rights
from navietakie.doors.requests import SocketRequest, party_of
from navietakie.doors.standing import Standing
from send_message import costs
from send_message.answers import attach_ack, message_ack, sent_message
from send_message.sending import Sent
from websocket.pong import pong

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
AT = instants.to_text(NOW)
OWN = Connection("d1", "ride-1", "driver", AT, 2**40, away=True)
REQUEST = SocketRequest(OWN, party_of(OWN, {}), {}, "7", NOW, 1.5, {})
ACK = {"v": 1, "type": "ack", "booking_code": "ride-1", "ts": AT, "id": "7"}
MESSAGE = Message(
    message_id="i", booking_code="ride-1", seq=1, timestamp=AT, sender="driver", message_type="text", message="x"
)


@pytest.mark.parametrize("duplicate", [True, False])
def test_a_stored_message_is_answered_with_the_message_and_whether_it_was_there_before(duplicate: bool) -> None:
    sent = Sent(MESSAGE, b"{}", duplicate, Rights())
    assert message_ack(REQUEST, sent) == {**ACK, "message": MESSAGE, "duplicate": duplicate}
    nobody = {"connections": 0, "delivered": 0, "gone": 0, "failed": 0}
    assert sent_message(sent, Outcomes()) == {"message": MESSAGE, "duplicate": duplicate, "delivery": nobody}


def test_an_ack_brings_what_was_asked_for() -> None:
    form: Any = {"url": "u", "fields": {}}
    assert attach_ack(REQUEST, form) == {**ACK, **form}
    made: Any = {"call": None, "reached": 1}
    assert call_ack(REQUEST, made) == {**ACK, **made}


def test_a_pong_says_how_things_stand() -> None:
    call = as_stored(
        begun(None, "driver", "phone", booking_code="ride-1", now=NOW, ring_seconds=45, entropy="a" * 18), NOW
    )
    there = Connection("p1", "ride-1", "passenger", AT, 2**40)
    expired = Connection("a1", "ride-1", "agent", AT, instants.to_seconds(NOW))
    head = Head(9, AT, "epoch", Rights(closed_at=AT), receipt_seqs={"driver_read": 3})
    expected = {
        **ACK,
        "type": "pong",
        "head_seq": 9,
        "epoch": "epoch",
        "call": {"call_id": call.call_id, "state": "ringing", "version": 1, "ring_ms_left": 45_000},
        "presence": {"driver": False, "passenger": True, "agent": False},
        "receipts": {"driver": {"delivered": 3, "read": 3}, "passenger": {"delivered": 0, "read": 0}},
        "booking": {"closed_at": AT, "muted": []},
        "away": True,
        "server_time": AT,
        "connection_id": "d1",
    }
    assert pong(REQUEST, Standing(head, call, [there, expired])) == expected
    assert pong(REQUEST, Standing(head, None, [there])) == {**expected, "call": None}
    revoked = Head(9, AT, "epoch", Rights(closed_at=AT, revoked={"passenger": AT}), receipt_seqs={"driver_read": 3})
    assert pong(REQUEST, Standing(revoked, None, [there]))["presence"]["passenger"] is False


class Bucket:
    """A bucket with one attachment."""

    found: StoredObject | None = None

    def kept(self, booking_code: str, id: str) -> StoredObject | None:
        return self.found if booking_code == "ride-1" else None

    def url(self, booking_code: str, id: str, *, seconds: int) -> str:
        return f"{booking_code}/{id}?{seconds}"


ID = "0" * 32


def asked(store: Any, id: str = ID, booking_code: str = "ride-1", now: int = NOW) -> Any:
    return address(store, booking_code, AttachmentQuery(id=id), now=now, retention_days=1)


def stored() -> Bucket:
    bucket = Bucket()
    bucket.found = StoredObject("image/png", 7, "etag", instants.to_seconds(NOW), "driver")
    return bucket


def test_an_attachment_is_read_at_an_address_that_works_for_a_quarter_of_an_hour() -> None:
    assert asked(stored()) == {
        "url": f"ride-1/{ID}?900",
        "content_type": "image/png",
        "bytes": 7,
        "expires_at": "2026-03-01T10:15:00.000000Z",
    }


def test_an_attachment_that_is_not_there_or_not_any_more_is_not_found() -> None:
    day = 86_400 * instants.SECOND
    asked(stored(), now=NOW + day - 1)
    for ask in (
        lambda: asked(None),
        lambda: asked(Bucket()),
        lambda: asked(stored(), id="0" * 31),
        lambda: asked(stored(), booking_code="ride-2"),
        lambda: asked(stored(), now=NOW + day),
    ):
        with pytest.raises(Refusal) as refused:
            ask()
        assert refused.value.code == "not_found"


@pytest.mark.parametrize(
    ("fields", "cost"),
    [
        ({"message": "x"}, 0),
        ({"message": "x", "attach": {}}, 0),
        ({"attach": {}}, 5),
        ({"redact": "t"}, 3),
        ({"read": 1}, 1),
        ({"message": None, "redact": "t"}, 3),
        ({}, 1),
    ],
)
def test_a_message_costs_nothing_at_the_door_and_the_rest_by_its_work(fields: dict[str, Any], cost: int) -> None:
    assert costs.cost_of_post(fields) == cost


@pytest.mark.parametrize(
    ("fields", "cost"), [({}, 1), ({"limit": 5}, 1), ({"sender": "driver"}, 4), ({"message_type": "call"}, 4)]
)
def test_a_page_with_a_filter_costs_more(fields: dict[str, Any], cost: int) -> None:
    assert get_message.cost_of_page(fields) == cost
