"""What a link to the console can do and what it cannot. Anybody can make one."""

import shlex
from collections.abc import Generator
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.scripted import HOME, ScriptedServer, opened

ELSEWHERE = "http://elsewhere.example:9000"
THERE = f"?{urlencode({'api': f'{ELSEWHERE}/stage', 'ws': 'ws://elsewhere.example:9000/ws'})}"


@pytest.fixture
def context(browser: Browser) -> Generator[BrowserContext]:
    """A browser that enforces the page's security policy."""
    context = browser.new_context()
    yield context
    context.close()


@pytest.fixture
def server(context: BrowserContext) -> ScriptedServer:
    return ScriptedServer(context, [ELSEWHERE])


@pytest.fixture
def page(context: BrowserContext, server: ScriptedServer) -> Page:
    return context.new_page()


def connected(page: Page, side: str = "driver") -> None:
    expect(page.locator(f"[data-side={side}] .strip")).to_contain_text("Connected")


def offered(page: Page) -> list[list[str]]:
    """The subprotocols of the WebSockets that the page has opened. A token is one of them."""
    return page.evaluate("window.offered")


@pytest.fixture(autouse=True)
def notes(page: Page) -> None:
    page.add_init_script(
        """{
            const look = () => (window.hint ??= document.querySelector('.hint pre')?.textContent);
            new MutationObserver(look).observe(document, { childList: true, subtree: true });
            window.offered = [];
            const Real = window.WebSocket;
            window.WebSocket = class extends Real {
                constructor(url, protocols) {
                    super(url, protocols);
                    window.offered.push([url, ...(protocols ?? [])]);
                }
            };
        }"""
    )


def test_a_server_that_a_link_names_gets_nothing_before_the_user_agrees(page: Page, server: ScriptedServer) -> None:
    opened(page, THERE)
    question = page.get_by_role("dialog", name="Open another server?")
    expect(question).to_contain_text("http://elsewhere.example:9000")
    assert server.sockets == []
    assert [url for url, _ in server.requests if not url.startswith(HOME)] == []

    question.get_by_role("button", name="Stay on this server").click()
    connected(page)
    assert all(url.startswith("ws://localhost:8765/") for url in server.sockets)
    assert "elsewhere" not in page.url


def test_a_server_that_the_user_agreed_to_is_not_asked_about_again(page: Page, server: ScriptedServer) -> None:
    opened(page, THERE).get_by_role("button", name="Open it").click()
    connected(page)
    assert all(url.startswith("ws://elsewhere.example:9000/") for url in server.sockets)
    page.reload()
    connected(page)


def test_a_kept_token_goes_to_the_server_that_it_was_given_for_and_to_no_other(
    page: Page, server: ScriptedServer
) -> None:
    opened(page, "#driver_token=kept.for.home")
    connected(page)
    assert any("kept.for.home" in str(each) for each in offered(page))
    opened(page, THERE).get_by_role("button", name="Open it").click()
    connected(page)
    assert "kept.for.home" not in str(offered(page))
    assert "kept.for.home" not in str([headers for url, headers in server.requests if not url.startswith(HOME)])
    opened(page)
    connected(page)
    assert "kept.for.home" in str(offered(page))


def test_a_token_shown_in_the_settings_is_not_given_to_another_server_typed_there(page: Page) -> None:
    opened(page, "#driver_token=kept.for.home")
    page.get_by_role("button", name="Settings").click()
    token = page.get_by_label("Token of the driver")
    expect(token).to_have_value("kept.for.home")
    page.get_by_label("WebSocket address").fill("ws://elsewhere.example:9000/ws")
    expect(token).to_have_value("")


def test_a_token_in_a_link_replaces_none_that_is_kept_unless_the_user_agrees(page: Page) -> None:
    opened(page, "#driver_token=mine.to.keep")
    connected(page)
    for choice, used in (("Keep mine", "mine.to.keep"), ("Take the link's", "of.the.link")):
        page.goto("about:blank")
        opened(page, "#driver_token=of.the.link")
        page.get_by_role("dialog", name="Replace the token?").get_by_role("button", name=choice).click()
        connected(page)
        assert used in str(offered(page))
        assert "token" not in page.url


def test_the_same_token_again_is_no_question(page: Page) -> None:
    opened(page, "#driver_token=a.b.c")
    connected(page)
    page.goto("about:blank")
    opened(page, "#driver_token=a.b.c")
    connected(page)


def test_escape_means_no(page: Page, server: ScriptedServer) -> None:
    opened(page, THERE)
    expect(page.get_by_role("dialog", name="Open another server?")).to_be_visible()
    page.keyboard.press("Escape")
    connected(page)
    assert all(url.startswith("ws://localhost:8765/") for url in server.sockets)


@pytest.mark.parametrize(
    "given",
    [
        {"booking": "$(touch /tmp/p)"},
        {"booking": "a';touch x;'"},
        {"api": "http://x/;touch%20/tmp/p%20%23"},
        {"api": "http://x/$(id)"},
        {"api": "http://x/'`id`'"},
        {"api": "http://user@x/"},
        {"ws": "ws://x/?a=1"},
    ],
    ids=lambda given: next(iter(given.values())),
)
def test_what_a_link_holds_outside_its_alphabet_is_neither_used_nor_in_a_line_to_paste(
    page: Page, server: ScriptedServer, given: dict[str, str]
) -> None:
    opened(page, f"?{urlencode(given)}")
    label = {"booking": "Booking code", "api": "REST address", "ws": "WebSocket address"}[next(iter(given))]
    expect(page.get_by_label(label)).to_have_value(next(iter(given.values())))
    line = page.evaluate("window.hint")
    words = shlex.split(line.replace("\\\n", " "))
    assert words[:4] == ["curl", "-X", "POST", f"{HOME}/api/v1/send_message"]
    assert words[4:6] == ["-H", "content-type: application/json"]
    assert '"booking_code":"test"' in words[-1]
    assert not set("$`;") & set(line)
    assert all(url.startswith("ws://localhost:8765/") for url in server.sockets)


def test_the_page_reaches_only_its_own_server(page: Page) -> None:
    opened(page)
    connected(page)
    reached = """async (url) => {
        const refused = new Promise((done) => addEventListener('securitypolicyviolation', () => done('refused')));
        const got = fetch(url).then(() => 'reached', () => refused);
        return got;
    }"""
    assert page.evaluate(reached, f"{ELSEWHERE}/index.html") == "refused"
    assert page.evaluate(reached, f"{HOME}/index.html") == "reached"
    assert "elsewhere" not in str(page.evaluate("[...document.querySelectorAll('meta')].map(each => each.content)"))


def test_the_page_reaches_only_the_agreed_server_and_its_storage(page: Page) -> None:
    deployed = {"api": "https://a1.execute-api.eu-central-1.amazonaws.com/staging"}
    opened(page, f"?{urlencode(deployed)}").get_by_role("button", name="Open it").click()
    expect(page.locator(".phone").first).to_be_visible()
    [*_, policy] = page.evaluate("[...document.querySelectorAll('meta[http-equiv]')].map((each) => each.content)")
    [connect] = [each.split()[1:] for each in policy.split("; ") if each.startswith("connect-src")]
    assert set(connect) == {
        "'self'",
        "https://a1.execute-api.eu-central-1.amazonaws.com",
        *(HOME, "ws://localhost:8765"),
        *("https://*.s3.eu-central-1.amazonaws.com", "https://*.s3.amazonaws.com"),
    }
