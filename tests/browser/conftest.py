"""The console in Chromium, against the deployed stack."""

import shutil
from collections.abc import Callable, Generator
from uuid import uuid4

import pytest
from playwright.sync_api import Browser, BrowserContext, Playwright, expect, sync_playwright

from local.stack import Stack
from tests.browser.console import Console

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
)
PATIENCE_MS = 30_000
"""In milliseconds: on a busy machine a function's worker takes ten seconds to start."""

type Open = Callable[..., Console]


@pytest.fixture(scope="session")
def playwright() -> Generator[Playwright]:
    with sync_playwright() as playwright:
        expect.set_options(timeout=PATIENCE_MS)
        yield playwright


def executable() -> str:
    """The browser of this machine. Skips the test if there is none."""
    if (found := next(filter(None, map(shutil.which, BROWSERS)), None)) is None:
        pytest.skip("there is no Chromium or Chrome on this machine")
    return found


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Generator[Browser]:
    """One browser with a microphone that beeps."""
    browser = playwright.chromium.launch(executable_path=executable(), args=OPTIONS)
    yield browser
    browser.close()


@pytest.fixture
def open_console(browser: Browser, stack: Stack) -> Generator[Open]:
    """Opens consoles, each with its own booking by default. Fails at the end if one of them has logged an error."""
    consoles: list[Console] = []

    def open_console(
        booking: str | None = None, *, at: str = stack.url, context: BrowserContext | None = None, **options: str
    ) -> Console:
        context = context or browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
        context.set_default_timeout(PATIENCE_MS)
        console = Console(context.new_page(), at, booking or f"ride-{uuid4().hex[:10]}")
        consoles.append(console)
        console.open(**options)
        return console

    yield open_console
    for console in consoles:
        console.page.context.close()
    assert [complaint for console in consoles for complaint in console.complaints] == []


@pytest.fixture
def console(open_console: Open) -> Console:
    """A console whose two phones are connected and have the conversation."""
    return open_console().ready()
