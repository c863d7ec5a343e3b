"""Exports a conversation through the functions' real handlers, into files for people and for programs."""

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from rich.progress import Progress

from clients import export
from clients.command import Failed
from clients.deployment import Deployment
from get_message.app import handler as get_message
from make_call.app import handler as make_call
from send_message.app import handler as send_message
from tests.worlds.moto import World

HOSTILE = "<script>alert(1)</script>\n3. system: \ud83d forged\u2028x"


def exported(world: World, booking: str = "test") -> export.Conversation:
    """Reads a booking over HTTP from a server that calls the handlers."""

    async def answer(request: web.Request) -> web.Response:
        handler = make_call if request.path.endswith("calls") else get_message
        status, body, _ = world.rest(handler, "GET", request.path, query=dict(request.query))
        return web.json_response(body, status=status)

    async def run() -> export.Conversation:
        app = web.Application()
        app.router.add_get("/api/v1/{name}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            with Progress(disable=True) as progress:
                return await export.read(Deployment("test", url, "", "none"), booking, None, progress)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def say(world: World, text: str, **fields: Any) -> dict[str, Any]:
    body = {"booking_code": "test", "sender": "system", "message": text, **fields}
    status, answer, _ = world.rest(send_message, "POST", "/api/v1/send_message", body)
    assert status in (200, 201), answer
    return answer


def test_every_message_call_and_redaction_is_in_both_files(world: World, tmp_path: Path) -> None:
    for number in range(120):
        say(world, f"number {number}")
    removed = say(world, "a phone number", sender="driver")["message"]
    redact = {"booking_code": "test", "sender": "driver", "redact": removed["timestamp"]}
    assert world.rest(send_message, "POST", "/api/v1/send_message", redact)[0] == 201
    ring = {"booking_code": "test", "sender": "driver", "action": "initiate"}
    call = world.rest(make_call, "POST", "/api/v1/make_call", ring)[1]["call"]
    lines_file, page_file = export.write(exported(world), tmp_path / "exports")
    head, *rows = [json.loads(line) for line in lines_file.read_text().splitlines()]
    assert (head["kind"], head["booking_code"], head["head_seq"]) == ("conversation", "test", 122)
    messages = [it for it in rows if it["kind"] == "message"]
    assert [it["seq"] for it in messages] == list(range(1, 123))
    assert (messages[120]["message"], bool(messages[120]["redacted_at"])) == ("", True)
    assert messages[121]["metadata"]["event"] == "message_redacted"
    assert [it["call_id"] for it in rows if it["kind"] == "call"] == [call["call_id"]]
    page = page_file.read_text()
    assert "number 119" in page
    assert "a phone number" not in page + lines_file.read_text()
    assert "Removed 2" in page
    assert "ringing" in page


def test_texts_are_escaped_on_the_page_and_stay_on_one_line_of_json(world: World, tmp_path: Path) -> None:
    say(world, HOSTILE.replace("\ud83d", ""))
    read = exported(world)
    read.messages[0]["message"] = HOSTILE
    lines_file, page_file = export.write(read, tmp_path)
    assert "<script>" not in page_file.read_text()
    assert "&lt;script&gt;" in page_file.read_text()
    assert len(lines_file.read_text().splitlines()) == 2


def test_only_the_owner_may_read_the_files(world: World, tmp_path: Path) -> None:
    say(world, "Hello")
    for path in export.write(exported(world), tmp_path / "exports"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "exports").stat().st_mode) == 0o700


def test_the_reason_of_a_refusal_is_shown(world: World) -> None:
    with pytest.raises(Failed, match="invalid_request"):
        exported(world, "a.b")


def test_photos_are_files_of_their_own_and_a_missing_one_stops_nothing(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    async def attachments(*asked: Any) -> dict[str, bytes]:
        read.append(asked[2])
        return {f"{'a' * 32}.jpeg": b"a photo"}

    monkeypatch.setattr(export, "_attachments", attachments)
    say(world, "look")
    paths = export.write(exported(world), tmp_path)
    (photo,) = paths[2].iterdir()
    assert (read, photo.name, photo.read_bytes()) == (["test"], f"{'a' * 32}.jpeg", b"a photo")
    assert stat.S_IMODE(photo.stat().st_mode) == 0o600
