"""Photos and voice notes: recorded on one phone, uploaded, and shown or heard on the other."""

import json
import struct
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect

from tests.browser.conftest import Open
from tests.browser.console import Console
from tests.browser.scripted import HOME, ScriptedServer, opened

UPLOAD = {"url": f"{HOME}/bucket", "fields": {"key": "upload/a1"}, "expires_at": "2026-11-22T07:41:00.000000Z"}
SECRET_PLACE = b"Exif\0\0 48.2082 N 16.3738 E"


def jpeg_with_place(page: Page, folder: Path) -> Path:
    """A photo of 2400 by 1200 pixels, with the place where it was taken in its Exif data."""
    page.goto("about:blank")
    drawn = page.evaluate(
        """async () => {
            const canvas = Object.assign(document.createElement('canvas'), { width: 2400, height: 1200 });
            const pen = canvas.getContext('2d');
            pen.fillStyle = '#c33';
            pen.fillRect(0, 0, 1200, 1200);
            pen.fillStyle = '#38c';
            pen.fillRect(1200, 0, 1200, 1200);
            const blob = await new Promise((made) => canvas.toBlob(made, 'image/jpeg', 0.9));
            return [...new Uint8Array(await blob.arrayBuffer())];
        }"""
    )
    start, rest = bytes(drawn[:2]), bytes(drawn[2:])
    part = b"\xff\xe1" + struct.pack(">H", len(SECRET_PLACE) + 2) + SECRET_PLACE
    path = folder / "photo.jpg"
    path.write_bytes(start + part + rest)
    return path


def choose(place: Locator, file: Path) -> None:
    """Picks a file as the photo to be sent."""
    with place.page.expect_file_chooser() as chooser:
        place.get_by_role("button", name="Take or choose a photo").click()
    chooser.value.set_files(file)
    expect(place.get_by_role("img", name="The photo to be sent")).to_be_visible()


def record(place: Locator, seconds: int) -> None:
    """Records a voice note of at least that length, and sends it."""
    place.get_by_role("button", name="Record a voice note").click()
    expect(place.get_by_role("button", name="Send the voice note")).to_be_focused()
    expect(place.locator(".recording .timer")).to_have_text(f"0:0{seconds}")
    place.get_by_role("button", name="Send the voice note").press("Enter")


# --- Without a stack -------------------------------------------------------------------------------------------------


@pytest.fixture
def context(browser: Browser) -> Generator[BrowserContext]:
    """A browser of a phone's size."""
    context = browser.new_context(viewport={"width": 390, "height": 780}, bypass_csp=True)
    yield context
    context.close()


class Storage(ScriptedServer):
    """Accepts uploads, except the first `failures`."""

    def __init__(self, context: BrowserContext) -> None:
        super().__init__(context)
        self.failures = 0
        self.uploads: list[bytes] = []
        self.rest["/bucket"] = self._upload
        self.rest["/api/v1/attachment"] = lambda route: route.fulfill(json={"url": f"{HOME}/icon.svg"})

    def _upload(self, route: Route) -> None:
        if self.failures:
            self.failures -= 1
            route.fulfill(status=403)
            return
        self.uploads.append(route.request.post_data_buffer or b"")
        route.fulfill(status=204)

    def answer(self, sender: str, frame: dict[str, Any]) -> dict[str, Any] | None:
        if frame["action"] != "attach":
            return super().answer(sender, frame)
        attachment = {"id": "a1", "content_type": frame["content_type"], "bytes": frame["bytes"]}
        return {"type": "ack", "attachment": attachment, "upload": UPLOAD}


@pytest.fixture
def server(context: BrowserContext) -> Storage:
    return Storage(context)


@pytest.fixture
def page(context: BrowserContext, server: Storage) -> Page:
    return context.new_page()


@pytest.fixture
def place(page: Page, server: Storage) -> Locator:
    place = opened(page).locator("[data-side=driver]")
    expect(place.locator(".strip")).to_contain_text("Connected")
    return place


