"""Makes the pictures of the README. `SCREENSHOTS=docs/images` says where they go; by default they are thrown away."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from local.stack import Stack
from tests.browser.conftest import PATIENCE_MS
from tests.browser.console import Console

STORY = [
    ("driver", "Good morning! I am two streets away. Silver Skoda, the plate ends in 42."),
    ("passenger", "Great, I have a big suitcase 🧳 Is there room in the trunk?"),
    ("driver", "Plenty."),
    ("passenger", "I am at the entrance, next to the flower shop"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    wanted = os.environ.get("SCREENSHOTS")
    return Path(wanted) if wanted else tmp_path


def test_the_pictures_of_the_readme_are_made(browser: Browser, stack: Stack, folder: Path) -> None:
    context = browser.new_context(viewport={"width": 1360, "height": 850}, device_scale_factor=1.5)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    console = Console(page, stack.url, "ride-4711").open().ready()
    for side, text in STORY:
        phone = console.driver if side == "driver" else console.passenger
        phone.look_at()
        phone.write(text)
        expect(phone.bubble(text[:20]).locator(".tick")).to_have_text(re.compile("Delivered|Read"))
    console.driver.look_at()
    expect(console.passenger.bubble("flower shop").locator(".tick")).to_have_text("Read")
    console.driver.box.press_sequentially("I can see you", delay=20)
    expect(console.passenger.place.locator(".who p")).to_have_text("typing…")
    page.screenshot(path=folder / "console.png")
    console.driver.box.press("Enter")

    console.passenger.line().click()
    console.driver.button("I am here").click()
    console.passenger.look_at()
    console.passenger.write("On my way down!")
    expect(console.driver.bubble("I am here").locator(".tick")).to_have_text("Sent")
    expect(console.passenger.waiting).to_be_visible()
    page.screenshot(path=folder / "console-cut.png")
    console.passenger.line().click()
    expect(console.driver.bubble("On my way down!")).to_be_visible()

    page.emulate_media(color_scheme="dark")
    console.driver.look_at()
    console.driver.call()
    expect(console.driver.place.locator(".ring")).to_contain_text("left")
    expect(console.passenger.button("Answer")).to_be_visible()
    page.wait_for_timeout(500)  # it slides in
    page.screenshot(path=folder / "console-call.png")
    console.passenger.button("Answer").click()
    for phone in (console.driver, console.passenger):
        expect(phone.talking).to_have_attribute("data-received", re.compile(r"\d{5,}"))
    page.set_viewport_size({"width": 390, "height": 780})
    page.screenshot(path=folder / "console-small.png")
    assert {path.name for path in folder.glob("console*.png")} >= {"console.png", "console-cut.png", "console-call.png"}
    context.close()
