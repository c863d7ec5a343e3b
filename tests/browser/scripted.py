"""A server that a test writes. It answers the console's frames inside the browser, without a stack."""

import json
import mimetypes
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute

from local.stack import ROOT

HOME = "http://localhost:8765"
START = "2026-11-22T07:31:{:02}.000000Z"
type Frame = dict[str, Any]


class ScriptedServer:
    """Serves the console at `HOME` and speaks the protocol there, and at each of `others`.

    `requests` are those that left the page, with their headers; `sockets` the WebSockets that it opened: address and
    subprotocols.
    """

    def __init__(self, context: BrowserContext, others: list[str] | None = None) -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.sockets: list[str] = []
        self.messages: list[Frame] = []
        self.received: list[Frame] = []
        self.presence = {"driver": True, "passenger": True, "agent": False}
        self.booking: Frame = {"closed_at": None, "muted": []}
        self.rest: dict[str, Callable[[Route], None]] = {}
        self._lines: list[tuple[str, WebSocketRoute]] = []
        for origin in (HOME, *(others or [])):
            context.route(f"{origin}/**", self._serve)
        context.route_web_socket(lambda _: True, self._connected)

    def add(self, sender: str, text: str, **fields: Any) -> Frame:
        """Stores a message and pushes it to all."""
        seq = len(self.messages) + 1
        message = {
            "message_id": f"{seq:032x}",
            "booking_code": "test",
            "seq": seq,
            "timestamp": START.format(seq),
            "sender": sender,
            "sender_id": None,
            "message_type": "text",
            "message": text,
            "redacted_at": None,
            "client_message_id": None,
            "metadata": None,
            **fields,
        }
        self.messages.append(message)
        for _, line in self._lines:
            self._say(line, {"type": "message", "message": message})
        return message

    def push(self, frame: Frame) -> None:
        """Sends a frame to all."""
        for _, line in self._lines:
            self._say(line, frame)

    def _serve(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        self.requests.append((route.request.url, route.request.headers))
        for path, answer in self.rest.items():
            if url.path.startswith(path):
                answer(route)
                return
        file = ROOT / "web" / (unquote(url.path).strip("/") or "index.html")
        if not file.is_file():
            route.fulfill(status=404, json={"error": {"code": "not_found", "message": "Nothing is here"}})
            return
        kind = mimetypes.guess_type(file.name)[0] or "text/plain"
        route.fulfill(body=file.read_bytes(), content_type=kind)

    def _connected(self, line: WebSocketRoute) -> None:
        self.sockets.append(line.url)
        sender = parse_qs(urlsplit(line.url).query).get("sender", ["driver"])[0]
        self._lines.append((sender, line))
        line.on_message(lambda text: self._heard(sender, line, json.loads(text)))

    def _say(self, line: WebSocketRoute, frame: Frame) -> None:
        line.send(json.dumps({"v": 1, "booking_code": "test", "ts": START.format(0), **frame}))

    def _heard(self, sender: str, line: WebSocketRoute, frame: Frame) -> None:
        self.received.append({"sender": sender, **frame})
        head = len(self.messages)
        standing = {
            "head_seq": head,
            "epoch": "e1" if head else None,
            "call": None,
            "presence": self.presence,
            "booking": self.booking,
            "receipts": {side: {"delivered": head, "read": head} for side in ("driver", "passenger")},
        }
        match frame["action"]:
            case "sync":
                through = self.messages[-1]["timestamp"] if head else None
                page = {"part": 0, "messages": self.messages, "through_seq": head, "through": through}
                self._say(line, {"type": "sync", "id": frame.get("id"), **page, "has_more": False, **standing})
            case "ping":
                self._say(line, {"type": "pong", "id": frame.get("id"), "away": False, **standing})
            case "message":
                fields = {name: frame[name] for name in ("message_type", "metadata") if name in frame}
                message = self.add(sender, frame["message"], client_message_id=frame["id"], **fields)
                self._say(line, {"type": "ack", "id": frame["id"], "message": message, "duplicate": False})
            case _:
                if answer := self.answer(sender, frame):
                    self._say(line, {"id": frame.get("id"), **answer})

    def answer(self, sender: str, frame: Frame) -> Frame | None:
        """Answers other requests: not at all, unless a test overrides this."""
        return None


def opened(page: Page, link: str = "") -> Page:
    """The console at this link."""
    page.goto(f"{HOME}/{link}")
    return page
