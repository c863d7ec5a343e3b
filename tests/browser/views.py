"""`make views`: pictures of every view of the console.

Each view is a picture of its own in light and dark, at the widths of a small phone, a phone, a tablet and a desk.
A scripted server answers, so no stack is needed. Prints what is wider than the screen, too small for a finger, or found
by axe; the rest is for eyes.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.browser.conftest import OPTIONS, executable
from tests.browser.scripted import HOME, ScriptedServer, opened
from tests.browser.test_attachments import choose, png
from tests.browser.test_page import findings
from tests.browser.test_views import NO_LINE

SIZES = {1440: 900, 820: 1180, 390: 780, 320: 568}
SCHEMES = ("light", "dark")
CALL = {
    "call_id": "c1",
    "booking_code": "test",
    "timestamp": "2026-11-22T07:31:00.000000Z",
    "caller": "driver",
    "callee": "passenger",
    "state": "ringing",
    "end_reason": None,
    "answered_at": None,
    "ended_at": None,
    "duration_seconds": 0,
    "answered_by": None,
    "version": 1,
    "ring_ms_left": 41_000,
}
LONG = (
    "I am at the corner of Wienzeile and Pilgramgasse, next to the small bakery with the green awning. The police have "
    "closed the street, so I have to go around the block once more."
)


class Server(ScriptedServer):
    """Knows a call, too, and where a photo is."""

    def __init__(self, context: BrowserContext) -> None:
        super().__init__(context)
        self.rest["/api/v1/attachment"] = lambda route: route.fulfill(json={"url": f"{HOME}/photo.svg"})
        self.rest["/photo.svg"] = lambda route: route.fulfill(body=PHOTO, content_type="image/svg+xml")
        self.rest["/api/v1/calls"] = lambda route: route.fulfill(json={"calls": LOG, "next_cursor": None})

    def ring(self, **fields: Any) -> None:
        """Tells all of the call."""
        self.push({"type": "call", "sender": "driver", "call": {**CALL, **fields}})

    def answer(self, sender: str, frame: dict[str, Any]) -> dict[str, Any] | None:
        if frame["action"] != "call" or frame["call_action"] != "initiate":
            return None
        call = {**CALL, "caller": sender, "callee": "passenger" if sender == "driver" else "driver"}
        return {"type": "ack", "call": call, "ice_servers": [], "ice_transport_policy": "all", "reached": 1}


PHOTO = """<svg xmlns="http://www.w3.org/2000/svg" width="1200" height="900">
<rect width="1200" height="900" fill="#9ec3d8"/><rect y="560" width="1200" height="340" fill="#5d6167"/>
<rect x="300" y="430" width="600" height="180" rx="70" fill="#b9bec4"/>
<circle cx="430" cy="620" r="60" fill="#222"/><circle cx="770" cy="620" r="60" fill="#222"/></svg>"""
LOG = [
    {**CALL, "call_id": "c3", "state": "ended", "end_reason": "no_answer"},
    {**CALL, "call_id": "c2", "state": "ended", "end_reason": "completed", "answered_at": 1, "duration_seconds": 151},
    {**CALL, "call_id": "c1", "state": "ended", "end_reason": "declined", "caller": "passenger", "callee": "driver"},
]
PICTURE = {
    "photo": {"width": 1200, "height": 900},
    "attachment": {"id": "a1", "content_type": "image/jpeg", "bytes": 9},
}
NOTE = {"voice_note": {"seconds": 12}, "attachment": {"id": "a2", "content_type": "audio/webm", "bytes": 9}}


def talk(server: Server) -> None:
    """A conversation with one of everything."""
    server.add("driver", "Good morning! I am two streets away. Silver Skoda, the plate ends in 42.")
    server.add("passenger", "Great, I have a big suitcase 🧳 Is there room in the trunk?")
    server.add("driver", "Plenty.")
    server.add("driver", LONG)
    server.add("passenger", "", redacted_at="2026-11-22T07:40:00.000000Z")
    ended = {"state": "ended", "end_reason": "completed", "caller": "driver", "callee": "passenger", "answered_at": "x"}
    server.add("system", "Call ended, 2:31", message_type="call", metadata=ended)
    server.add("system", "The fare was changed to 14.20 €", message_type="system")
    server.add(
        "passenger", "", metadata={"location": {"lat": 48.1927, "lng": 16.3541, "name": "Flower shop, Pilgramgasse"}}
    )
    server.add("driver", "This is my car", metadata=PICTURE)
    server.add("passenger", "", metadata=NOTE)
    server.add("driver", "", metadata=NOTE)
    server.add("agent", "Support here. Can I help you two?")
    server.add("passenger", "أنا عند المدخل 👋🏽")


def place(page: Page, side: str = "driver") -> Locator:
    """A phone, when it is connected."""
    phone = page.locator(f"[data-side={side}]")
    expect(phone.locator(".strip")).to_contain_text("Connected")
    expect(phone.get_by_role("log")).not_to_have_attribute("aria-busy", "true")
    return phone


def empty(page: Page, server: Server) -> None:
    place(opened(page))


def conversation(page: Page, server: Server) -> None:
    server.presence["agent"] = True
    talk(server)
    place(opened(page))


def top(page: Page, server: Server) -> None:
    conversation(page, server)
    for log in page.get_by_role("log").all():
        log.evaluate("log => { log.scrollTop = 120 }")


def ringing(page: Page, server: Server) -> None:
    place(opened(page))
    server.ring(caller="passenger", callee="driver")
    expect(page.get_by_role("button", name="Answer").locator("visible=true")).to_have_count(1)


def calling(page: Page, server: Server) -> None:
    place(opened(page)).get_by_role("button", name="Call the passenger").click()
    expect(page.locator("[data-side=driver] .ring")).to_contain_text("left")


def talking(page: Page, server: Server) -> None:
    talk(server)
    calling(page, server)
    server.ring(state="connected", version=2, answered_at="2026-11-22T07:30:00.000000Z", answered_by="another")
    expect(page.locator("[data-side=driver] .talking")).to_be_visible()


def elsewhere(page: Page, server: Server) -> None:
    talk(server)
    place(opened(page))
    server.ring(state="connected", version=2, answered_at="2026-11-22T07:30:00.000000Z", answered_by="another")
    expect(page.locator("[data-side=driver] .talking")).to_be_visible()


def calls(page: Page, server: Server) -> None:
    place(opened(page)).get_by_role("button", name="Call log").click()
    expect(page.locator("[data-side=driver] .log li")).to_have_count(3)


def away(page: Page, server: Server) -> None:
    talk(server)
    place(opened(page)).get_by_role("switch", name="Away").click()


def muted(page: Page, server: Server) -> None:
    talk(server)
    server.booking = {"closed_at": None, "muted": ["driver"]}
    place(opened(page))


def closed(page: Page, server: Server) -> None:
    talk(server)
    server.booking = {"closed_at": "2026-11-22T07:40:00.000000Z", "muted": []}
    place(opened(page))


def recording(page: Page, server: Server) -> None:
    talk(server)
    place(opened(page)).get_by_role("button", name="Record a voice note").click()
    expect(page.get_by_role("button", name="Send the voice note")).to_be_visible()


def photo(page: Page, server: Server) -> None:
    talk(server)
    phone = place(opened(page))
    with tempfile.TemporaryDirectory() as folder:
        choose(phone, png(Path(folder)))


def failed(page: Page, server: Server) -> None:
    talk(server)
    phone = place(opened(page))
    box = phone.get_by_role("textbox", name="Message")
    box.fill("See you at gate 4\0")
    box.press("Enter")
    expect(phone.locator(".message.failed")).to_be_visible()


def removing(page: Page, server: Server) -> None:
    server.add("driver", "Wrong chat")
    place(opened(page)).get_by_role("button", name="Remove this message").click()


def typed(page: Page, server: Server) -> None:
    talk(server)
    box = place(opened(page)).get_by_role("textbox", name="Message")
    box.fill(f"{LONG} " * 27)


def agent(page: Page, server: Server) -> None:
    server.presence["agent"] = True
    talk(server)
    place(opened(page, "?phone=agent"), "agent")


def unread(page: Page, server: Server) -> None:
    talk(server)
    phone = place(opened(page))
    phone.get_by_role("log").evaluate("log => { log.scrollTop = 0 }")
    expect(phone.locator(".jump")).to_be_visible()
    page.get_by_role("button", name="Settings").focus()
    server.add("passenger", "Are you still there?")
    server.add("passenger", "Hello?")
    page.wait_for_timeout(300)


def refused(page: Page, server: Server) -> None:
    page.add_init_script(NO_LINE)
    error = {"code": "unauthorized", "message": "The token is not valid", "details": None, "request_id": "r1"}
    server.rest["/api/v1/get_message"] = lambda route: route.fulfill(status=401, json={"error": error})
    expect(opened(page).locator("[data-side=driver] .ask-token")).to_be_visible()


def expired(page: Page, server: Server) -> None:
    talk(server)
    phone = place(opened(page))
    server.push({"type": "error", "error": {"code": "token_expired", "message": "The token has expired"}})
    expect(phone.locator(".ask-token")).to_be_visible()


def cut(page: Page, server: Server) -> None:
    talk(server)
    phone = place(opened(page))
    phone.get_by_role("switch", name="Cut the line").click()
    box = phone.get_by_role("textbox", name="Message")
    box.fill("Can you hear me?")
    box.press("Enter")
    expect(phone.locator(".message.waiting")).to_be_visible()


def offline(page: Page, server: Server) -> None:
    page.add_init_script(NO_LINE)
    server.rest["/api/v1/get_message"] = lambda route: route.abort()
    expect(opened(page).locator("[data-side=driver] .notice")).to_contain_text("No connection")


def frames(page: Page, server: Server) -> None:
    conversation(page, server)
    page.locator(".frame summary").first.click()
    page.evaluate("document.querySelector('.tabs button:last-child').click()")


def settings(page: Page, server: Server) -> None:
    place(opened(page))
    page.get_by_role("button", name="Settings").click()


def consent(page: Page, server: Server) -> None:
    opened(page, "?api=http%3A%2F%2Felsewhere.example%3A9000%2Fstage&ws=ws%3A%2F%2Felsewhere.example%3A9000%2Fws")
    expect(page.get_by_role("dialog")).to_be_visible()


VIEWS: dict[str, Callable[[Page, Server], None]] = {
    view.__name__: view
    for view in (
        *(empty, conversation, top, unread, typed, removing, failed, photo, recording),
        *(ringing, calling, talking, elsewhere, calls, away, muted, closed, agent),
        *(refused, expired, cut, offline, frames, settings, consent),
    )
}


SMALL = """() => [...document.querySelectorAll('button, a[href], input, textarea, summary')]
    .filter((each) => each.checkVisibility() && !each.closest('[inert]') && !each.matches('.skip'))
    .filter((each) => Math.min(each.getBoundingClientRect().width, each.getBoundingClientRect().height) < 44)
    .map((each) => each.outerHTML.slice(0, 90))"""


def faults(page: Page, width: int) -> list[str]:
    """What can be told without looking: what is too wide, too small for a finger, or found by axe."""
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    small = page.evaluate(SMALL) if width < 760 else []
    return [*([f"{wide} px too wide"] if wide > 0 else []), *(f"small: {each}" for each in small), *findings(page)]


def draw(browser: Browser, name: str, folder: Path) -> bool:
    """Makes the pictures of a view; whether nothing is wrong with them."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    page = context.new_page()
    VIEWS[name](page, Server(context))
    for width, scheme in looks(page):
        page.screenshot(path=folder / f"{name}-{scheme}-{width}.png")
    found = False
    for width, scheme in looks(page):  # after all pictures, because axe scrolls
        for fault in faults(page, width):
            found = True
            print(f"{name} {scheme} {width}: {fault}", flush=True)
    context.close()
    return not found


def looks(page: Page) -> Iterator[tuple[int, str]]:
    """Shows the page in every width, light and dark."""
    for width, height in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme in SCHEMES:
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
            page.wait_for_timeout(500)  # what slides in has arrived
            yield width, scheme


def main(folder: Path, names: list[str]) -> int:
    """Makes the pictures of these views, or of all; how many views have faults."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        expect.set_options(timeout=15_000)
        browser = playwright.chromium.launch(executable_path=executable(), args=OPTIONS)
        good = [draw(browser, name, folder) for name in names or VIEWS]
        browser.close()
    return good.count(False)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
