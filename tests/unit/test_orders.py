import pytest

from navietakie.domain import instants
from navietakie.domain.errors import Refusal
from navietakie.domain.message import NewMessage
from navietakie.domain.orders import NO_TOKEN, Order, Rights, order_in

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
def test_what_is_not_known_is_a_plain_message(event: object) -> None:
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


def test_a_muted_side_is_heard_again_once_it_is_unmuted() -> None:
    muted = Order("side_muted", "passenger").applied(Order("side_muted", "driver").applied(Rights(), AT), AT)
    assert muted.booking["muted"] == ["driver", "passenger"]
    unmuted = Order("side_unmuted", "driver").applied(muted, AT)
    unmuted.check_heard("driver")
    with pytest.raises(Refusal) as caught:
        unmuted.check_writing("passenger")
    assert (caught.value.code, caught.value.status) == ("muted", 403)
    for sender in ("agent", "system"):
        muted.check_writing(sender)


def test_a_close_is_told_before_a_mute_and_stops_everybody_but_the_company() -> None:
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
def test_what_was_issued_up_to_five_seconds_after_the_orders_second_is_revoked(iat: int | None, revoked: bool) -> None:
    rights = Order("tokens_revoked", "driver").applied(Rights(), AT)
    assert rights.revokes("driver", iat) == revoked
    assert not rights.revokes("passenger", iat)
    assert not rights.revokes("system", iat)


def test_the_last_revocation_counts() -> None:
    rights = Order("tokens_revoked", "driver").applied(Rights(), AT)
    later = Order("tokens_revoked", "driver").applied(rights, instants.to_text(instants.from_text(AT) + instants.DAY))
    assert later.revokes("driver", SECOND + 86_400)
    assert not rights.revokes("driver", SECOND + 86_400)


def test_what_ends_or_cuts_something_is_told_apart() -> None:
    assert {event for event in ("booking_closed", "booking_opened") if Order(event).cuts} == {"booking_closed"}
    assert Order("tokens_revoked", "driver").cuts
    assert not Order("side_muted", "driver").cuts
