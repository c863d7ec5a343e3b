"""How the console looks: on small and magnified screens, and with everything that a message may contain."""

import re
from collections.abc import Generator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.scripted import HOME, ScriptedServer, opened
from tests.browser.test_page import findings

NO_LINE = """window.WebSocket = class extends EventTarget {
    constructor() {
        super();
        setTimeout(() => this.onclose?.({}), 30);
    }
    close() {}
}"""
"""A WebSocket class that never connects."""

LONG = "b" * 64
MISSED = {"state": "ended", "end_reason": "no_answer", "caller": "driver", "callee": "passenger", "answered_at": None}


@pytest.fixture
def context(browser: Browser) -> Generator[BrowserContext]:
    context = browser.new_context(viewport={"width": 320, "height": 568}, bypass_csp=True)
    yield context
    context.close()


@pytest.fixture
def server(context: BrowserContext) -> ScriptedServer:
    return ScriptedServer(context)


@pytest.fixture
def page(context: BrowserContext, server: ScriptedServer) -> Page:
    return context.new_page()


def phone(page: Page, side: str = "driver") -> Locator:
    place = page.locator(f"[data-side={side}]")
    expect(place.locator(".strip")).to_contain_text("Connected")
    expect(place.get_by_role("log")).not_to_have_attribute("aria-busy", "true")
    return place


