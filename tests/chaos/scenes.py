"""Scenes: what seldom happens by chance is played on purpose, after the random part, while there are still faults.

A scene drives the phones of one booking. It is short, and provokes what its docstring says.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from tests.chaos.clients import Company, Phone
from tests.chaos.world import World


@dataclass(frozen=True)
class Cast:
    """The players: the phones of a booking, and the company's system."""

    world: World
    driver: Phone
    passenger: Phone
    tablet: Phone
    agent: Phone
    company: Company

    def pause(self, seconds: float) -> None:
        """Lets others go on."""
        self.world.scheduler.pause(seconds)

    def at_once(self, *acts: Callable[[], object]) -> None:
        """Does several things at the same time, until all are done."""
        left = [len(acts)]

        def done(act: Callable[[], object]) -> None:
            act()
            left[0] -= 1

        for act in acts:
            self.world.scheduler.start(partial(done, act))
        while left[0]:
            self.pause(0.2)

    def hang_up(self) -> None:
        """Ends the call if one is live."""
        call = self.driver.view.call
        if call is not None and call["state"] != "ended":
            caller = self.driver if call["caller"] == "driver" else self.passenger
            caller.call("end", {"call_id": call["call_id"]})

    def ring(self) -> str | None:
        """The driver calls. Returns the call's id, or None if that failed."""
        self.hang_up()
        if self.driver.call("initiate", {}) is not None or self.driver.view.call is None:
            return None
        return self.driver.view.call["call_id"]

    def talk(self) -> bool:
        """The driver calls and the passenger answers. Returns whether they talk."""
        for _ in range(3):
            call_id = self.ring()
            if call_id is not None and self.passenger.call("accept", {"call_id": call_id}) is None:
                return True
            self.pause(3.0)
        return False


Scene = Callable[[Cast], None]


def comes_back(cast: Cast) -> None:
    """Both phones lose their lines during a call and are back within half a minute: the call goes on."""
    if cast.talk():
        cast.passenger.call("initiate", {})
        cast.pause(2.0)
        for phone in (cast.passenger, cast.driver, cast.tablet):
            phone.drop()
        cast.pause(45.0)
    cast.hang_up()


def stays_away(cast: Cast) -> None:
    """A side leaves a call for good: the call is lost."""
    if cast.talk():
        cast.pause(2.0)
        cast.passenger.go_away(80.0)
        cast.tablet.go_away(80.0)
        cast.pause(85.0)
    cast.hang_up()


def closes_on_a_talk(cast: Cast) -> None:
    """The booking closes during a call, and stays closed for longer than the call may go on."""
    cast.talk()
    cast.pause(4.0)
    cast.company.tell("booking_closed")
    cast.pause(5.0)
    cast.driver.call("initiate", {})
    cast.driver.say()
    cast.agent.say()
    cast.driver.redact()
    cast.pause(80.0)
    cast.company.tell("booking_opened")
    cast.hang_up()


def rings_into_a_close(cast: Cast) -> None:
    """The booking closes while it rings, and the callee still answers."""
    call_id = cast.ring()
    cast.company.tell("booking_closed")
    cast.pause(2.5)
    if call_id is not None:
        cast.passenger.call("accept", {"call_id": call_id})
    cast.pause(3.0)
    cast.company.tell("booking_opened")


def is_revoked(cast: Cast) -> None:
    """A side's tokens are revoked during a call, then while it rings: neither call goes on."""
    for begin in (cast.talk, cast.ring):
        begin()
        cast.pause(4.0 if begin == cast.talk else 0.0)
        cast.company.tell("tokens_revoked", side="passenger")
        cast.pause(72.0 if begin == cast.talk else 3.0)
        cast.hang_up()
        cast.pause(5.0)


def talks_for_long(cast: Cast) -> None:
    """They talk until the longest time is over."""
    if cast.talk():
        cast.pause(130.0)
    cast.hang_up()


def ends_every_way(cast: Cast) -> None:
    """Calls that are declined, cancelled, not answered, and that cross."""
    for action, phone in 2 * (("reject", cast.passenger), ("end", cast.driver)):
        call_id = cast.ring()
        if call_id is not None:
            phone.call(action, {"call_id": call_id})
        cast.pause(1.0)
    cast.ring()
    cast.pause(9.0)
    if cast.ring() is not None:
        cast.passenger.call("initiate", {})
    cast.pause(1.0)
    cast.hang_up()


def answers_at_once(cast: Cast) -> None:
    """Two devices answer at the same moment, while the caller may hang up."""
    for late in (cast.driver.ping, cast.hang_up):
        call_id = cast.ring()
        if call_id is not None:
            accept = {"call_id": call_id}
            cast.at_once(
                lambda accept=accept: cast.passenger.call("accept", accept),
                lambda accept=accept: cast.tablet.call("accept", accept),
                late,
            )
        cast.hang_up()
        cast.pause(1.0)


