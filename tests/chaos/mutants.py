"""The code, broken on purpose. Each mutant breaks one promise of docs/reliability.md, and the checker has to report it.

A mutant names the scenes that provoke it. `make chaos MUTANTS=1` measures with how many of twenty seeds each is
reported.
"""

from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import pytest

import make_call.calling
import make_call.timing
import send_message.attaching
import send_message.hook
import send_message.redacting
import send_message.telling
from get_message import history
from get_message.sync import Sync
from make_call.calling import Calling
from make_call.timing import Timing
from navietakie.aws.tables import calls, dynamo, keys
from navietakie.aws.tables.connections import Connections
from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.tables.messages import HeadMoved, Marker, Messages
from navietakie.aws.timers import QueuedTimers
from navietakie.broadcast import Broadcast
from navietakie.domain import conversation
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.domain.orders import Rights
from send_message import sending
from send_message.topic import MessageTopic
from tests.chaos import scenes
from tests.chaos.scenes import Scene

Patch = pytest.MonkeyPatch
ALWAYS = "attribute_exists(booking_code) OR attribute_not_exists(booking_code)"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """`broken` breaks the code. `said` is a regular expression for what the checker then says."""

    broken: Callable[[Patch], None]
    said: str
    scenes: tuple[Scene, ...]
    operations: int = 8
    hook: Literal["deny", "allow"] | None = None

    @property
    def name(self) -> str:
        """The promise, in the words of docs/reliability.md."""
        return self.broken.__name__


MUTANTS: list[Mutant] = []


def mutant(said: str, *played: Scene, **how: Any) -> Callable[[Callable[[Patch], None]], Callable[[Patch], None]]:
    """Adds a mutant to the list."""

    def add(broken: Callable[[Patch], None]) -> Callable[[Patch], None]:
        MUTANTS.append(Mutant(broken=broken, said=said, scenes=played, **how))
        return broken

    return add


def always(write: Any, *values: str) -> Any:
    """A write whose condition always holds. `values`: those that only the condition uses."""
    kept = {name: it for name, it in write.get("ExpressionAttributeValues", {}).items() if name not in values}
    changed = {**write, "ConditionExpression": ALWAYS, "ExpressionAttributeValues": kept}
    return {name: it for name, it in changed.items() if it != {}}


