"""Every write of the functions: what is stored before, the request, and everything that has to be stored after."""

from collections.abc import Callable
from typing import Any

import pytest

from make_call.app import handler as make_call
from navietakie.aws.tables.calls import calls
from navietakie.aws.tables.connections import connections
from navietakie.aws.tables.messages import messages
from navietakie.domain import instants
from send_message.app import handler as send_message
from tests.fakes import invocations
from tests.worlds.wire import World

Write = Callable[[World, str], None]


def by_rest(world: World, ride: str) -> None:
    body = {"booking_code": ride, "sender": "driver", "message": "Hello", "client_message_id": "a"}
    assert world.ask(send_message, invocations.rest("send_message", body))["message"]["seq"] == 2


def by_socket(world: World, ride: str) -> None:
    frame = {"action": "message", "id": "a", "message": "Hello"}
    world.ask(send_message, invocations.frame(f"{ride}-driver", frame))
    assert world.heard[f"{ride}-driver"][-1]["type"] == "ack"


def close(world: World, ride: str) -> None:
    _tell(world, ride, "booking_closed")


def close_and_open(world: World, ride: str) -> None:
    _tell(world, ride, "booking_closed")
    _tell(world, ride, "booking_opened")


def receipt_by_rest(world: World, ride: str) -> None:
    body = {"booking_code": ride, "sender": "driver", "read": 1}
    assert world.ask(send_message, invocations.rest("send_message", body))["receipts"]["driver"]["read"] == 1


def receipt_by_socket(world: World, ride: str) -> None:
    world.ask(send_message, invocations.frame(f"{ride}-driver", {"action": "delivered", "seq": 1}))


def _tell(world: World, ride: str, event: str) -> None:
    body = {
        "booking_code": ride,
        "sender": "system",
        "message_type": "system",
        "message": event,
        "metadata": {"event": event},
        "client_message_id": event,
    }
    assert "message" in world.ask(send_message, invocations.rest("send_message", body))


def stage(world: World, ride: str) -> None:
    """A booking with a message, two connections, and one that is gone."""
    world.ask(
        send_message, invocations.rest("send_message", {"booking_code": ride, "sender": "passenger", "message": "Hi"})
    )
    for name, sender in (("driver", "driver"), ("passenger", "passenger"), ("lost", "passenger")):
        world.join(f"{ride}-{name}", ride, sender)
    world.gone.add(f"{ride}-lost")


def outcome(world: World, ride: str) -> Any:
    """Everything that has to be the same, however often the function died, after one more message."""
    later = {"booking_code": ride, "sender": "system", "message": "Later"}
    world.ask(send_message, invocations.rest("send_message", later))
    now = instants.from_text("2026-03-01T08:00:00.000000Z")
    head = messages().head(ride)
    page = messages().page(ride, now=now, ascending=True, limit=100)
    history = [
        (message.seq, message.sender, message.message_type, message.message, message.client_message_id)
        for message in page.messages
    ]
    frames = world.heard[f"{ride}-passenger"]
    heard = {frame["message"]["seq"] for frame in frames if frame["type"] == "message"}
    here = sorted(connection.connection_id.removeprefix(ride) for connection in connections().of_booking(ride, now))
    queued = {body["kind"] for _, body in world.wire.queued if body["booking_code"] == ride}
    return history, head.seq, bool(head.closed_at), head.receipts, heard, here, queued


def take_step(world: World, ride: str, sender: str, action: str) -> Any:
    latest = calls().latest(ride)
    body = {"booking_code": ride, "sender": sender, "action": action, "call_id": latest.call_id if latest else None}
    answer = world.ask(make_call, invocations.rest("make_call", body))
    assert "call" in answer, answer
    return answer["call"]


WRITES: tuple[Write, ...] = (by_rest, by_socket, close, receipt_by_rest, receipt_by_socket)
"""The writes that store one item."""


def for_each(*writes: Write) -> pytest.MarkDecorator:
    """Runs a test with each of these writes as its parameter `write`."""
    return pytest.mark.parametrize("write", writes, ids=lambda write: write.__name__)
