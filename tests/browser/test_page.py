"""The page around the phones: the wire, settings, tokens, small screens, keyboard and screen readers."""

import json
import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from clients import tokens
from clients.tokens import DeployedSecret, Wanted
from local.stack import Stack
from tests.browser.conftest import Open
from tests.browser.console import Console
from tests.running import Run

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def findings(page: Page) -> list[str]:
    """The problems that axe-core finds on the page as it is now."""
    page.wait_for_timeout(400)  # colours fade over
    violations = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    return [f"{each['impact']} {each['id']}: {each['nodes'][0]['html']}" for each in violations]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_problem_on_the_page(console: Console, scheme: str) -> None:
    console.page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    console.driver.write("Good morning")
    expect(console.passenger.bubble("Good morning")).to_be_visible()
    console.send("system", "The company says hello", message_type="system")
    assert findings(console.page) == [], "a conversation"

    console.passenger.line().click()
    console.passenger.write("Kept for later")
    expect(console.passenger.waiting).to_be_visible()
    assert findings(console.page) == [], "a line that is cut"
    console.passenger.line().click()
    expect(console.driver.bubble("Kept for later")).to_be_visible()

    console.driver.call()
    expect(console.passenger.button("Answer")).to_be_visible()
    assert findings(console.page) == [], "a call that rings"
    console.passenger.button("Answer").click()
    expect(console.driver.talking).to_be_visible()
    assert findings(console.page) == [], "a call that lasts"
    console.driver.button("Hang up").click()
    console.driver.button("Call log").click()
    expect(console.driver.place.locator(".log li")).to_contain_text("Outgoing call")
    assert findings(console.page) == [], "the call log"

    console.page.get_by_role("button", name="Settings").click()
    assert findings(console.page) == [], "the settings"


def test_axe_finds_nothing_on_a_small_screen(console: Console) -> None:
    console.page.set_viewport_size({"width": 375, "height": 740})
    assert findings(console.page) == [], "a phone"
    console.page.get_by_role("button", name="Frames").click()
    assert findings(console.page) == [], "the frames"


def test_forced_colours_leave_an_edge_to_whatever_can_be_pressed_or_read(console: Console) -> None:
    page, driver, passenger = console.page, console.driver, console.passenger
    page.emulate_media(forced_colors="active")
    driver.write("Can you see me?")
    expect(passenger.bubble("Can you see me?")).to_be_visible()
    edgeless = """names => names.filter(name => {
        const shown = [...document.querySelectorAll(name)].filter(each => each.checkVisibility());
        return !shown.length || shown.some(each => parseFloat(getComputedStyle(each).borderTopWidth) < 1);
    })"""
    assert page.evaluate(edgeless, [".bubble", ".replies button", ".switch i", ".round"]) == []
    knob = "getComputedStyle(document.querySelector('.switch i'), '::after').backgroundColor"
    face = "getComputedStyle(document.querySelector('.switch i')).backgroundColor"
    assert page.evaluate(knob) != page.evaluate(face)

    driver.call()
    expect(passenger.button("Answer")).to_be_visible()
    assert page.evaluate(edgeless, [".choice span"]) == []