class Lagging:
    """A DynamoDB client none of whose reads is strongly consistent."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        ask = getattr(self._client, name)
        return lambda **fields: ask(**unasked(fields))


def unasked(fields: Any) -> Any:
    """The same request, which does not ask for consistency."""
    if not isinstance(fields, dict):
        return fields
    return {name: unasked(it) for name, it in cast(dict[str, Any], fields).items() if name != "ConsistentRead"}


def read_as_it_was(patch: Patch, adapter: type[Any], method: str) -> None:
    """Makes the reads of a method eventually consistent."""
    real = getattr(adapter, method)

    def read(self: Any, *how: Any, **fields: Any) -> Any:
        lagging = copy(self)
        lagging._client = Lagging(self._client)
        return real(lagging, *how, **fields)

    patch.setattr(adapter, method, read)


# --- stored once, in order, without a hole


@mutant("the sequence is", scenes.talks_at_once)
def drop_the_heads_condition(patch: Patch) -> None:
    real = Messages._head_update
    patch.setattr(Messages, "_head_update", lambda *how: always(real(*how), ":before"))


@mutant("is not there as it was", scenes.talks_at_once)
def swallow_a_lost_race(patch: Patch) -> None:
    real = Messages.store

    def store(self: Messages, *how: Any, **fields: Any) -> None:
        with suppress(HeadMoved, Contended):
            real(self, *how, **fields)

    patch.setattr(Messages, "store", store)


@mutant("is not there as it was", scenes.talks_at_once)
def acknowledge_what_is_not_stored(patch: Patch) -> None:
    real = Messages.store

    def store(self: Messages, message: Any, **fields: Any) -> None:
        if message.seq % 5:
            real(self, message, **fields)

    patch.setattr(Messages, "store", store)


@mutant("all tries were refused", scenes.talks_at_once)
def store_and_refuse(patch: Patch) -> None:
    real = Messages.store

    def store(self: Messages, message: Any, **fields: Any) -> None:
        real(self, message, **fields)
        if message.sender != "system" and message.seq % 5 == 0:
            raise Refusal("rate_limited", "no", retry_after_ms=1)

    patch.setattr(Messages, "store", store)


@mutant("both hold", scenes.says_otherwise)
def forget_the_marker(patch: Patch) -> None:
    patch.setattr(sending, "_marker", lambda *_: None)


@mutant("was acknowledged", scenes.talks_at_once, scenes.says_otherwise)
def take_other_words_for_a_repeat(patch: Patch) -> None:
    patch.setattr(Marker, "fits", lambda *_: True)


@mutant("the sequence is|comes after", scenes.talks_at_once)
def trust_the_clock(patch: Patch) -> None:
    patch.setattr(conversation, "next_timestamp", lambda head, now: conversation.instants.to_text(now))


@mutant("that is not stored|is not there as it was", scenes.talks_at_once)
def push_what_is_not_stored(patch: Patch) -> None:
    real = Messages.store

    def store(self: Messages, message: Any, **fields: Any) -> None:
        real(self, message.model_copy(update={"message": f"{message.message}!"}), **fields)

    patch.setattr(Messages, "store", store)


@mutant("was answered|heard", scenes.talks_at_once, scenes.says_how_far)
def know_no_conflict(patch: Patch) -> None:
    """A transaction conflict is treated as an unexpected error."""
    patch.setattr(dynamo, "Contended", type("Nobody", (Exception,), {"__init__": lambda self, **_: None}))


# --- orders


@mutant("was stored in the closed booking", scenes.closes_on_a_talk)
def take_messages_into_closed_bookings(patch: Patch) -> None:
    real = conversation.append

    def append(head: Head, *how: Any, **fields: Any) -> Any:
        return real(replace(head, rights=replace(head.rights, closed_at=None)), *how, **fields)

    patch.setattr(sending, "append", append)


@mutant("while its side was muted", scenes.is_muted)
def hear_a_muted_side(patch: Patch) -> None:
    patch.setattr(Rights, "check_not_muted", lambda *_: None)


@mutant("in the closed booking|while its side was muted", scenes.orders_race, scenes.orders_race)
def decide_on_the_rights_of_the_first_look(patch: Patch) -> None:
    """An order that comes between read and write does not stop the write: the head's condition leaves it out."""
    real = conversation.append
    first: dict[str, Any] = {}

    def append(head: Head, *how: Any, **fields: Any) -> Any:
        if fields["sender"] == "system":
            return real(head, *how, **fields)
        rights = first.setdefault(fields["message_id"], head.rights)
        message, after = real(replace(head, rights=rights), *how, **fields)
        return message, replace(after, rights=head.rights)

    patch.setattr(sending, "append", append)


@mutant("went on after the order: closed", scenes.closes_on_a_talk)
def close_without_a_timer(patch: Patch) -> None:
    real = QueuedTimers.queue

    def queue(self: QueuedTimers, kind: Any, *how: Any, **fields: Any) -> None:
        if kind != "order":
            real(self, kind, *how, **fields)

    patch.setattr(QueuedTimers, "queue", queue)


@mutant("went on after the order: revoked", scenes.is_revoked)
def revoke_and_let_them_talk(patch: Patch) -> None:
    patch.setattr(make_call.timing, "_is_revoked", lambda *_: False)


@mutant("began in the closed booking", scenes.closes_on_a_talk)
def call_in_a_closed_booking(patch: Patch) -> None:
    real = Messages.rights_check

    def check(self: Messages, *how: Any, **fields: Any) -> Any:
        found = real(self, *how, **fields)
        text = found["ConditionCheck"]["ConditionExpression"]
        found["ConditionCheck"]["ConditionExpression"] = text.replace("attribute_not_exists(closed_at)", f"({ALWAYS})")
        return found

    patch.setattr(Messages, "rights_check", check)


@mutant("was begun by the muted", scenes.is_muted)
def let_a_muted_side_call(patch: Patch) -> None:
    real = Messages.rights_check

    def check(self: Messages, *how: Any, speaks: bool) -> Any:
        return real(self, *how, speaks=False)

    patch.setattr(Messages, "rights_check", check)


# --- redactions


@mutant("its content is there|are redacted, and the notices name", scenes.reads_what_was_redacted)
def note_a_redaction_and_leave_the_text(patch: Patch) -> None:
    real = Messages._content_out

    def lax(self: Messages, *how: Any) -> Any:
        write = real(self, *how)
        kept = {name: it for name, it in write["ExpressionAttributeValues"].items() if name != ":nothing"}
        rest = {name: it for name, it in write.items() if name != "ExpressionAttributeNames"}
        return {**rest, "UpdateExpression": "SET redacted_at = :at", "ExpressionAttributeValues": kept}

    patch.setattr(Messages, "_content_out", lax)