def test_a_photo_is_made_smaller_and_loses_its_place_before_it_is_uploaded(
    page: Page, server: Storage, tmp_path: Path
) -> None:
    file = jpeg_with_place(page, tmp_path)
    assert SECRET_PLACE in file.read_bytes()
    place = opened(page).locator("[data-side=driver]")
    choose(place, file)
    place.get_by_role("textbox", name="Message").fill("My car")
    place.get_by_role("button", name="Send", exact=True).click()
    expect(place.locator("[data-seq]")).to_contain_text("My car")
    [message] = server.messages
    assert message["metadata"] == {"photo": {"width": 1600, "height": 800}, "attachment": {"id": "a1"}}
    [upload] = server.uploads
    assert b"\xff\xd8\xff" in upload
    assert b"Exif" not in upload
    assert b"48.2082" not in upload
    expect(place.get_by_role("img", name="Photo from you")).to_be_visible()
    expect(place.locator(".preview")).to_be_hidden()


def test_a_file_that_is_no_picture_is_not_sent(place: Locator, server: Storage, tmp_path: Path) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(b"no picture")
    with place.page.expect_file_chooser() as chooser:
        place.get_by_role("button", name="Take or choose a photo").click()
    chooser.value.set_files(file)
    expect(place.locator(".notice")).to_contain_text("no picture that can be sent")
    assert [each for each in server.received if each["action"] == "attach"] == []


def test_an_upload_that_failed_is_tried_again_or_deleted(page: Page, server: Storage, tmp_path: Path) -> None:
    server.failures = 2
    file = png(tmp_path)
    place = opened(page).locator("[data-side=driver]")
    choose(place, file)
    place.get_by_role("button", name="Send", exact=True).click()
    failed = place.locator(".message.failed")
    expect(failed).to_contain_text("Not sent. The upload broke off.")
    failed.get_by_role("button", name="Try again").click()
    expect(failed).to_be_visible()
    failed.get_by_role("button", name="Try again").click()
    expect(place.locator("[data-seq]")).to_have_count(1)
    expect(failed).to_have_count(0)

    server.failures = 1
    choose(place, file)
    place.get_by_role("button", name="Send", exact=True).click()
    failed.get_by_role("button", name="Delete").click()
    expect(failed).to_have_count(0)
    expect(place.locator("[data-seq]")).to_have_count(1)


def test_a_voice_note_is_recorded_and_sent_from_the_keyboard(place: Locator, server: Storage) -> None:
    place.get_by_role("button", name="Record a voice note").focus()
    place.page.keyboard.press("Enter")
    expect(place.get_by_role("group", name="Voice note").get_by_role("status")).to_have_text("Recording")
    expect(place.locator(".recording .timer")).to_have_text("0:01")
    place.page.wait_for_function(  # it beeps once a second
        "document.querySelector('.recording .level').style.getPropertyValue('--loud') > 0.05"
    )
    place.page.keyboard.press("Enter")
    expect(place.locator("[data-seq='1']").get_by_role("button", name="Play the voice note from you")).to_be_visible()
    [message] = server.messages
    assert message["message"] == ""
    assert 1 <= message["metadata"]["voice_note"]["seconds"] <= 5
    [upload] = server.uploads
    assert b"OpusHead" in upload or b"ftyp" in upload


def test_escape_discards_a_voice_note_and_releases_the_microphone(place: Locator, server: Storage) -> None:
    place.page.evaluate(
        """{
            const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
            navigator.mediaDevices.getUserMedia = async (how) => (window.heard = await ask(how));
            null;
        }"""
    )
    place.get_by_role("button", name="Record a voice note").click()
    expect(place.get_by_role("button", name="Send the voice note")).to_be_focused()
    place.page.keyboard.press("Escape")
    expect(place.get_by_role("button", name="Record a voice note")).to_be_focused()
    assert place.page.evaluate("window.heard.getTracks().map((each) => each.readyState)") == ["ended"]
    assert [each for each in server.received if each["action"] == "attach"] == []


def test_without_a_microphone_the_phone_says_so(place: Locator) -> None:
    place.page.evaluate("""{
        navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('', 'NotFoundError'));
        null;
    }""")
    place.get_by_role("button", name="Record a voice note").click()
    expect(place.locator(".notice")).to_contain_text("There is no microphone")
    expect(place.get_by_role("textbox", name="Message")).to_be_visible()


