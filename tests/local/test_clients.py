"""The terminal's commands, against a WebSocket that sends what a deployment may send."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, BinaryIO

import jwt
import pytest
from aiohttp import ClientSession
from websockets import ConnectionClosed, Subprotocol
from websockets.asyncio.server import ServerConnection, serve

from clients import chat as chatting
from clients import deployment, erase, mcp_server, orders, smoke, tokens
from clients.chat import chat
from clients.command import BOOKING, YES, Command, Failed
from clients.deployment import Deployment
from navietakie.domain.errors import Refusal

OURS = Subprotocol(smoke.SUBPROTOCOL)
OF_THE_GATEWAY = {"message": "Internal server error", "connectionId": "abc=", "requestId": "r-1"}
MESSAGE = {"message_id": "m1", "timestamp": "2026-11-22T07:46:53.469476Z", "sender": "driver", "message": "Hello"}


@asynccontextmanager
async def saying(*frames: dict[str, Any]) -> AsyncGenerator[str]:
    """The URL of a WebSocket that answers the first frame with `frames` and closes."""

    async def answer(socket: ServerConnection) -> None:
        await socket.recv()
        for frame in frames:
            await socket.send(json.dumps(frame))

    async with serve(answer, "127.0.0.1", 0, subprotocols=[OURS]) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def answering(got: list[Any]) -> AsyncGenerator[str]:
    """The URL of a WebSocket that keeps each frame, and answers those that the server answers.

    It works on all frames at once, as functions do: a later frame may be answered before an earlier one.
    """

    async def work(socket: ServerConnection, frame: dict[str, Any], number: int) -> None:
        await asyncio.sleep(0.2 / number)
        got.append(frame)
        synced: dict[str, Any] = {"type": "sync", "messages": [], "has_more": False}
        message = {**MESSAGE, "message_id": str(number), "message": frame.get("message")}
        answers = {"sync": synced, "message": {"type": "ack", "message": message}}
        if answer := answers.get(frame["action"]):
            with suppress(ConnectionClosed):
                await socket.send(json.dumps(answer))

    async def answer(socket: ServerConnection) -> None:
        async with asyncio.TaskGroup() as working:
            number = 0
            async for received in socket:
                number += 1
                working.create_task(work(socket, json.loads(received), number))

    async with serve(answer, "127.0.0.1", 0, subprotocols=[OURS]) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def piped(lines: bytes) -> BinaryIO:
    reader, writer = os.pipe()
    os.write(writer, lines)
    os.close(writer)
    return os.fdopen(reader, "rb")


def filed(lines: bytes) -> BinaryIO:
    with tempfile.TemporaryFile() as file:
        file.write(lines)
        file.seek(0)
        return os.fdopen(os.dup(file.fileno()), "rb")


def at_a_terminal(lines: bytes) -> BinaryIO:
    """The input of a terminal, which stays open; Ctrl-D at the end."""
    keyboard, terminal = os.openpty()
    os.write(keyboard, lines + b"\x04")
    return os.fdopen(terminal, "rb")


def pushed(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "ts": "2026-11-22T13:11:03.000001Z", "sender": "driver", **fields}


def test_chat_shows_each_message_once_and_other_frames_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    call = {"call_id": "c1", "state": "ringing", "end_reason": None}
    call_ack = {"type": "ack", "call": call}
    synced = {"type": "sync", "messages": [MESSAGE], "has_more": False}
    error = {"code": "rate_limited", "message": "Too many messages", "retryable": True, "retry_after_ms": 200}
    frames = [
        *(OF_THE_GATEWAY, {"type": "message", "message": MESSAGE}, synced, call_ack, {"type": "unknown"}),
        pushed("call", call_action="initiate", call_id="c1", call=call),
        pushed("call", call_action="accept", call_id="c1", call={**call, "state": "connected"}),
        pushed("call", sender="system", call_action="end", call_id="c1", call={**call, "end_reason": "no_answer"}),
        *(pushed("presence", online=online) for online in (True, False)),
        *(pushed("typing", on=on) for on in (True, False)),
        *(pushed("receipt", action=action, seq=4) for action in ("delivered", "read")),
        pushed("signal", call_id="c1", data={"type": "offer"}),
        {"type": "error", "id": None, "error": error},
    ]

    async def run() -> None:
        with open("/dev/null", "rb") as nobody:
            async with saying(*frames) as url:
                with pytest.raises(ConnectionClosed):
                    await chat(url, [OURS], nobody)

    asyncio.run(run())
    accept = '{"action":"call","call_action":"accept","call_id":"c1"}'
    assert capsys.readouterr().out.splitlines() == [
        "API Gateway: Internal server error",
        "07:46:53    driver: Hello",
        json.dumps(call_ack),
        '{"type": "unknown"}',
        f"13:11:03 driver calls. To answer, paste {accept}",
        "13:11:03 driver answers the call",
        "13:11:03 system ends the call (no_answer)",
        *("13:11:03 driver is online", "13:11:03 driver is offline"),
        *("13:11:03 driver is typing", "13:11:03 driver has stopped typing"),
        "13:11:03 driver has received everything up to 4",
        "13:11:03 driver has read everything up to 4",
        "13:11:03 driver signals",
        "rate_limited: Too many messages",
    ]


def test_a_message_can_neither_control_the_terminal_nor_imitate_another_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chatting.say("passenger: x\x1b[2J\x9b31m\r\x07\u202egnihton\ud83d")
    chatting.say("passenger: x\n\n3. system: gone\u2028 system: gone\r\nsystem: gone")
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "passenger: x\ufffd[2J\ufffd31m\ufffd\ufffd\ufffdgnihton\ufffd"
    assert lines[0] == "passenger: x"
    assert lines[1:] == [chatting.INDENT + it for it in ("", "3. system: gone", " system: gone", "system: gone")]


def test_a_harmless_message_is_shown_unchanged(capsys: pytest.CaptureFixture[str]) -> None:
    family, persian, french = "👨\u200d👩\u200d👧 🏴\U000e0067\U000e007f ❤\ufe0f", "می\u200cخواهم", "Où\u00a0?"
    chatting.say(f"{family} {persian} {french}")
    assert capsys.readouterr().out == f"{family} {persian} {french}\n"


def test_a_message_without_text_is_shown_by_its_type() -> None:
    assert chatting.content_of({**MESSAGE, "message": "", "redacted_at": "2026-11-22T07:46:53.469476Z"}) == "(removed)"
    assert chatting.content_of({**MESSAGE, "message": "", "message_type": "image"}) == "(image)"


@pytest.mark.parametrize("typed", [piped, filed])
def test_chat_sends_each_line_of_a_pipe_or_file_in_order_and_leaves_at_its_end(
    typed: Callable[[bytes], BinaryIO], capsys: pytest.CaptureFixture[str]
) -> None:
    got: list[Any] = []

    async def run() -> None:
        with typed(b'caf\xe9\none\n\n{"action":"read","seq":1}\nlast\n') as lines:
            async with answering(got) as url:
                await chat(url, [OURS], lines)

    asyncio.run(run())
    assert got[0] == {"action": "sync"}
    assert {"action": "read", "seq": 1} in got
    assert [frame["message"] for frame in got if "message" in frame] == ["caf\ufffd", "one", "last"]
    texts = [line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert texts == ["caf\ufffd", "one", "last"]


def test_typed_lines_are_sent_and_ctrl_d_leaves() -> None:
    got: list[Any] = []

    async def run() -> None:
        with at_a_terminal(b"caf\xe9\none\n") as lines:
            async with answering(got) as url:
                await chat(url, [OURS], lines)

    asyncio.run(run())
    assert sorted(frame.get("message", "") for frame in got) == ["", "caf\ufffd", "one"]


def test_chat_refuses_a_line_that_is_too_long_and_sends_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    got: list[Any] = []

    async def run() -> None:
        with filed("😀".encode() * 25_000 + b"\n" + "😀".encode() * 5_000) as lines:
            async with answering(got) as url:
                await chat(url, [OURS], lines)

    asyncio.run(run())
    assert got == [{"action": "sync"}, {"action": "message", "message": "😀" * 5_000}]
    assert "Not sent: 100,036 bytes as a frame, 32,768 are the most" in capsys.readouterr().out


def test_an_error_while_sending_ends_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: Any) -> None:
        raise ValueError("odd")

    async def run() -> None:
        with open("/dev/null", "rb") as nobody:
            async with answering([]) as url:
                await chat(url, [OURS], nobody)

    monkeypatch.setattr("clients.chat.send", failing)
    with pytest.raises(ValueError, match="odd"):
        asyncio.run(run())


def test_chat_says_why_the_connection_ended_and_that_it_was_not_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        async with saying() as url:

            def found_anywhere(environment: str) -> Deployment:
                return Deployment(environment, "http://127.0.0.1", url, "none")

            monkeypatch.setattr(Deployment, "find", found_anywhere)
            await asyncio.to_thread(chatting.main)

    with pytest.raises(SystemExit, match=r"^The connection ended: code 1000 \(OK\)$"):
        asyncio.run(run())


def test_the_smoke_test_says_what_api_gateway_said() -> None:
    async def run() -> None:
        async with (
            saying(OF_THE_GATEWAY) as url,
            ClientSession() as http,
            http.ws_connect(url, protocols=[OURS]) as socket,
        ):
            await socket.send_json({"action": "ping"})
            await smoke.frame(socket, "pong")

    with pytest.raises(Failed, match=r"Internal server error \(request r-1\)"):
        asyncio.run(run())


@pytest.mark.parametrize(
    "main",
    [
        chatting.main,
        deployment.main,
        smoke.main,
        erase.main,
        mcp_server.main,
        orders.main,
        lambda: tokens.main(["mint"]),
    ],
    ids=["chat", "config", "smoke", "erase", "mcp", "order", "token"],
)
def test_an_unknown_environment_is_refused_before_any_request(
    main: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENV", "stagin")
    with pytest.raises(SystemExit, match=r"^ENV is local, staging or production, not stagin"):
        main()


@pytest.mark.parametrize("given", [{}, {"BOOKING": ""}, {"BOOKING": "test"}], ids=str)
def test_make_token_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, given: dict[str, str]) -> None:
    for name in ("ENV", "BOOKING", "ROLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    missing = "ROLE" if given.get("BOOKING") else "BOOKING"
    with pytest.raises(SystemExit, match=f"^{missing} is missing\nUsage: make token"):
        tokens.main(["mint"])


def test_make_token_says_when_it_was_issued() -> None:
    wanted = tokens.Wanted(booking="test", role="driver", sub="d", ttl=60)
    claims = jwt.decode(tokens.token("s" * 32, wanted, 1_000.7), options={"verify_signature": False})
    assert (claims["iat"], claims["exp"]) == (1_000, 1_060)


def answering_orders(*answers: dict[str, Any]) -> tuple[list[dict[str, Any]], orders.Invoke]:
    took: list[dict[str, Any]] = []
    left = iter(answers)

    def invoke(payload: dict[str, Any]) -> dict[str, Any]:
        took.append(payload)
        return next(left)

    return took, invoke


def test_make_order_gives_its_order_under_one_id_until_it_is_answered() -> None:
    down = {"statusCode": 503, "body": {"error": {"code": "unavailable", "message": "not now"}}}
    took, invoke = answering_orders(down, {"statusCode": 201, "body": {"message": MESSAGE}})
    wanted = orders.Wanted(booking="test", event="side_muted", side="driver")
    assert orders.give(wanted, invoke) == MESSAGE
    assert took[0] == took[1]
    assert took[0]["metadata"] == {"event": "side_muted", "side": "driver"}
    assert took[0]["message"] == "The driver may not write for now"


def test_make_order_says_why_an_order_was_refused_and_asks_nobody_for_a_malformed_one() -> None:
    took, invoke = answering_orders({"statusCode": 403, "body": {"error": {"code": "forbidden", "message": "no"}}})
    with pytest.raises(Failed, match="forbidden: no"):
        orders.give(orders.Wanted(booking="test", event="booking_closed"), invoke)
    with pytest.raises(Refusal, match=r"metadata\.side"):
        orders.give(orders.Wanted(booking="test", event="side_muted", side="agent"), invoke)
    assert len(took) == 1


@pytest.mark.parametrize(
    ("main", "says"),
    [
        (chatting.main, "ROLE"),
        (deployment.main, "ENV"),
        (smoke.main, "ENV"),
        (erase.main, "FORCE"),
        (orders.main, "EVENT"),
        (mcp_server.main, "NAVIETAKIE_URL"),
        (lambda argv: tokens.main(["mint", *argv]), "TTL"),
        (lambda argv: tokens.main(["rotate", *argv]), "SECRET"),
    ],
    ids=["chat", "config", "smoke", "erase", "order", "mcp", "token", "rotate-secret"],
)
def test_every_command_has_help(
    main: Callable[[list[str]], None], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["--help"])
    assert says in capsys.readouterr().out


def test_an_option_wins_over_the_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    command = Command("erase", "Erases", (BOOKING, YES))
    for name in ("ENV", "YES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BOOKING", "one")
    assert command.read([]) == {"booking": "one", "yes": "", "env": "local"}
    assert command.read(["--booking", "two", "--yes", "1"]) == {"booking": "two", "yes": "1", "env": "local"}