@mutant("after its redaction had been acknowledged", scenes.reads_what_was_redacted)
def keep_what_was_redacted_in_the_cache(patch: Patch) -> None:
    real = history.PageKey
    patch.setattr(history, "PageKey", lambda booking, epoch, redactions, *how: real(booking, epoch, 0, *how))


@mutant("was refused a repeat of a redacted message", scenes.reads_what_was_redacted)
def remember_what_the_redacted_text_was(patch: Patch) -> None:
    real = Messages._digest_out

    def keep(self: Messages, booking_code: str, marker: Marker) -> Any:
        write = real(self, booking_code, marker)
        write["ExpressionAttributeValues"][":any"] = {"S": marker.digest}
        return write

    patch.setattr(Messages, "_digest_out", keep)


@mutant("are noted more than once", scenes.redacts_at_once, scenes.reads_what_was_redacted)
def redact_twice(patch: Patch) -> None:
    real, read = Messages._content_out, Messages.message

    def lax(self: Messages, *how: Any) -> Any:
        write = real(self, *how)
        return {**write, "ConditionExpression": "message_id = :message_id"}

    def message(self: Messages, *how: Any, **fields: Any) -> Any:
        found = read(self, *how, **fields)
        return found and found.model_copy(update={"redacted_at": None})

    patch.setattr(Messages, "_content_out", lax)
    patch.setattr(Messages, "message", message)


@mutant("who had not sent it|is part of the record", scenes.takes_back_what_others_said)
def let_anybody_redact_anything(patch: Patch) -> None:
    patch.setattr(send_message.redacting, "check_redactable", lambda *_: None)


@mutant("is served, and a message that names it is redacted", scenes.sends_photos)
def leave_the_photo(patch: Patch) -> None:
    patch.setattr(send_message.attaching.Attaching, "forget", lambda *_: None)


@mutant("in the closed booking|while its side was muted", scenes.is_muted, scenes.closes_on_a_talk)
def redact_in_silence(patch: Patch) -> None:
    """A redaction does not check whether its sender may write."""
    patch.setattr(Rights, "check_writing", lambda *_: None)
    real = conversation.append

    def append(head: Head, *how: Any, **fields: Any) -> Any:
        if fields["sender"] != "system":
            if head.rights.closed_at is not None:
                head.rights.check_open()
            head.rights.check_not_muted(fields["sender"])
        return real(head, *how, **fields)

    patch.setattr(sending, "append", append)


# --- what clients are given


@mutant("has moved back", scenes.says_how_far, scenes.says_how_far)
def move_receipts_back(patch: Patch) -> None:
    def move_receipt(self: Messages, booking_code: str, side: str, kind: str, seq: int, *_: Any) -> tuple[Head, bool]:
        with dynamo.translated():
            self._client.update_item(
                TableName=self.table,
                Key=keys.in_booking(booking_code, keys.HEAD),
                UpdateExpression="SET #mark = :seq",
                ExpressionAttributeNames={"#mark": f"{side}_{kind}"},
                ExpressionAttributeValues={":seq": {"N": str(seq)}},
            )
        return self.head(booking_code), True

    patch.setattr(Messages, "move_receipt", move_receipt)


@mutant("has read .* and said", scenes.says_how_far)
def read_what_was_delivered(patch: Patch) -> None:
    real = Messages.move_receipt

    def move(self: Messages, booking_code: str, side: Any, kind: Any, *how: Any) -> Any:
        return real(self, booking_code, side, "read", *how)

    patch.setattr(Messages, "move_receipt", move)


@mutant("synced to", scenes.misses_much)
def leave_out_a_message_of_a_sync(patch: Patch) -> None:
    real = Sync._messages

    def without_the_second(self: Sync, *how: Any) -> Any:
        return (message for number, message in enumerate(real(self, *how)) if number != 1)

    patch.setattr(Sync, "_messages", without_the_second)


@mutant("synced to", scenes.misses_much)
def end_a_sync_after_its_first_step(patch: Patch) -> None:
    real = Sync._messages

    def first(self: Sync, booking_code: str, after: Any, head: Head, now: int) -> Any:
        store, asked = self.store, list[int]()

        class Once:
            def page(self, *how: Any, **fields: Any) -> Any:
                asked.append(1)
                return replace(store.page(*how, **fields), position=None)

        return real(replace(self, store=cast(Any, Once())), booking_code, after, head, now)

    patch.setattr(Sync, "_messages", first)