def test_everything_can_be_done_from_the_keyboard(console: Console) -> None:
    page, driver, passenger = console.page, console.driver, console.passenger
    page.locator("body").press("Tab")
    expect(page.get_by_role("link", name="Skip to the phones")).to_be_focused()

    driver.box.focus()
    page.keyboard.type("Typed, not clicked")
    page.keyboard.press("Enter")
    expect(passenger.bubble("Typed, not clicked")).to_be_visible()

    driver.button("Call the passenger").focus()
    page.keyboard.press("Enter")
    expect(driver.button("Cancel")).to_be_focused()
    passenger.button("Answer").focus()
    page.keyboard.press("Enter")
    expect(passenger.button("Hang up")).to_be_focused()
    page.keyboard.press("Enter")
    expect(passenger.button("Call the driver")).to_be_focused()

    passenger.button("Call log").focus()
    page.keyboard.press("Enter")
    expect(passenger.place.get_by_role("heading", name="Calls")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(passenger.button("Back")).to_be_focused()
    page.keyboard.press("Enter")
    expect(passenger.button("Call log")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(passenger.button("Call log")).to_be_focused()


def test_what_a_ringing_call_covers_cannot_be_reached(console: Console) -> None:
    console.passenger.box.focus()
    console.driver.call()
    expect(console.passenger.button("Answer")).to_be_visible()
    assert console.passenger.place.locator(".body").evaluate("element => element.inert")
    console.driver.button("Cancel").click()
    expect(console.passenger.button("Answer")).to_be_hidden()
    assert not console.passenger.place.locator(".body").evaluate("element => element.inert")


def test_the_wire_shows_filters_pauses_and_copies_frames(console: Console) -> None:
    page = console.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    console.driver.write("Look at the wire")
    expect(console.passenger.bubble("Look at the wire")).to_be_visible()
    filter = page.get_by_role("searchbox", name="Filter frames")
    filter.fill("look at the wire")
    expect(console.frames).to_have_count(3)
    page.locator(".wire").get_by_role("button", name="Passenger").click()
    expect(console.frames).to_have_count(2)
    page.locator(".wire").get_by_role("button", name="Passenger").click()

    ack = console.frames.filter(has_text="ack")
    ack.locator("summary").click()
    expect(ack.locator("pre")).to_contain_text('"message_type": "text"')
    page.locator(".wire .label").get_by_role("button", name="Copy").click()
    expect(page.locator(".tail")).to_contain_text("3 frames copied")
    lines = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert [json.loads(line)["direction"] for line in lines].count("out") == 1

    pause = page.get_by_role("button", name="Pause")
    pause.click()
    console.driver.write("Look at the wire again")
    expect(console.passenger.bubble("Look at the wire again")).to_be_visible()
    expect(page.locator(".tail")).to_contain_text("paused")
    expect(console.frames).to_have_count(3)
    pause.click()
    expect(console.frames).to_have_count(6)


def test_a_small_screen_shows_one_phone_at_a_time_and_counts_the_other_ones_messages(console: Console) -> None:
    page = console.page
    page.set_viewport_size({"width": 375, "height": 740})
    expect(console.driver.place).to_be_visible()
    expect(console.passenger.place).to_be_hidden()
    console.driver.write("Are you there?")
    tab = page.get_by_role("navigation").get_by_role("button", name="Passenger")
    expect(tab.locator(".count")).to_have_text("1")
    tab.click()
    expect(console.passenger.bubble("Are you there?")).to_be_visible()
    expect(tab.locator(".count")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_page_can_show_a_single_phone(open_console: Open) -> None:
    both = open_console().ready()
    alone = open_console(both.booking, phone="passenger").ready()
    expect(alone.driver.place).to_have_count(0)
    alone.passenger.write("From a phone of its own")
    expect(both.driver.bubble("From a phone of its own")).to_be_visible()
    expect(both.passenger.bubble("From a phone of its own")).to_be_visible()


def test_another_booking_is_a_dialog_away(console: Console) -> None:
    page = console.page
    page.get_by_role("button", name=f"Booking {console.booking}").click()
    page.get_by_label("Booking code").fill("another-ride")
    page.get_by_role("button", name="Open").click()
    page.wait_for_url(re.compile(r"booking=another-ride"))
    expect(page.get_by_role("button", name="Booking another-ride")).to_be_visible()


@pytest.mark.parametrize(
    ("name", "address", "label"),
    [
        ("api", "http://[", "REST address"),
        ("api", "ftp://example.org", "REST address"),
        ("ws", "wss://[", "WebSocket address"),
    ],
)
def test_an_invalid_address_is_asked_for_again(open_console: Open, name: str, address: str, label: str) -> None:
    page = open_console(**{name: address}).page
    field = page.get_by_label(label)
    expect(field).to_have_value(address)
    page.get_by_role("button", name="Open").click()
    assert field.evaluate("input => input.validationMessage") == "This is no address of a server"
    field.fill("")
    page.get_by_role("button", name="Open").click()
    expect(page.locator("[data-side=driver] .strip")).to_contain_text("Connected")


def test_an_invalid_booking_code_is_explained(console: Console) -> None:
    page = console.page
    page.get_by_role("button", name="Settings").click()
    field = page.get_by_label("Booking code")
    field.fill("bad code!")
    page.get_by_role("button", name="Open").click()
    assert not field.evaluate("input => input.validity.valid")
    expect(field).to_have_attribute("title", re.compile("Letters, digits"))


def test_colours_follow_the_choice_over_a_reload(console: Console) -> None:
    page = console.page
    page.get_by_role("button", name="Colours: as the system").click()
    page.get_by_role("button", name="Colours: light").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    expect(page.get_by_role("button", name="Colours: dark")).to_be_visible()


def test_a_phone_without_a_token_asks_for_one(open_console: Open, jwt_run: tuple[Run, Stack]) -> None:
    run, stack = jwt_run
    secret = DeployedSecret("local", home=run.home).current()
    console = open_console(at=stack.url)

    def token(role: str) -> str:
        wanted = Wanted.parse({"booking": console.booking, "role": role, "sub": f"{role}-1", "ttl": 600})
        return tokens.token(secret, wanted, time.time())

    console.complaints = _Deaf()
    form = console.driver.place.locator(".ask-token")
    form.get_by_label("A token for the driver").fill(token("driver"))
    form.get_by_role("button", name="Connect").click()
    expect(console.driver.place.locator(".strip")).to_contain_text("Connected")

    console.page.goto(f"{stack.url}?booking={console.booking}#passenger_token={token('passenger')}")
    console.page.reload()
    expect(console.passenger.place.locator(".strip")).to_contain_text("Connected")
    assert "token" not in console.page.url
    console.driver.write("With a token each")
    expect(console.passenger.bubble("With a token each")).to_be_visible()


class _Deaf(list[str]):
    """Chromium logs each 401 as an error. Here they are expected."""

    def append(self, complaint: str) -> None:
        if "401" not in complaint:
            super().append(complaint)