def answers_too_late(cast: Cast) -> None:
    """An answer is written when its call has ended and the next one rings: it must not answer that one."""
    for _ in range(3):
        call_id = cast.ring()
        if call_id is None:
            continue

        def ring_again(call_id: str = call_id) -> None:
            cast.driver.call("end", {"call_id": call_id})
            cast.driver.call("initiate", {})

        cast.world.hold(cast.passenger, "dynamodb.TransactWriteItems", 2.0)
        cast.at_once(ring_again, partial(cast.passenger.call, "accept", {"call_id": call_id}))
        cast.hang_up()
        cast.pause(10.0)


def rings_in_vain(cast: Cast) -> None:
    """It rings, and nobody does anything for so long that a timer alone can have ended it."""
    cast.pause(35.0)  # orders that were given before have had their effect
    cast.ring()
    cast.pause(115.0)
    cast.hang_up()


def misses_much(cast: Cast) -> None:
    """A phone is offline while more messages come than one answer to a sync holds."""
    cast.passenger.go_away(20.0)
    cast.pause(0.5)
    for _ in range(22):
        cast.at_once(cast.driver.say, cast.agent.say)
    cast.pause(25.0)


def reads_what_was_redacted(cast: Cast) -> None:
    """Pages that a warm container keeps are read before and after a redaction. The message's id is sent again."""
    for _ in range(6):
        cast.driver.say()
    own = [it for it in cast.driver.view.messages if it["sender"] == "driver" and it["message"]][:3]
    for message in own:
        cast.tablet.leaf_from_the_beginning()
        cast.driver.take_back(message["timestamp"])
        cast.pause(0.01)
        cast.tablet.leaf_from_the_beginning()
        cast.driver.repeat(message)
        cast.driver.repeat({**message, "message": "other words"})
        cast.driver.take_back(message["timestamp"])
        cast.passenger.take_back(message["timestamp"])


def redacts_at_once(cast: Cast) -> None:
    """Two clients redact the same message at the same moment, while it is sent again and read."""
    for _ in range(3):
        cast.driver.say()
        own = [it for it in cast.driver.view.messages if it["sender"] == "driver" and it["message"]][-1:]
        for message in own:
            cast.at_once(
                partial(cast.driver.take_back, message["timestamp"]),
                partial(cast.company.take_back, message["timestamp"]),
                cast.tablet.leaf_from_the_beginning,
            )
            cast.driver.repeat(message)


def takes_back_what_others_said(cast: Cast) -> None:
    """Everybody tries to redact a message of somebody else, an order, and the message of a call."""
    said = [it for it in cast.driver.view.messages[-25:] if it["sender"] != "driver"]
    for message in said[-4:]:
        cast.driver.take_back(message["timestamp"])
    for message in [it for it in cast.driver.view.messages if it["message_type"] != "text"][-3:]:
        cast.company.take_back(message["timestamp"])
    cast.driver.take_back("2026-01-01T00:00:00.000000Z")


def sends_photos(cast: Cast) -> None:
    """A photo is sent, and sent again; one of the messages is redacted."""
    for phone in (cast.driver, cast.agent):
        phone.say_with_photo()
        phone.say_with_photo()
        photos = [it for it in phone.view.messages if it["sender"] == phone.sender and it["metadata"]]
        for message in photos[-1:]:
            phone.take_back(message["timestamp"])


def is_muted(cast: Cast) -> None:
    """A muted side tries everything that it may not do, and answers a call, which it may."""
    cast.driver.say()
    cast.company.tell("side_muted", side="driver")
    cast.pause(2.5)
    cast.driver.call("initiate", {})
    cast.driver.say()
    for _ in range(3):
        cast.driver.redact()
    cast.driver.call("initiate", {})
    if cast.passenger.call("initiate", {}) is None and (call := cast.passenger.view.call) is not None:
        cast.driver.call("initiate", {})
        cast.driver.call("accept", {"call_id": call["call_id"]})
        cast.passenger.call("end", {"call_id": call["call_id"]})
    cast.pause(14.0)
    cast.company.tell("side_unmuted", side="driver")


def orders_race(cast: Cast) -> None:
    """Orders come while others write, redact and call."""
    for order, undone in (("booking_closed", "booking_opened"), ("side_muted", "side_unmuted")):
        for _ in range(2):
            about = {"side": "passenger"} if order == "side_muted" else {}
            cast.at_once(
                partial(cast.company.tell, order, **about),
                cast.passenger.say,
                cast.driver.say,
                cast.agent.say,
                cast.tablet.redact,
            )
            cast.company.tell(undone, **about)