@mutant("synced to", scenes.misses_much)
def number_no_frame_of_a_sync(patch: Patch) -> None:
    real = Sync._frame

    def first(self: Sync, _: int, *how: Any, **fields: Any) -> Any:
        return real(self, 0, *how, **fields)

    patch.setattr(Sync, "_frame", first)


@mutant("synced to", scenes.reads_what_was_redacted)
def skip_a_message_between_pages(patch: Patch) -> None:
    real = Messages.page

    def page(self: Messages, *how: Any, **fields: Any) -> Any:
        found = real(self, *how, **fields)
        skipped = fields.get("after") and fields.get("ascending") and len(found.messages) > 1
        return replace(found, messages=found.messages[1:]) if skipped else found

    patch.setattr(Messages, "page", page)


@mutant("read up to", scenes.talks_at_once, scenes.looks_at_once)
def take_the_newest_page_for_a_past_one(patch: Patch) -> None:
    patch.setattr(history, "_is_past", lambda page, place, head: len(page.messages) >= place.limit)


@mutant("read that the last is", scenes.looks_at_once)
def read_the_head_as_it_was(patch: Patch) -> None:
    read_as_it_was(patch, Messages, "head")


@mutant("read up to", scenes.looks_at_once)
def read_a_page_as_it_was(patch: Patch) -> None:
    read_as_it_was(patch, Messages, "page")


@mutant("was told of .* after", scenes.looks_at_once)
def say_how_it_stood(patch: Patch) -> None:
    """A pong has the head and the call as they were."""
    read_as_it_was(patch, calls.Calls, "with_head")


# --- calls


@mutant("call .* is both|was told that it accepted", scenes.answers_at_once, scenes.answers_at_once)
def ignore_the_version(patch: Patch) -> None:
    real = calls._unchanged

    def same_call(call: Any) -> Any:
        condition = real(call)
        del condition["ExpressionAttributeValues"][":this_version"]
        return {**condition, "ConditionExpression": "call_id = :this_call"}

    patch.setattr(calls, "_unchanged", same_call)


@mutant("call .* is both|and nobody answered it|left messages of", scenes.answers_too_late)
def ignore_which_call_it_is(patch: Patch) -> None:
    real = calls._unchanged

    def same_version(call: Any) -> Any:
        condition = real(call)
        del condition["ExpressionAttributeValues"][":this_call"]
        return {**condition, "ConditionExpression": "version = :this_version"}

    patch.setattr(calls, "_unchanged", same_version)


@mutant("went on ringing", scenes.rings_in_vain)
def let_it_ring(patch: Patch) -> None:
    patch.setattr(Timing, "ring", lambda *_: None)


@mutant("call .* is both|was told that it accepted|went from connected to connected", scenes.answers_at_once)
def answer_a_call_twice(patch: Patch) -> None:
    real = Calling.advance

    def advance(self: Calling, booking_code: str, decide: Any, *how: Any) -> Any:
        def again(latest: Any, now: int) -> Any:
            if latest is not None and latest.state == "connected":
                latest = latest.model_copy(update={"state": "ringing", "answered_by": None})
            return decide(latest, now)

        return real(self, booking_code, again, *how)

    patch.setattr(Calling, "advance", advance)


@mutant("is not in the log", scenes.ends_every_way)
def log_no_call(patch: Patch) -> None:
    real = calls.transact
    kept = lambda writes: {name: write for name, write in writes.items() if not _is_log(write)}  # noqa: E731
    patch.setattr(calls, "transact", lambda client, writes: real(client, kept(writes)))


def _is_log(write: Any) -> bool:
    return "Put" in write and "ended_at" in write["Put"]["Item"]


@mutant("left messages of|is there, and nobody sent it", scenes.ends_every_way)
def leave_a_message_of_another_kind(patch: Patch) -> None:
    real = make_call.calling.summary
    patch.setattr(make_call.calling, "summary", lambda call: real(call).model_copy(update={"message_type": "text"}))


@mutant("has another message than log entry", scenes.ends_every_way)
def say_how_the_call_was_before(patch: Patch) -> None:
    """The message of an ended call has the state before the end."""
    real = make_call.calling.summary

    def summary(call: Any) -> Any:
        return real(call.model_copy(update={"end_reason": None}))

    patch.setattr(make_call.calling, "summary", summary)


