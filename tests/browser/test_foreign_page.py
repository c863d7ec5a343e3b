"""A foreign web page in Chromium tries everything that a page can, against a running `make run`. It gets nothing.

The pages' names (`*.example`) lead to this machine. Otherwise the browser's own rules about local networks would hide
how the stack's ports answer.
"""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import boto3
import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright

from local.stack import Stack
from tests.browser.conftest import OPTIONS, executable

PATIENCE_SECONDS = 15
BOOKING = "hostile-page"
MESSAGE = json.dumps({"booking_code": BOOKING, "message": "from the page", "sender": "driver"})


@pytest.fixture(scope="module")
def names(playwright: Playwright) -> Generator[Browser]:
    """A browser for which every name below `example` is this machine."""
    browser = playwright.chromium.launch(
        executable_path=executable(), args=[*OPTIONS, "--host-resolver-rules=MAP *.example 127.0.0.1"]
    )
    yield browser
    browser.close()


class Foreign(BaseHTTPRequestHandler):
    """Serves an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>foreign</title>")

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def foreign_page(browser: Browser, name: str) -> Generator[Page]:
    """A page at another origin: another port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Foreign)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = browser.new_context(bypass_csp=True)
    try:
        page = context.new_page()
        page.goto(f"http://{name}:{server.server_port}/")
        yield page
    finally:
        context.close()
        server.shutdown()
        server.server_close()


TRY_ALL = """
async ({ urls, sockets, posts, seconds }) => {
  const late = (promise) => Promise.race([promise, new Promise((done) => setTimeout(done, seconds * 1000, null))]);
  const got = [];
  const read = async (url, how) => {
    try {
      const answer = await fetch(url, how);
      if (answer.type !== 'opaque') got.push(`${how?.method ?? 'GET'} ${url}: ${answer.status} ${await answer.text()}`);
    } catch {}
  };
  for (const url of urls) {
    await late(read(url));
    await late(read(url, { mode: 'no-cors' }));
    await late(read(url, { credentials: 'include' }));
    await late(read(url, { method: 'DELETE' }));
    for (const Kind of ['img', 'script']) {
      await late(new Promise((done) => {
        const element = document.createElement(Kind);
        element.onload = () => { got.push(`${Kind} ${url}`); done(); };
        element.onerror = done;
        element.src = url;
        document.body.append(element);
      }));
    }
  }
  for (const { url, body, type } of posts) {
    for (const mode of ['cors', 'no-cors']) {
      await late(read(url, { method: 'POST', mode, body, headers: { 'content-type': type } }));
    }
    await late(read(url, { method: 'POST', body, headers: { 'content-type': 'application/json' } }));
    navigator.sendBeacon(url, body);
  }
  for (const url of sockets) {
    await late(new Promise((done) => {
      const socket = new WebSocket(url, ['navietakie.v1']);
      socket.onopen = () => { got.push(`WebSocket ${url}`); socket.close(); done(); };
      socket.onerror = done;
    }));
  }
  return got;
}
"""


def attempts(stack: Stack, names: list[str]) -> dict[str, Any]:
    """Everything that a page can try, against both ports, under these names."""
    urls, sockets, posts = list[str](), list[str](), list[dict[str, str]]()
    stamp = "20260101T000000Z"
    key = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": "test/20260101/us-east-1/iam/aws4_request"}
    signed = urlencode({**key, "X-Amz-Date": stamp, "X-Amz-SignedHeaders": "host", "X-Amz-Signature": "0" * 64})
    role = urlencode(
        {"Action": "CreateRole", "Version": "2010-05-08", "RoleName": "evil", "AssumeRolePolicyDocument": "{}"}
    )
    for name in names:
        door = f"http://{name}:{urlsplit(stack.url).port}"
        aws = f"http://{name}:{urlsplit(stack.aws).port}"
        stage = f"/_aws/execute-api/{stack.rest_api}/{stack.stage}"
        query = f"booking_code={BOOKING}&sender=driver"
        urls += [f"{door}{path}" for path in ("/", "/console/main.js", "/icon.svg", f"/api/v1/get_message?{query}")]
        urls += [f"{aws}{path}" for path in ("/", "/_ministack/health", f"{stage}/api/v1/get_message?{query}")]
        urls += [f"{aws}/?{signed}&Action=ListRoles&Version=2010-05-08"]
        sockets += [f"ws{door[4:]}/ws?{query}"]
        sockets += [f"ws{aws[4:]}/_aws/execute-api/{stack.websocket_api}/{stack.stage}?{query}"]
        posts += [
            {"url": f"{aws}/?{signed}", "body": role, "type": "application/x-www-form-urlencoded"},
            {"url": f"{aws}{stage}/api/v1/send_message", "body": MESSAGE, "type": "text/plain"},
            {"url": f"{door}/api/v1/send_message", "body": MESSAGE, "type": "text/plain"},
        ]
    return {"urls": urls, "sockets": sockets, "posts": posts, "seconds": PATIENCE_SECONDS}