def talks_at_once(cast: Cast) -> None:
    """All clients write at the same moment, again and again."""
    for _ in range(6):
        cast.at_once(cast.driver.say, cast.passenger.say, cast.tablet.say, cast.agent.say)


def comes_and_goes(cast: Cast) -> None:
    """Lines break again and again, while others write to them."""
    usual = cast.world.faults
    cast.world.faults = replace(usual, slow=0.3, hasty=0.0)  # so that they come while a line is being opened
    for _ in range(5):
        cast.at_once(cast.passenger.drop, cast.driver.say, cast.tablet.drop, cast.agent.say)
        for _ in range(3):
            cast.at_once(cast.driver.say, cast.agent.say)
    cast.world.faults = usual


def looks_at_once(cast: Cast) -> None:
    """Right after a message others ping and read the newest page. Nearly every read that may be stale is stale."""
    usual = cast.world.faults
    cast.world.faults = replace(usual, stale=0.9)
    for _ in range(8):
        cast.driver.say()
        cast.pause(0.01)
        cast.at_once(cast.passenger.ping, cast.tablet.ping, cast.agent.read_newest)
    cast.world.faults = usual


def says_how_far(cast: Cast) -> None:
    """Both sides send receipts that go forward and back."""
    for _ in range(5):
        cast.agent.say()
        cast.at_once(cast.driver.move_receipt, cast.passenger.move_receipt)
        cast.at_once(cast.driver.move_receipt, cast.passenger.move_receipt)
    for _ in range(2):
        cast.agent.say()
        cast.driver.move_receipt("delivered")


def says_otherwise(cast: Cast) -> None:
    """Another text comes with an id that was already used."""
    cast.driver.say()
    for message in [it for it in cast.driver.view.messages if it["sender"] == "driver"][-4:]:
        cast.driver.repeat({**message, "message": "other words"})
        cast.driver.repeat(message)


def hides(cast: Cast) -> None:
    """An app goes to the background, and stays there."""
    for phone in (cast.passenger, cast.tablet):
        phone.hide()
    cast.pause(1.0)


def says_what_is_judged(cast: Cast) -> None:
    """Insults and phone numbers, for which the message hook has an answer."""
    for _ in range(3):
        for about in (" what an insult", " here is my number"):
            cast.at_once(partial(cast.driver.say, about), partial(cast.agent.say, about))


def stops_the_topic(cast: Cast) -> None:
    """The topic of message events fails for a while."""
    cast.world.stop_topic(12.0)
    for _ in range(3):
        cast.at_once(cast.driver.say, cast.passenger.say)
        cast.pause(3.0)


def suffers(cast: Cast) -> None:
    """Functions die and answers get lost ten times as often, while lines break, calls begin and receipts are sent."""
    usual = cast.world.faults
    cast.world.faults = replace(usual, killed=0.04, unanswered=0.04)
    for _ in range(4):
        cast.at_once(cast.passenger.drop, cast.driver.move_receipt, cast.agent.hide, cast.tablet.drop)
        for _ in range(3):
            receipts = (partial(phone.move_receipt, by_rest=True) for phone in (cast.driver, cast.tablet))
            cast.at_once(cast.agent.drop, cast.tablet.drop, *receipts)
            cast.pause(2.0)
        cast.talk()
        cast.hang_up()
    cast.world.faults = usual


def calls_again_and_again(cast: Cast) -> None:
    """A side begins more calls in a minute than it may."""
    for _ in range(8):
        cast.ring()
    cast.hang_up()
    cast.pause(60.0)


def is_forgotten(cast: Cast) -> None:
    """Rows of connections are deleted while the lines are open, as an erasure does: the devices come back."""
    cast.hang_up()
    for phone in (cast.tablet, cast.agent):
        phone.lose_row()
        phone.ping()
    cast.pause(5.0)


ALL: tuple[Scene, ...] = (
    comes_back,
    closes_on_a_talk,
    ends_every_way,
    rings_in_vain,
    misses_much,
    reads_what_was_redacted,
    answers_too_late,
    stays_away,
    takes_back_what_others_said,
    redacts_at_once,
    sends_photos,
    is_muted,
    rings_into_a_close,
    talks_at_once,
    answers_at_once,
    orders_race,
    comes_and_goes,
    looks_at_once,
    says_how_far,
    says_otherwise,
    says_what_is_judged,
    stops_the_topic,
    is_forgotten,
    calls_again_and_again,
    hides,
    suffers,
    talks_for_long,
    is_revoked,
)
