"""The console as a person sees it: two phones and the frames between them."""

import json
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from playwright.sync_api import ConsoleMessage, Locator, Page, expect


class Phone:
    """One phone of the page."""

    def __init__(self, page: Page, side: str) -> None:
        self.side = side
        self.peer = "passenger" if side == "driver" else "driver"
        self.place = page.locator(f"[data-side={side}]")
        self.box = self.place.get_by_role("textbox", name="Message")
        self.messages = self.place.locator("[data-seq]")
        self.waiting = self.place.locator(".message.waiting")
        self.notice = self.place.locator(".notice")
        self.talking = self.place.locator(".talking")

    def button(self, name: str) -> Locator:
        return self.place.get_by_role("button", name=name, exact=True)

    def write(self, text: str) -> None:
        """Writes a message and sends it."""
        self.box.fill(text)
        self.box.press("Enter")

    def bubble(self, text: str) -> Locator:
        return self.place.locator(".message", has_text=text)

    def look_at(self) -> None:
        """Touches the phone, so that messages that arrive count as read."""
        self.place.locator(".who").click()

    def line(self) -> Locator:
        """The switch that cuts the line."""
        return self.place.get_by_role("switch", name="Cut the line")

    def call(self) -> None:
        self.button(f"Call the {self.peer}").click()

    def heard(self) -> int:
        """How many bytes of sound have arrived."""
        return int(self.talking.get_attribute("data-received") or 0)


class Console:
    """The page. `complaints` are the errors that its scripts have raised or logged."""

    def __init__(self, page: Page, url: str, booking: str) -> None:
        self.page = page
        self.url = url
        self.booking = booking
        self.complaints: list[str] = []
        self.driver = Phone(page, "driver")
        self.passenger = Phone(page, "passenger")
        self.frames = page.locator(".frame:visible")
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._logged)

    def open(self, **options: str) -> Self:
        self.page.goto(f"{self.url}?{urlencode({'booking': self.booking, **options})}")
        return self

    def ready(self) -> Self:
        """Waits until the phones have the conversation."""
        expect(self.page.locator("[role=log]").first).to_be_visible()
        expect(self.page.locator("[role=log][aria-busy]")).to_have_count(0)
        return self

    def send(self, sender: str, message: str, **fields: Any) -> dict[str, Any]:
        """Sends a message by REST, as a curl in a terminal would."""
        body = {"booking_code": self.booking, "sender": sender, "message": message, **fields}
        request = Request(
            f"{self.url}/api/v1/send_message",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)["message"]

    def history(self) -> list[dict[str, Any]]:
        """The newest stored messages, oldest first."""
        query = urlencode({"booking_code": self.booking, "limit": 100})
        with urlopen(f"{self.url}/api/v1/get_message?{query}", timeout=30) as answer:
            return json.load(answer)["messages"][::-1]

    def _logged(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "WebSocket connection" not in message.text:
            self.complaints.append(message.text)