@pytest.mark.parametrize("width", [320, 390, 820, 1440])
def test_the_longest_booking_code_fits(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 700})
    phone(opened(page, f"?booking={LONG}"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    settings = page.get_by_role("button", name="Settings").bounding_box()
    assert settings
    assert settings["x"] + settings["width"] <= width
    for tab in page.locator(".tabs button:visible").all():
        tab.click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab.inner_text()


def test_a_screen_magnified_four_times_can_be_used(page: Page) -> None:
    page.set_viewport_size({"width": 320, "height": 256})
    place = phone(opened(page))
    page.mouse.wheel(0, 0)
    box = place.get_by_role("textbox", name="Message")
    box.fill("Written at 400 %")
    expect(box).to_be_in_viewport(ratio=1)
    box.press("Enter")
    bubble = place.locator("[data-seq]", has_text="Written at 400 %")
    expect(bubble.locator(".tick")).to_have_text("Read")
    bubble.scroll_into_view_if_needed()
    expect(bubble).to_be_in_viewport()
    log = place.get_by_role("log").bounding_box()
    assert log
    assert log["height"] > 150


def test_every_button_on_a_phone_has_44_pixels(page: Page, server: ScriptedServer) -> None:
    server.add("driver", "Hello")
    place = phone(opened(page))
    small = """() => [...document.querySelectorAll('button, a[href], input, textarea, summary')]
        .filter((each) => each.checkVisibility() && !each.matches('.skip'))
        .map((each) => [each.getAttribute('aria-label') ?? each.textContent, each.getBoundingClientRect()])
        .filter(([, box]) => box.height < 44 || box.width < 44)
        .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)"""
    assert page.evaluate(small) == []
    page.get_by_role("button", name="Frames").click()
    expect(place).to_be_hidden()
    assert page.evaluate(small) == []


def test_enter_that_ends_a_word_of_an_input_method_sends_nothing(page: Page, server: ScriptedServer) -> None:
    box = phone(opened(page)).get_by_role("textbox", name="Message")
    box.fill("こんにちは")
    box.evaluate(
        """(box) => {
            const press = (how) => box.dispatchEvent(
                new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...how }));
            press({ keyCode: 229 });
            press({ isComposing: true });
        }"""
    )
    expect(box).to_have_value("こんにちは")
    assert [each for each in server.received if each["action"] == "message"] == []
    box.press("Enter")
    expect(box).to_have_value("")


def test_emoji_are_counted_as_the_server_counts_them(page: Page, server: ScriptedServer) -> None:
    place = phone(opened(page))
    box, left = place.get_by_role("textbox", name="Message"), place.locator(".left")
    box.fill("🚕" * 4_999)
    expect(left).to_have_text("1 character left")
    box.fill("🚕" * 5_001)
    expect(left).to_have_text("1 character too many")
    expect(place.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    box.press("Enter")
    expect(box).to_have_value("🚕" * 5_001)


def test_two_equal_system_lines_are_shown_as_one(page: Page, server: ScriptedServer) -> None:
    for _ in range(2):
        server.add("system", "Missed call", message_type="call", metadata=MISSED)
    server.add("driver", "Nobody answers")
    server.add("system", "Missed call", message_type="call", metadata=MISSED)
    chips = phone(opened(page)).locator(".apart")
    expect(chips).to_have_count(2)
    expect(chips.first).to_contain_text("No answer · 2 times")
    server.add("system", "Missed call", message_type="call", metadata=MISSED)
    expect(chips).to_have_count(2)
    expect(chips.last).to_contain_text("2 times")


def test_a_place_is_a_card_with_its_name_and_no_map_is_fetched(page: Page, server: ScriptedServer) -> None:
    server.add("passenger", "Here", metadata={"location": {"lat": 48.2082, "lng": -16.3738, "name": "Flower shop"}})
    card = phone(opened(page)).get_by_role("link", name="Flower shop")
    expect(card).to_contain_text("48.2082° N, 16.3738° W")
    assert [url for url, _ in server.requests if "openstreetmap" in url] == []


def test_a_redacted_message_says_so_only_in_its_place(page: Page, server: ScriptedServer) -> None:
    message = server.add("passenger", "My number is 555 0100")
    server.add("driver", "Thank you")
    place = phone(opened(page))
    expect(place.locator(".message", has_text="555 0100")).to_be_visible()
    message.update(message="", metadata=None, redacted_at="2026-11-22T07:40:00.000000Z")
    removed = {"event": "message_redacted", "seq": 1, "timestamp": message["timestamp"], "by": "passenger"}
    server.add("system", "Message removed", message_type="system", metadata=removed)
    expect(place.locator("[data-seq='1']")).to_contain_text("Message removed")
    expect(place.get_by_text("Message removed")).to_have_count(1)
    expect(place.locator(".message", has_text="555 0100")).to_have_count(0)


def test_a_message_is_taken_back_by_a_second_press(page: Page, server: ScriptedServer) -> None:
    server.add("driver", "Wrong chat")
    place = phone(opened(page))
    place.get_by_role("button", name="Remove this message").click()
    place.get_by_role("button", name="Remove it for everybody?").click()
    expect(place).to_be_visible()
    page.wait_for_function("document.querySelectorAll('.frame').length > 2")
    [redact] = [each for each in server.received if each["action"] == "redact"]
    assert redact["timestamp"] == server.messages[0]["timestamp"]


def test_an_agent_is_named_and_seen(page: Page, server: ScriptedServer) -> None:
    server.presence["agent"] = True
    server.add("agent", "Can I help?")
    place = phone(opened(page))
    expect(place.locator(".who p")).to_contain_text("Support is here")
    expect(place.locator("[data-sender=agent] .author")).to_have_text("Support")


def test_an_agents_phone_has_no_call_button(page: Page, server: ScriptedServer) -> None:
    server.add("driver", "Where are you?")
    place = phone(opened(page, "?phone=agent"), "agent")
    expect(place.locator(".who p")).to_have_text("Driver and Passenger online")
    expect(place.locator(".author")).to_have_text("Driver")
    expect(place.get_by_role("button", name="Call", exact=False).locator("visible=true")).to_have_count(1)  # the log
    place.get_by_role("textbox", name="Message").fill("Hello both")
    place.get_by_role("textbox", name="Message").press("Enter")
    expect(place.locator(".message.own")).to_contain_text("Hello both")
    assert {each["sender"] for each in server.received} == {"agent"}
    assert not {"delivered", "read"} & {each["action"] for each in server.received}


def test_a_phone_can_be_away(page: Page, server: ScriptedServer) -> None:
    place = phone(opened(page))
    place.get_by_role("switch", name="Away").click()
    expect(place.locator(".strip")).to_contain_text("Away")
    said = [each["on"] for each in server.received if each["action"] == "away" and each["sender"] == "driver"]
    assert said[-1] is True


def device(server: ScriptedServer) -> str:
    """The device name of the driver's latest connection."""
    asked = [parse_qs(urlsplit(url).query) for url in server.sockets]
    return [each["device_id"][0] for each in asked if each["sender"] == ["driver"]][-1]


def test_a_duplicated_tab_is_another_device_and_both_keep_their_names(page: Page, server: ScriptedServer) -> None:
    phone(opened(page))
    first = device(server)
    with page.expect_popup() as popup:
        page.evaluate("void window.open('about:blank')")
    copy = popup.value
    assert copy.evaluate("({...sessionStorage})") == page.evaluate("({...sessionStorage})")
    phone(opened(copy))
    second = device(server)
    assert first in page.evaluate("Object.values(sessionStorage).join()")
    assert second != first
    for tab, name in ((page, first), (copy, second)):
        tab.reload()
        phone(tab)
        assert device(server) == name


def test_the_time_of_a_call_is_counted_by_the_servers_clock(page: Page, server: ScriptedServer) -> None:
    place = phone(opened(page))
    parties = {"caller": "passenger", "callee": "driver", "answered_by": "another"}
    times = {"timestamp": "2026-11-22T07:29:00.000000Z", "answered_at": "2026-11-22T07:30:00.000000Z"}
    call = {"call_id": "c1", "state": "connected", "version": 2, "ring_ms_left": None, **parties, **times}
    server.push({"type": "call", "sender": "driver", "call": call})  # it says that it is a minute after the answer
    expect(place.locator(".talking .timer")).to_have_text(re.compile(r"^1:\d\d$"))
    call |= {"call_id": "c2", "state": "ringing", "version": 1, "caller": "driver", "callee": "passenger"}
    call |= {
        "timestamp": "2026-11-22T07:31:00.000000Z",
        "answered_at": None,
        "answered_by": None,
        "ring_ms_left": 40_000,
    }
    server.push({"type": "call", "sender": "driver", "call": call})
    expect(place.locator(".talking .timer")).to_have_text("Ringing")


CALL: dict[str, Any] = {
    "call_id": "c1",
    "timestamp": "2026-11-22T07:31:00.000000Z",
    "caller": "driver",
    "callee": "passenger",
    "state": "ringing",
    "answered_at": None,
    "answered_by": None,
    "version": 1,
    "ring_ms_left": 40_000,
}


def calling(page: Page, server: ScriptedServer) -> Locator:
    """The driver's phone, which calls."""
    ack = {"type": "ack", "call": CALL, "ice_servers": [], "ice_transport_policy": "all", "reached": 1}
    server.answer = lambda _, frame: ack if frame.get("call_action") == "initiate" else None
    place = phone(opened(page))
    place.get_by_role("button", name="Call the passenger").click()
    expect(place.locator(".ring")).to_contain_text("left")
    return place


BACK = "() => { const { now } = Date; Date.now = () => now() - 600_000 }"


def test_the_rest_of_a_ring_is_counted_though_the_clock_is_put_back(page: Page, server: ScriptedServer) -> None:
    state = calling(page, server).locator(".ring .state")
    page.evaluate(BACK)
    expect(state).to_have_text(re.compile(r"^Ringing… 3[0-8] seconds left$"))


def test_the_next_try_is_counted_though_the_clock_is_put_back(page: Page, server: ScriptedServer) -> None:
    page.add_init_script(NO_LINE)
    server.rest["/api/v1/get_message"] = lambda route: route.abort()
    notice = opened(page).locator("[data-side=driver] .notice")
    next_try = re.compile(r"Next try in (\d+) s")
    expect(notice).to_contain_text(re.compile(r"Next try in [4-9] s"), timeout=60_000)  # pauses grow
    page.evaluate(BACK)
    page.wait_for_timeout(1_100)  # it is drawn every second
    shown = next_try.search(notice.inner_text())
    assert shown
    assert int(shown[1]) <= 8


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_bright_line_shows_in_the_corners_of_the_call_screen(
    page: Page, server: ScriptedServer, scheme: str
) -> None:
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page.set_viewport_size({"width": 1440, "height": 900})
    place = calling(page, server)
    frame, ring = place.locator(".phone"), place.locator(".ring")
    expect(place.locator(".body")).to_have_css("visibility", "hidden")
    expect(frame).to_have_css("background-color", ring.evaluate("ring => getComputedStyle(ring).backgroundColor"))
    overlap = "ring => ['Left', 'Top'].map(side => ring['client' + side] + ring['offset' + side])"
    assert ring.evaluate(overlap) == [-1, -1]  # it covers the edge that the browser draws smoothly


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ticks_are_lighter_than_the_text(page: Page, server: ScriptedServer, scheme: str) -> None:
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    server.add("driver", "I am here")
    bubble = phone(opened(page)).locator(".message.own .bubble")
    expect(bubble.locator(".tick")).to_have_text("Read")
    assert float(bubble.locator(".stamp").evaluate("stamp => getComputedStyle(stamp).opacity")) < 1
    strokes = "icon => parseFloat(getComputedStyle(icon).strokeWidth)"
    tick = bubble.locator(".tick svg").evaluate(strokes)
    assert tick < page.locator(".round svg").first.evaluate(strokes)
    sizes = "each => parseFloat(getComputedStyle(each).fontSize)"
    assert bubble.locator(".stamp").evaluate(sizes) < bubble.locator("p").evaluate(sizes)


@pytest.mark.parametrize(
    ("booking", "words"),
    [
        ({"closed_at": None, "muted": ["driver"]}, "read here, not write"),
        ({"closed_at": "2026-11-22T07:40:00.000000Z", "muted": []}, "This booking is closed"),
    ],
)
def test_muting_and_closing_are_shown_and_nothing_is_offered_that_would_be_refused(
    page: Page, server: ScriptedServer, booking: dict[str, Any], words: str
) -> None:
    server.add("driver", "I am here")
    place = phone(opened(page))
    box = place.get_by_role("textbox", name="Message")
    offered = [
        *(box, place.get_by_role("group", name="Quick replies")),
        *(place.get_by_role("button", name=name) for name in ("Remove this message", "Take or choose a photo", "Send")),
    ]
    said = place.locator(".silenced")
    call = place.get_by_role("button", name="Call the passenger")
    box.fill("One more thing")
    box.focus()
    for each in offered:
        expect(each).to_be_visible()
    expect(call).to_be_enabled()
    expect(said).to_be_hidden()

    standing, server.booking = server.booking, booking
    server.add("system", "An order", message_type="system", metadata={"event": "an_order"})
    expect(said).to_contain_text(words)
    expect(said).to_be_focused()
    for each in offered:
        expect(each).to_be_hidden()
    expect(call).to_be_disabled()
    page.reload()
    expect(said).to_contain_text(words)
    expect(box).to_be_hidden()

    server.booking = standing
    server.add("system", "Another order", message_type="system", metadata={"event": "an_order"})
    for each in offered[:-1]:
        expect(each).to_be_visible()
    expect(said).to_be_hidden()


def test_what_was_typed_before_a_booking_was_closed_is_there_when_it_opens(page: Page, server: ScriptedServer) -> None:
    place = phone(opened(page))
    box = place.get_by_role("textbox", name="Message")
    box.fill("One more thing")
    standing, server.booking = server.booking, {"closed_at": "2026-11-22T07:40:00.000000Z", "muted": []}
    server.add("system", "The ride is over", message_type="system", metadata={"event": "booking_closed"})
    expect(box).to_be_hidden()
    server.booking = standing
    server.add("system", "It goes on", message_type="system", metadata={"event": "booking_opened"})
    expect(box).to_have_value("One more thing")
    expect(box).to_be_focused()


def test_a_voice_note_that_is_recorded_when_a_booking_closes_is_discarded(page: Page, server: ScriptedServer) -> None:
    place = phone(opened(page))
    place.get_by_role("button", name="Record a voice note").click()
    expect(place.get_by_role("button", name="Send the voice note")).to_be_focused()
    server.booking = {"closed_at": "2026-11-22T07:40:00.000000Z", "muted": []}
    server.add("system", "The ride is over", message_type="system", metadata={"event": "booking_closed"})
    expect(place.locator(".silenced")).to_be_focused()
    expect(place.get_by_role("group", name="Voice note")).to_be_hidden()


def test_a_muted_side_silences_no_agent_and_a_closed_booking_does(page: Page, server: ScriptedServer) -> None:
    server.booking = {"closed_at": None, "muted": ["driver", "passenger"]}
    place = phone(opened(page, "?phone=agent"), "agent")
    expect(place.get_by_role("textbox", name="Message")).to_be_visible()
    server.booking = {"closed_at": "2026-11-22T07:40:00.000000Z", "muted": []}
    page.reload()
    expect(place.locator(".silenced")).to_contain_text("This booking is closed")
    expect(place.get_by_role("textbox", name="Message")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_what_a_message_may_hold(page: Page, server: ScriptedServer, scheme: str) -> None:
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page.set_viewport_size({"width": 390, "height": 1400})
    server.rest["/api/v1/attachment"] = lambda route: route.fulfill(json={"url": f"{HOME}/icon.svg"})
    server.presence["agent"] = True
    for sender in ("driver", "passenger"):
        server.add(sender, "Here", metadata={"location": {"lat": 48.2, "lng": 16.4}})
        server.add(sender, "My car", metadata={"attachment": {"id": "a1", "content_type": "image/jpeg", "bytes": 9}})
        server.add(sender, "", metadata={"attachment": {"id": "a2", "content_type": "audio/webm", "bytes": 9}})
        server.add(sender, "", redacted_at="2026-11-22T07:40:00.000000Z")
    server.add("agent", "Can I help?")
    place = phone(opened(page))
    expect(place.get_by_role("img", name="Photo from")).to_have_count(2)
    assert findings(page) == []
    place.get_by_role("button", name="Record a voice note").click()
    expect(place.get_by_role("button", name="Send the voice note")).to_be_focused()
    assert findings(page) == []
