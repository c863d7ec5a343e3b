"""A photo goes from one side to the other: through the front door, the functions' roles and S3's own checks."""

import itertools
import os
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from local.stack import Stack
from tests.e2e.talking import ask, connected, hear

PHOTO = os.urandom(100_000)
LARGEST = 10 * 1024 * 1024
_bookings = itertools.count(1)


@pytest.fixture
def booking() -> str:
    return f"photos-{next(_bookings)}-{time.time_ns()}"


@pytest.fixture
def send(stack: Stack, booking: str) -> Callable[..., httpx.Response]:
    return lambda **fields: ask(
        stack, None, "POST", "send_message", **{"booking_code": booking, "sender": "driver", **fields}
    )


def form_of(send: Callable[..., httpx.Response], size: int = len(PHOTO), content_type: str = "image/jpeg") -> Any:
    answer = send(attach={"content_type": content_type, "bytes": size})
    assert answer.status_code == 201, answer.text
    return answer.json()


def upload(form: Any, content: bytes, **changed: str) -> int:
    """Posts a form as a browser does. Returns the status of S3's answer."""
    fields = {**form["upload"]["fields"], **changed}
    files = {"file": ("photo", content, fields["Content-Type"])}
    return httpx.post(form["upload"]["url"], data=fields, files=files, timeout=60).status_code


def address(stack: Stack, booking: str, id: str) -> httpx.Response:
    return ask(stack, None, "GET", "attachment", booking_code=booking, id=id)


def test_a_photo_reaches_the_other_side_and_is_gone_after_its_redaction(
    stack: Stack, booking: str, send: Callable[..., httpx.Response]
) -> None:
    with connected(stack, f"booking_code={booking}&sender=passenger") as passenger:
        form = form_of(send)
        id = form["attachment"]["id"]
        assert form["upload"]["url"].startswith(stack.url)
        assert upload(form, PHOTO) == 204
        sent = send(message="", metadata={"attachment": {"id": id}})
        assert sent.status_code == 201, sent.text
        heard = hear(passenger, "message")["message"]
    assert heard["metadata"]["attachment"] == {"id": id, "content_type": "image/jpeg", "bytes": len(PHOTO)}
    found = address(stack, booking, id).json()
    read = httpx.get(found["url"])
    assert (read.status_code, read.content, read.headers["content-type"]) == (200, PHOTO, "image/jpeg")
    redacted = send(redact=heard["timestamp"])
    assert redacted.status_code == 201, redacted.text
    assert address(stack, booking, id).status_code == 404
    assert httpx.get(found["url"]).status_code in (403, 404)


def test_a_form_takes_only_its_own_key_type_and_size(send: Callable[..., httpx.Response]) -> None:
    form = form_of(send, 1_000)
    assert upload(form, b"x" * 1_001) in (400, 403)
    assert upload(form, b"") in (400, 403)
    assert upload(form, b"x" * 10, **{"Content-Type": "text/html"}) == 403
    assert upload(form, b"x" * 10, key=form["upload"]["fields"]["key"] + "x") == 403
    assert upload(form, b"x" * 1_000) == 204


def test_an_upload_does_not_overwrite_the_copy_that_a_message_names(
    stack: Stack, booking: str, send: Callable[..., httpx.Response]
) -> None:
    form = form_of(send, 1_000)
    id = form["attachment"]["id"]
    upload(form, b"first")
    assert send(message="look", metadata={"attachment": {"id": id}}).status_code == 201
    assert upload(form, b"second, later") == 204
    again = send(message="again", metadata={"attachment": {"id": id}})
    assert again.json()["message"]["metadata"]["attachment"]["bytes"] == len(b"first")
    assert httpx.get(address(stack, booking, id).json()["url"]).content == b"first"


def test_an_attachment_that_was_not_uploaded_in_this_booking_is_refused(
    stack: Stack, booking: str, send: Callable[..., httpx.Response]
) -> None:
    form = form_of(send)
    metadata = {"attachment": {"id": form["attachment"]["id"]}}
    assert send(message="", metadata=metadata).status_code == 400
    assert upload(form, PHOTO) == 204
    assert send(message="", metadata=metadata, sender="passenger").status_code == 400
    assert send(message="", metadata=metadata, booking_code=f"{booking}-other").status_code == 400
    assert send(attach={"content_type": "image/jpeg", "bytes": LARGEST + 1}).status_code == 413
    assert send(attach={"content_type": "image/gif", "bytes": 5}).status_code == 400
    assert address(stack, booking, form["attachment"]["id"]).status_code == 404
