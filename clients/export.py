"""`make export BOOKING=…`: one conversation as it stands, for a legal request: JSON lines, and a page to read or print.

It reads what the API serves to `system`. So it has the notice of a redaction, and nothing that was redacted, erased or
has expired. Both files have every message and every call. Photos and voice notes are in a folder beside them. Only the
user who ran it can read any of it.
"""

import asyncio
import json
import os
import re
import sys
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Final

from aiohttp import ClientError, ClientSession, ClientTimeout
from rich.console import Console
from rich.progress import Progress

from clients.command import BOOKING, Command, Failed, Option
from clients.deployment import Deployment
from clients.tokens import DeployedSecret, Wanted, token

COMMAND: Final = Command(
    "export",
    "Writes a conversation, its calls and redactions included, as JSON lines and as a readable page.",
    (BOOKING, Option("to", "exports", "the folder to write to", "exports")),
)
BREAKS: Final = re.compile("[\x7f\x85\u2028\u2029]")
"""Characters that JSON does not escape, but some editors take for the end of a line."""
PATIENCE: Final = ClientTimeout(total=30)
TRIES: Final = 5
STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem; border-bottom: 1px solid #d0d7de }
td.text { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate }
td.seq, td.time { white-space: nowrap; font-variant-numeric: tabular-nums }
tr.redacted td.text, .less { color: #57606a; font-style: italic }
@media print { body { margin: 0; max-width: none } tr { break-inside: avoid } }
"""

Fields = dict[str, Any]


@dataclass(frozen=True)
class Conversation:
    """All that the API serves of a booking, oldest first. `read_at`: the time of the export, RFC 3339."""

    booking: str
    environment: str
    read_at: str
    messages: list[Fields]
    calls: list[Fields]
    state: Fields
    attachments: Mapping[str, bytes]
    """Photos and voice notes: file name → content. The file name begins with the id that a message names."""

    def lines(self) -> list[str]:
        """One JSON object per line: first the head, then messages, then calls. `kind` says what each is."""
        about = {"booking_code": self.booking, "environment": self.environment, "read_at": self.read_at, **self.state}
        counts = {"messages": len(self.messages), "calls": len(self.calls)}
        rows = [{"kind": "conversation", **about, **counts}]
        rows += [{"kind": "message", **it} for it in self.messages]
        rows += [{"kind": "call", **it} for it in self.calls]
        return [BREAKS.sub(lambda it: f"\\u{ord(it[0]):04x}", json.dumps(row, ensure_ascii=False)) for row in rows]

    def page(self) -> str:
        """The same in HTML. It loads nothing from elsewhere, and everything that people wrote is escaped."""
        said = "\n".join(_message_row(it) for it in self.messages)
        called = "\n".join(_call_row(it) for it in self.calls)
        removed = sum(1 for it in self.messages if it.get("redacted_at"))
        booking = escape(self.booking)
        return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Booking {booking}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>Booking {booking}</h1>
<p>{len(self.messages):,} messages, {removed:,} of them removed, and {len(self.calls):,} calls, as NavieTakie
({escape(self.environment)}) served them at {escape(self.read_at)}. Times are UTC.
What was removed, erased or has expired is not stored any more, and so is not here.</p>
<h2>Messages</h2>
<table>
<thead><tr><th>No.</th><th>Time</th><th>Who</th><th>What</th></tr></thead>
<tbody>
{said}
</tbody>
</table>
<h2>Calls</h2>
<table>
<thead><tr><th>Began</th><th>Caller</th><th>Answered</th><th>Ended</th><th>How</th></tr></thead>
<tbody>
{called}
</tbody>
</table>
</body>
</html>
"""


def _message_row(message: Fields) -> str:
    text = escape(message["message"])
    if removed := message.get("redacted_at"):
        text = f"Removed {escape(removed)}"
    elif not text:
        text = f"({escape(message['message_type'])})"
    if message.get("metadata"):
        text += f'\n<span class="less">{escape(json.dumps(message["metadata"], ensure_ascii=False))}</span>'
    who = escape(message["sender"]) + (f" ({escape(message['sender_id'])})" if message.get("sender_id") else "")
    kind = ' class="redacted"' if message.get("redacted_at") else ""
    return (
        f'<tr{kind}><td class="seq">{message["seq"]}</td><td class="time">{escape(message["timestamp"])}</td>'
        f'<td>{who}</td><td class="text">{text}</td></tr>'
    )


def _call_row(call: Fields) -> str:
    cells = [call["timestamp"], call["caller"], call["answered_at"] or "–", call["ended_at"] or "–"]
    cells.append(call["end_reason"] or call["state"])
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"


async def read(deployment: Deployment, booking: str, bearer: str | None, progress: Progress) -> Conversation:
    """The whole conversation. Raises Failed if the API does not give it."""
    headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
    read_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    messages: list[Fields] = []
    calls: list[Fields] = []
    state: Fields = {}
    bar = progress.add_task("messages", total=None)
    async with ClientSession(timeout=PATIENCE, headers=headers) as http:
        asked = {"booking_code": booking, "order": "asc", "limit": "100"}
        async for page in _pages(http, f"{deployment.rest_url}/api/v1/get_message", asked):
            messages += page["messages"]
            state = {name: page.get(name) for name in ("head_seq", "epoch", "receipts", "booking")}
            progress.update(bar, completed=len(messages), total=page["head_seq"])
        asked = {"booking_code": booking, "limit": "100"}
        async for page in _pages(http, f"{deployment.rest_url}/api/v1/calls", asked):
            calls += page["calls"]
        attachments = await _attachments(http, deployment, booking, messages)
    return Conversation(booking, deployment.environment, read_at, messages, calls[::-1], state, attachments)


async def _attachments(
    http: ClientSession, deployment: Deployment, booking: str, messages: list[Fields]
) -> dict[str, bytes]:
    """Those attachments that the messages name and that still exist."""
    named: list[Fields | None] = [(message.get("metadata") or {}).get("attachment") for message in messages]
    types: dict[str, str] = {attachment["id"]: attachment["content_type"] for attachment in named if attachment}
    found: dict[str, bytes] = {}
    # Without our token: the address is signed, and S3 refuses a request with a second permission.
    async with ClientSession(timeout=PATIENCE) as plain:
        for id, content_type in types.items():
            asked = {"booking_code": booking, "id": id}
            try:
                address = await _page(http, f"{deployment.rest_url}/api/v1/attachment", asked)
            except Gone:
                continue
            async with plain.get(address["url"]) as answer:
                if answer.status != 200:
                    raise Failed(f"An attachment could not be read: {answer.status}")
                found[f"{id}.{content_type.partition('/')[2]}"] = await answer.read()
    return found


class Gone(Failed):
    """There is nothing at that address, or not any more."""


async def _pages(http: ClientSession, url: str, asked: dict[str, str]) -> AsyncGenerator[Fields]:
    cursor: str | None = ""
    while cursor is not None:
        page = await _page(http, url, {**asked, "cursor": cursor} if cursor else asked)
        yield page
        cursor = page["next_cursor"]


async def _page(http: ClientSession, url: str, asked: dict[str, str]) -> Fields:
    reason = "no answer"
    for attempt in range(TRIES):
        try:
            async with http.get(url, params=asked) as answer:
                body = await answer.json()
                if answer.status == 200:
                    return body
                reason = f"{body['error']['code']}: {body['error']['message']}"
                if answer.status == 404:
                    raise Gone(reason)
                if answer.status < 500 and answer.status != 429:
                    break
        except (ClientError, TimeoutError, KeyError, TypeError, ValueError) as error:
            reason = f"no answer that makes sense ({type(error).__name__})"
        await asyncio.sleep(0.2 * 2**attempt)
    raise Failed(f"The API does not give it: {reason}")


def write(conversation: Conversation, folder: Path) -> list[Path]:
    """Writes both files, and a folder if there are attachments, readable by their owner only. Returns their paths."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    stamp = conversation.read_at.replace("-", "").replace(":", "")
    paths = [folder / f"{conversation.booking}-{stamp}.{kind}" for kind in ("jsonl", "html")]
    contents = ("".join(f"{line}\n" for line in conversation.lines()), conversation.page())
    for path, content in zip(paths, contents, strict=True):
        _write(path, content.encode(errors="replace"))  # UTF-8 cannot hold half of a surrogate pair
    if conversation.attachments:
        beside = folder / f"{conversation.booking}-{stamp}"
        beside.mkdir(mode=0o700, exist_ok=True)
        for name, content in conversation.attachments.items():
            _write(beside / name, content)
        paths.append(beside)
    return paths


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out:
        out.write(content)


def main(argv: Sequence[str] = ()) -> None:
    """Exports the booking that BOOKING names."""

    def export(told: Mapping[str, str]) -> None:
        wanted = Wanted.parse({"booking": told["booking"], "role": "system", "sub": "export", "ttl": 3600})
        deployment = Deployment.find(told["env"])
        bearer = None
        if deployment.auth_mode == "jwt":
            bearer = token(DeployedSecret(deployment.environment).current(), wanted, time.time())
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
            conversation = asyncio.run(read(deployment, wanted.booking, bearer, progress))
        if not conversation.messages and not conversation.calls:
            raise Failed(f"Nothing is stored of booking {wanted.booking} in {deployment.environment}")
        print(f"{len(conversation.messages):,} messages and {len(conversation.calls):,} calls:")
        for path in write(conversation, Path(told["to"])):
            print(path)

    try:
        COMMAND.run(argv, export)
    except KeyboardInterrupt:
        sys.exit("\nStopped. Nothing was written.")


if __name__ == "__main__":
    main(sys.argv[1:])