def test_a_note_ends_by_itself_after_a_minute(page: Page, server: Storage) -> None:
    page.clock.install()
    place = opened(page).locator("[data-side=driver]")
    place.get_by_role("button", name="Record a voice note").click()
    expect(place.get_by_role("button", name="Send the voice note")).to_be_focused()
    page.clock.run_for(61_000)
    expect(place.locator(".recording")).to_contain_text("One minute is full")
    expect(place.locator(".recording .timer")).to_have_text("1:00")


def test_a_photo_that_does_not_load_can_be_loaded_again(page: Page, server: Storage) -> None:
    server.rest["/api/v1/attachment"] = lambda route: route.fulfill(status=404, json={"error": {"code": "not_found"}})
    server.add("passenger", "", metadata={"attachment": {"id": "a1", "content_type": "image/jpeg", "bytes": 9}})
    place = opened(page).locator("[data-side=driver]")
    again = place.get_by_role("button", name="Load again")
    expect(again).to_be_visible()
    server.rest["/api/v1/attachment"] = lambda route: route.fulfill(json={"url": f"{HOME}/icon.svg"})
    again.click()
    expect(place.get_by_role("img", name="Photo from the passenger")).to_be_visible()


def png(folder: Path) -> Path:
    """A small picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((16 * y, 90, 160)) * 16 for y in range(16))
    head = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    path = folder / "picture.png"
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


# --- On the running stack --------------------------------------------------------------------------------------------


def address(console: Console, attachment: str) -> str:
    """The address of an attachment, from the server."""
    query = urlencode({"booking_code": console.booking, "id": attachment})
    with urlopen(f"{console.url}/api/v1/attachment?{query}", timeout=60) as answer:
        return json.load(answer)["url"]


def status(url: str) -> int:
    try:
        with urlopen(url, timeout=60) as answer:
            return answer.status
    except HTTPError as refused:
        return refused.code


HEARD = """async (url) => {
    const bytes = await (await fetch(url)).arrayBuffer();
    const sound = await new OfflineAudioContext(1, 48_000, 48_000).decodeAudioData(bytes);
    const samples = sound.getChannelData(0);
    return { seconds: sound.duration, loud: samples.filter((each) => Math.abs(each) > 0.01).length };
}"""


def test_two_browsers_exchange_a_photo_and_a_voice_note_which_are_gone_after_a_redaction(
    browser: Browser, open_console: Open, tmp_path: Path
) -> None:
    driver = open_console(context=browser.new_context(viewport={"width": 1100, "height": 900}), phone="driver").ready()
    passenger = open_console(
        driver.booking, context=browser.new_context(viewport={"width": 1100, "height": 900}), phone="passenger"
    ).ready()

    choose(driver.driver.place, png(tmp_path))
    driver.driver.box.fill("My car")
    driver.driver.button("Send").click()
    picture = passenger.passenger.place.get_by_role("img", name="Photo from the driver")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 16)

    record(driver.driver.place, 2)
    play = passenger.passenger.place.get_by_role("button", name="Play the voice note from the driver")
    play.click()
    expect(passenger.passenger.place.locator(".voice .time")).to_have_text("0:01")

    photo, note = driver.history()
    assert photo["metadata"]["attachment"]["content_type"] == "image/jpeg"
    where = address(driver, note["metadata"]["attachment"]["id"])
    heard = passenger.page.evaluate(HEARD, where)
    assert heard["seconds"] > 1.5
    assert heard["loud"] > 2_000

    driver.driver.place.locator("[data-seq='2']").get_by_role("button", name="Remove this message").click()
    driver.driver.place.get_by_role("button", name="Remove it for everybody?").click()
    expect(passenger.passenger.place.locator("[data-seq='2']")).to_contain_text("Message removed")
    assert status(where) in (403, 404)
    query = urlencode({"booking_code": driver.booking, "id": note["metadata"]["attachment"]["id"]})
    assert status(f"{driver.url}/api/v1/attachment?{query}") == 404
