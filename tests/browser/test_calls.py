"""Two people call each other: the sound goes through WebRTC, everything else through the running stack."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import PATIENCE_MS
from tests.browser.console import Console


def test_a_call_rings_is_answered_carries_sound_ends_and_is_logged(console: Console) -> None:
    driver, passenger = console.driver, console.passenger
    driver.call()
    expect(passenger.place.get_by_role("region", name="Incoming call from the driver")).to_be_visible()
    expect(driver.place.locator(".ring")).to_contain_text("left")
    passenger.button("Answer").click()
    for phone in (driver, passenger):
        expect(phone.talking).to_be_visible()
        expect(phone.talking).to_have_attribute("data-received", re.compile(r"\d{4,}"))
    heard = driver.heard(), passenger.heard()
    console.page.wait_for_function(
        """before => [...document.querySelectorAll('.talking')]
            .every((bar, at) => bar.dataset.received > before[at] + 2000)""",
        arg=heard,
    )
    driver.button("Hang up").click()
    for phone in (driver, passenger):
        expect(phone.talking).to_be_hidden()
        expect(phone.messages.last).to_contain_text("Call ended")

    passenger.button("Call log").click()
    entry = passenger.place.locator(".log li")
    expect(entry).to_have_count(1)
    expect(entry).to_contain_text("Incoming call")
    expect(entry).to_contain_text("Call ended")


def test_a_double_tap_on_answer_sends_no_quick_reply_that_lies_behind_it(console: Console) -> None:
    page, passenger = console.page, console.passenger
    page.set_viewport_size({"width": 360, "height": 640})
    console.driver.call()
    page.get_by_role("navigation").get_by_role("button", name="Passenger").click()
    box = passenger.button("Answer").bounding_box()
    assert box
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    behind = "([x, y]) => document.elementFromPoint(x, y)?.closest('.body')?.className ?? null"
    page.evaluate(  # in the moment in which the sheet goes away
        f"""at => {{
            const ring = document.querySelector('[data-side=passenger] .ring');
            const look = () => ring.hidden && (window.hit ??= [({behind})(at)]);
            new MutationObserver(look).observe(ring, {{ attributes: true }});
        }}""",
        [x, y],
    )
    passenger.button("Answer").click()
    expect(passenger.talking).to_be_visible()
    assert page.evaluate("window.hit") == [None]
    page.wait_for_function(f"at => ({behind})(at) !== null", arg=[x, y])  # until what lies there can be used


def test_a_declined_call_is_shown_as_declined(console: Console) -> None:
    console.driver.call()
    console.passenger.button("Decline").click()
    expect(console.driver.notice).to_have_text("Declined.")
    expect(console.driver.place.locator(".ring")).to_be_hidden()
    expect(console.driver.messages).to_have_count(1)


def test_a_cancelled_call_stops_ringing(console: Console) -> None:
    console.driver.call()
    expect(console.passenger.button("Answer")).to_be_visible()
    console.driver.button("Cancel").click()
    expect(console.passenger.button("Answer")).to_be_hidden()
    expect(console.passenger.messages.last).to_contain_text("Missed call")
    expect(console.passenger.notice).to_have_text("Missed call.")
    expect(console.driver.messages.last).to_contain_text("Cancelled")
    expect(console.driver.notice).to_have_text("Cancelled.")


def test_a_muted_microphone_is_not_heard(console: Console) -> None:
    console.driver.call()
    console.passenger.button("Answer").click()
    expect(console.passenger.talking).to_have_attribute("data-received", re.compile(r"\d{4,}"))
    loud = (
        "() => Number(document.querySelector('[data-side=passenger] .level').style.getPropertyValue('--loud')) > 0.05"
    )
    quiet = loud.replace("> 0.05", "< 0.01")
    console.page.wait_for_function(loud)
    console.driver.button("Mute").click()
    expect(console.driver.button("Mute")).to_have_attribute("aria-pressed", "true")
    console.page.wait_for_function(quiet)
    console.driver.button("Mute").click()
    console.page.wait_for_function(loud)


def test_a_reload_in_mid_call_finds_back_into_it(console: Console) -> None:
    console.driver.call()
    console.passenger.button("Answer").click()
    expect(console.passenger.talking).to_have_attribute("data-received", re.compile(r"\d{4,}"))
    console.page.reload()
    for phone in (console.driver, console.passenger):  # both begin anew at once, on a machine that may be busy
        expect(phone.talking).to_have_attribute("data-received", re.compile(r"\d{4,}"), timeout=3 * PATIENCE_MS)


def test_both_call_at_once_and_talk(console: Console) -> None:
    console.page.evaluate("document.querySelectorAll('.app .call').forEach(button => button.click())")
    for phone in (console.driver, console.passenger):
        expect(phone.talking).to_have_attribute("data-received", re.compile(r"\d{4,}"))
