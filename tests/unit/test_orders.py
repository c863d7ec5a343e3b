import pytest

from navietakie.domain import instants
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message, NewMessage
from navietakie.domain.orders import NO_TOKEN, Order, Rights, is_on_record, order_in

AT = "2026-03-01T08:00:00.700000Z"
SECOND = instants.to_seconds(instants.from_text(AT))


def order(**metadata: object) -> Order | None:
    return order_in(NewMessage(message="-", message_type="system", metadata=metadata))


def refused(code: str, **metadata: object) -> Refusal:
    with pytest.raises(Refusal) as caught:
        order(**metadata)
    assert caught.value.code == code
    return caught.value


def test_an_order_says_what_is_ordered_and_whom_it_concerns() -> None:
    assert order(event="booking_closed") == Order("booking_closed")
    assert order(event="side_muted", side="driver") == Order("side_muted", "driver")
    assert order(event="tokens_revoked", side="agent") == Order("tokens_revoked", "agent")


@pytest.mark.parametrize("event", ["ride_started", "", 1, None, ["side_muted"], {"a": 1}])
def test_an_unknown_event_is_a_plain_message(event: object) -> None:
    assert order(event=event) is None
    assert order_in(NewMessage(message="-", message_type="system")) is None


def test_only_messages_of_type_system_order_anything() -> None:
    metadata = {"event": "side_muted", "side": "nobody"}
    assert order_in(NewMessage(message="-", metadata=metadata)) is None


@pytest.mark.parametrize("side", [None, "agent", "system", "", 1, ["driver"]])
def test_an_order_that_does_not_say_whom_it_concerns_is_malformed(side: object) -> None:
    for event in ("side_muted", "side_unmuted"):
        assert refused("invalid_request", event=event, side=side).details == {"field": "metadata.side"}
    if side != "agent":
        refused("invalid_request", event="tokens_revoked", side=side)


def test_closing_twice_keeps_the_first_time_and_opening_forgets_it() -> None:
    closed = Order("booking_closed").applied(Order("booking_closed").applied(Rights(), AT), "later")
    assert closed.booking == {"closed_at": AT, "muted": []}
    assert Order("booking_opened").applied(closed, "later") == Rights()


def test_a_muted_side_may_write_again_after_unmuting() -> None:
    muted = Order("side_muted", "passenger").applied(Order("side_muted", "driver").applied(Rights(), AT), AT)
    assert muted.booking["muted"] == ["driver", "passenger"]
    unmuted = Order("side_unmuted", "driver").applied(muted, AT)
    unmuted.check_not_muted("driver")
    with pytest.raises(Refusal) as caught:
        unmuted.check_writing("passenger")
    assert (caught.value.code, caught.value.status) == ("muted", 403)
    for sender in ("agent", "system"):
        muted.check_writing(sender)


def test_if_closed_and_muted_the_error_is_booking_closed_and_only_the_company_writes() -> None:
    rights = Rights(closed_at=AT, muted={"driver": AT})
    for sender in ("driver", "passenger", "agent"):
        with pytest.raises(Refusal) as caught:
            rights.check_writing(sender)
        assert caught.value.code == "booking_closed"
    rights.check_writing("system")


@pytest.mark.parametrize(
    ("iat", "revoked"),
    [
        (None, True),
        (0, True),
        (SECOND, True),
        (SECOND + 5, True),
        (SECOND + 6, False),
        (NO_TOKEN, False),
        (2**53, False),
    ],
)
def test_tokens_issued_up_to_five_seconds_after_the_order_are_revoked_too(iat: int | None, revoked: bool) -> None:
    rights = Order("tokens_revoked", "driver").applied(Rights(), AT)
    assert rights.revokes("driver", iat) == revoked
    assert not rights.revokes("passenger", iat)
    assert not rights.revokes("system", iat)


def test_the_last_revocation_counts() -> None:
    rights = Order("tokens_revoked", "driver").applied(Rights(), AT)
    later = Order("tokens_revoked", "driver").applied(rights, instants.to_text(instants.from_text(AT) + instants.DAY))
    assert later.revokes("driver", SECOND + 86_400)
    assert not rights.revokes("driver", SECOND + 86_400)


def test_orders_that_end_calls_or_close_connections_are_told_apart_from_others() -> None:
    assert {event for event in ("booking_closed", "booking_opened") if Order(event).cuts} == {"booking_closed"}
    assert Order("tokens_revoked", "driver").cuts
    assert not Order("side_muted", "driver").cuts


def test_an_order_changes_what_it_is_about_and_leaves_the_rest() -> None:
    rights = Rights(AT, {"driver": AT}, {"agent": AT})
    for order, after in (
        (Order("booking_closed"), rights),
        (Order("booking_opened"), Rights(None, {"driver": AT}, {"agent": AT})),
        (Order("side_muted", "passenger"), Rights(AT, {"driver": AT, "passenger": "later"}, {"agent": AT})),
        (Order("side_muted", "driver"), rights),
        (Order("side_unmuted", "driver"), Rights(AT, {}, {"agent": AT})),
        (Order("side_unmuted", "passenger"), rights),
        (Order("tokens_revoked", "driver"), Rights(AT, {"driver": AT}, {"agent": AT, "driver": "later"})),
        (Order("tokens_revoked", "agent"), Rights(AT, {"driver": AT}, {"agent": "later"})),
    ):
        assert order.applied(rights, "later") == after
    assert Rights() == Rights(None, {}, {})


def test_a_refusal_says_since_when_it_is_so() -> None:
    with pytest.raises(Refusal) as caught:
        Rights(closed_at=AT).check_open()
    assert (caught.value.code, caught.value.details) == ("booking_closed", {"closed_at": AT})
    with pytest.raises(Refusal) as caught:
        Rights(muted={"driver": AT}).check_not_muted("driver")
    assert (caught.value.code, caught.value.details) == ("muted", {"muted_at": AT})
    with pytest.raises(Refusal) as caught:
        Rights(revoked={"driver": AT}).check_token("driver", SECOND)
    assert caught.value.code == "unauthorized"
    Rights(revoked={"driver": AT}).check_token("passenger", SECOND)


@pytest.mark.parametrize("iat", [-(10**15), -1, 0, 10**15])
def test_a_token_with_a_time_of_issue_out_of_this_world_is_judged_all_the_same(iat: int) -> None:
    assert Rights(revoked={"driver": AT}).revokes("driver", iat) == (iat <= 0)


@pytest.mark.parametrize(
    ("message_type", "event", "is_record"),
    [
        ("text", None, False),
        ("text", "booking_closed", False),
        ("call", None, True),
        ("system", None, False),
        ("system", "ride_started", False),
        ("system", "message_redacted", True),
        ("system", "booking_closed", True),
        ("system", "tokens_revoked", True),
        ("system", ["booking_closed"], False),
    ],
)
def test_calls_orders_and_notices_are_record_and_words_are_not(
    message_type: str, event: object, is_record: bool
) -> None:
    stored = {"message_id": "i", "booking_code": "b", "seq": 1, "timestamp": AT, "sender": "system", "message": "-"}
    message = Message.model_validate({**stored, "message_type": message_type, "metadata": {"event": event}})
    assert is_on_record(message) == is_record