def nothing_happened(stack: Stack) -> None:
    """Checks that nothing was stored, and that no function was made."""
    where = f"{stack.url}/api/v1/get_message?booking_code={BOOKING}"
    assert httpx.get(where, timeout=60).json()["messages"] == []
    iam: Any = boto3.client("iam", **cast(Any, stack.access.client))
    assert "evil" not in [role["RoleName"] for role in iam.list_roles()["Roles"]]


@pytest.mark.parametrize("name", ["evil.example", "localhost"])
def test_a_foreign_page_reads_nothing_and_runs_nothing(names: Browser, stack: Stack, name: str) -> None:
    with foreign_page(names, name) as page:
        got = page.evaluate(TRY_ALL, attempts(stack, ["127.0.0.1", "localhost", "rebound.example"]))
    assert got == []
    nothing_happened(stack)


def test_a_name_that_was_bound_to_this_machine_after_its_page_was_loaded_opens_nothing(
    names: Browser, stack: Stack
) -> None:
    """Then the page's origin is the stack's port: for the browser nothing is foreign any more."""
    for url in (stack.url, stack.aws):
        home = f"http://rebound.example:{urlsplit(url).port}"
        context = names.new_context()
        page = context.new_page()
        page.route(f"{home}/start", lambda route: route.fulfill(content_type="text/html", body="<!doctype html>"))
        page.goto(f"{home}/start")
        tried = attempts(stack, ["rebound.example"])
        got: list[str] = page.evaluate(TRY_ALL, tried)
        # The page may read that it was refused, and why.
        assert [each for each in got if ": 403 " not in each] == []
        context.close()
    nothing_happened(stack)


def test_a_foreign_page_posts_no_form_and_frames_no_console(names: Browser, stack: Stack) -> None:
    with foreign_page(names, "evil.example") as page:
        for action in (f"{stack.url}/api/v1/send_message", f"{stack.aws}/"):
            with page.expect_popup() as popup:
                page.evaluate(
                    """([action, text]) => {
                      const form = document.createElement('form');
                      Object.assign(form, { action, method: 'post', enctype: 'text/plain', target: '_blank' });
                      const input = document.createElement('input');
                      [input.name, input.value] = [text.slice(0, -1) + ',"metadata":{"a":"', '"}}'];
                      form.append(input);
                      document.body.append(form);
                      form.submit();
                    }""",
                    [action, MESSAGE],
                )
            popup.value.wait_for_load_state()
            assert "foreign" not in popup.value.title()
        page.evaluate(
            """(src) => new Promise((done) => {
              const frame = Object.assign(document.createElement('iframe'), { src, onload: done });
              document.body.append(frame);
            })""",
            f"{stack.url}/",
        )
        [frame] = page.frames[1:]
        assert frame.title() == ""
        assert "other web pages may not call" in frame.content()
    nothing_happened(stack)


def test_a_link_to_the_console_still_leads_there(names: Browser, stack: Stack) -> None:
    with foreign_page(names, "evil.example") as page:
        page.evaluate("(url) => { location.href = url }", f"{stack.url}/")
        page.wait_for_url(f"{stack.url}/**")
        assert page.title() == "NavieTakie console"


def test_the_foreign_pages_script_succeeds_where_it_is_allowed(names: Browser, stack: Stack) -> None:
    """On the console's own page, where it may, the same script gets everything."""
    context: BrowserContext = names.new_context(bypass_csp=True)
    page = context.new_page()
    page.goto(stack.url)
    tried = attempts(stack, ["localhost"])
    got: list[str] = page.evaluate(TRY_ALL, {**tried, "posts": []})
    assert any(each.startswith("WebSocket") for each in got)
    assert any("head_seq" in each for each in got)
    assert any(each.startswith("img") for each in got)
    assert any(each.startswith("script") for each in got)
    context.close()