@mutant("both sides were there", scenes.comes_back, scenes.comes_back, scenes.comes_back)
def lose_a_side_that_is_there(patch: Patch) -> None:
    real = Timing.left

    def left(self: Timing, timer: Any, deadline: float) -> None:
        nobody = type("Nobody", (), {"of_booking": staticmethod(lambda *_: [])})
        real(replace(self, connections=cast(Any, nobody)), timer, deadline)

    patch.setattr(Timing, "left", left)


@mutant("nobody gave that reason", scenes.ends_every_way)
def call_a_decline_a_cancel(patch: Patch) -> None:
    real = make_call.calling.moved

    def moved(call: Any, act: Any, at: int) -> Any:
        after = real(call, act, at)
        return after.model_copy(update={"end_reason": "cancelled"}) if after.end_reason == "declined" else after

    patch.setattr(make_call.calling, "moved", moved)


# --- connections


@mutant("was disowned", scenes.comes_and_goes)
def delete_the_senders_row_on_410(patch: Patch) -> None:
    real = Broadcast._delete_gone

    def delete_the_first(self: Broadcast, connections: Any, outcomes: Any, now: int) -> None:
        # An answer to the sender comes first of all posts.
        blamed = [connections[0]] * len(connections) if connections else []
        real(self, blamed, outcomes, now)

    patch.setattr(Broadcast, "_delete_gone", delete_the_first)


@mutant("was disowned", scenes.comes_and_goes, scenes.comes_and_goes)
def delete_young_rows_on_410(patch: Patch) -> None:
    """A connection that is still in its `$connect` answers 410 and loses its row, although the row is young."""

    def remove(self: Connections, connection: Any, _: int) -> bool:
        return self._delete(connection.connection_id)

    patch.setattr(Connections, "remove_gone", remove)


@mutant("rests with its app hidden", scenes.hides)
def note_nobody_as_away(patch: Patch) -> None:
    patch.setattr(Connections, "set_away", lambda *_, **__: False)


# --- the hook


@mutant("the hook had not let", scenes.says_what_is_judged, hook="deny")
def store_what_the_hook_denies(patch: Patch) -> None:
    real = send_message.hook.judged

    def judged(answer: Any, message: Any, new: Any) -> Any:
        return new if answer.get("action") == "deny" else real(answer, message, new)

    patch.setattr(send_message.hook, "judged", judged)


@mutant("the hook had not let", scenes.says_what_is_judged, hook="deny")
def store_what_the_hook_replaces(patch: Patch) -> None:
    patch.setattr(send_message.hook, "_replaced", lambda answer, message, new: new)


@mutant("the hook had not let", scenes.talks_at_once, scenes.talks_at_once, hook="deny")
def allow_where_the_hook_fails(patch: Patch) -> None:
    real = send_message.hook.Hook.screened
    patch.setattr(send_message.hook.Hook, "screened", lambda self, *how: real(replace(self, on_failure="allow"), *how))


@mutant("the hook was asked", scenes.talks_at_once, hook="deny")
def ask_the_hook_each_time_it_is_tried(patch: Patch) -> None:
    real = conversation.append

    def append(head: Head, new: Any, **fields: Any) -> Any:
        if fields["sender"] != "system":
            import send_message.wiring

            screen = send_message.wiring.before_storing()[1]
            message, _ = real(head, new, **fields)
            if screen is not None:
                new = screen(message, new)
        return real(head, new, **fields)

    patch.setattr(sending, "append", append)


# --- message events


@mutant("was never told of", scenes.stops_the_topic)
def drop_what_the_topic_does_not_take(patch: Patch) -> None:
    real = MessageTopic.publish

    def publish(self: MessageTopic, events: Any, deadline: float) -> Any:
        with suppress(Refusal):
            return real(self, events, deadline)
        return {}

    patch.setattr(MessageTopic, "publish", publish)


@mutant("was never told of: .*-redacted", scenes.reads_what_was_redacted)
def tell_of_no_redaction(patch: Patch) -> None:
    real = send_message.telling.event_of
    patch.setattr(
        send_message.telling, "event_of", lambda change: None if change["eventName"] == "MODIFY" else real(change)
    )


@mutant("which is not there as it was|had been acknowledged", scenes.reads_what_was_redacted)
def tell_other_words(patch: Patch) -> None:
    real = send_message.telling.in_full
    patch.setattr(
        send_message.telling, "in_full", lambda *how: cast(Any, {**real(*how), "message": "something was said"})
    )
