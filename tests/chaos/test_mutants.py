"""The checker is worth something if it sees a broken promise: here the code is broken on purpose."""

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

import pytest

from clients.proving.checker import problems
from get_message.sync import Sync
from make_call.calling import Calling
from navietakie.aws.tables import calls, dynamo, keys
from navietakie.aws.tables.dynamo import Contended
from navietakie.aws.tables.messages import HeadMoved, Messages
from navietakie.broadcast import Broadcast
from navietakie.domain import conversation
from navietakie.domain.conversation import Head
from send_message import sending
from tests.chaos.run import run

SEEDS = range(1, 41)
"""Tried until one of them shows it."""
OPERATIONS = 120
ALWAYS = "attribute_exists(booking_code) OR attribute_not_exists(booking_code)"


def drop_the_heads_condition(patch: pytest.MonkeyPatch) -> None:
    real = Messages._head_update

    def update(self: Messages, *how: Any) -> Any:
        write = real(self, *how)
        write["ExpressionAttributeValues"].pop(":before", None)
        return {**write, "ConditionExpression": ALWAYS}

    patch.setattr(Messages, "_head_update", update)


def swallow_a_conflict(patch: pytest.MonkeyPatch) -> None:
    real = Messages.store

    def store(self: Messages, *how: Any, **fields: Any) -> None:
        with suppress(HeadMoved, Contended):
            real(self, *how, **fields)

    patch.setattr(Messages, "store", store)


def read_the_head_as_it_was(patch: pytest.MonkeyPatch) -> None:
    real = Messages.head

    def head(self: Messages, booking_code: str) -> Head:
        client = self._client
        lax = type(
            "Lax", (), {"get_item": staticmethod(lambda **how: client.get_item(**how | {"ConsistentRead": False}))}
        )
        return real(Messages(cast(Any, lax), self.table), booking_code)

    patch.setattr(Messages, "head", head)


def forget_the_marker(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sending, "_marker", lambda *_: None)


def delete_the_senders_row_on_410(patch: pytest.MonkeyPatch) -> None:
    real = Broadcast._delete_gone

    def delete_the_first(self: Broadcast, connections: Any, outcomes: Any, now: int) -> None:
        # An answer to the sender comes first of all posts.
        blamed = [connections[0]] * len(connections) if connections else []
        real(self, blamed, outcomes, now)

    patch.setattr(Broadcast, "_delete_gone", delete_the_first)


def ignore_the_version(patch: pytest.MonkeyPatch) -> None:
    real = calls._unchanged

    def same_call(call: Any) -> Any:
        condition = real(call)
        del condition["ExpressionAttributeValues"][":this_version"]
        return {**condition, "ConditionExpression": "call_id = :this_call"}

    patch.setattr(calls, "_unchanged", same_call)


def take_messages_into_closed_bookings(patch: pytest.MonkeyPatch) -> None:
    real = conversation.append

    def append(head: Head, *how: Any, **fields: Any) -> Any:
        return real(replace(head, rights=replace(head.rights, closed_at=None)), *how, **fields)

    patch.setattr(sending, "append", append)


def decide_on_the_rights_of_the_first_look(patch: pytest.MonkeyPatch) -> None:
    """An order that comes between the look and the write is no longer in the way: it is not in the head's condition."""
    real = conversation.append
    first: dict[str, Any] = {}

    def append(head: Head, *how: Any, **fields: Any) -> Any:
        if fields["sender"] == "system":
            return real(head, *how, **fields)
        rights = first.setdefault(fields["message_id"], head.rights)
        message, after = real(replace(head, rights=rights), *how, **fields)
        return message, replace(after, rights=head.rights)

    patch.setattr(sending, "append", append)


def trust_the_clock(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(conversation, "next_timestamp", lambda head, now: conversation.instants.to_text(now))


def move_receipts_back(patch: pytest.MonkeyPatch) -> None:
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


def leave_out_a_message_of_a_sync(patch: pytest.MonkeyPatch) -> None:
    real = Sync._messages

    def without_the_second(self: Sync, *how: Any) -> Any:
        return (message for number, message in enumerate(real(self, *how)) if number != 1)

    patch.setattr(Sync, "_messages", without_the_second)


def number_no_frame_of_a_sync(patch: pytest.MonkeyPatch) -> None:
    real = Sync._frame

    def first(self: Sync, _: int, *how: Any, **fields: Any) -> Any:
        return real(self, 0, *how, **fields)

    patch.setattr(Sync, "_frame", first)


def push_what_is_not_stored(patch: pytest.MonkeyPatch) -> None:
    real = Messages.store

    def store(self: Messages, message: Any, **fields: Any) -> None:
        real(self, message.model_copy(update={"message": f"{message.message}!"}), **fields)

    patch.setattr(Messages, "store", store)


def answer_a_call_twice(patch: pytest.MonkeyPatch) -> None:
    real = Calling.advance

    def advance(self: Calling, booking_code: str, decide: Any, *how: Any) -> Any:
        def again(latest: Any, now: int) -> Any:
            if latest is not None and latest.state == "connected":
                latest = latest.model_copy(update={"state": "ringing", "answered_by": None})
            return decide(latest, now)

        return real(self, booking_code, again, *how)

    patch.setattr(Calling, "advance", advance)


@pytest.mark.parametrize(
    ("mutant", "said"),
    [
        (drop_the_heads_condition, "the sequence is"),
        (swallow_a_conflict, "is not there as it was"),
        (read_the_head_as_it_was, "was told of"),
        (forget_the_marker, "both hold"),
        (delete_the_senders_row_on_410, "was disowned"),
        (ignore_the_version, "call .* is both"),
        (take_messages_into_closed_bookings, "was stored in the closed booking"),
        (decide_on_the_rights_of_the_first_look, "in the closed booking|while its side was muted"),
        (trust_the_clock, "the sequence is"),
        (move_receipts_back, "has moved back"),
        (leave_out_a_message_of_a_sync, "synced to"),
        (number_no_frame_of_a_sync, "synced to"),
        (push_what_is_not_stored, "that is not stored|is not there as it was"),
        (answer_a_call_twice, "call .* is both"),
    ],
    ids=lambda it: "" if isinstance(it, str) else it.__name__,
)
def test_a_broken_promise_is_seen(mutant: Callable[[pytest.MonkeyPatch], None], said: str) -> None:
    assert any(re.search(said, problem) for seed in SEEDS for problem in _problems(seed, mutant))


def _problems(seed: int, mutant: Callable[[pytest.MonkeyPatch], None]) -> list[str]:
    return problems(run(seed, operations=OPERATIONS, bookings=1, broken=mutant))
