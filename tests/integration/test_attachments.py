"""Attachments through the real handlers, on moto's S3."""

import json
from typing import Any

import boto3
import pytest

from get_message.app import handler as get_message
from navietakie import warm
from send_message.app import handler
from tests.worlds.moto import World

SEND, READ = "/api/v1/send_message", "/api/v1/attachment"


@pytest.fixture
def bucket(world: World, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("ATTACHMENTS_BUCKET", "attachments")
    monkeypatch.setenv("MAX_ATTACHMENT_BYTES", "1000")
    warm.forget()
    s3: Any = boto3.client("s3", region_name="us-east-1")
    s3.create_bucket(Bucket="attachments")
    return s3


def ask(world: World, **fields: Any) -> tuple[int, Any]:
    return world.rest(handler, "POST", SEND, {"booking_code": "test", "sender": "driver", **fields})[:2]


def uploaded(world: World, bucket: Any, body: bytes = b"a photo", content_type: str = "image/jpeg") -> str:
    status, answer = ask(world, attach={"content_type": content_type, "bytes": len(body)})
    assert status == 201
    bucket.put_object(Bucket="attachments", Key=answer["upload"]["fields"]["key"], Body=body, ContentType=content_type)
    return answer["attachment"]["id"]


def attached(world: World, id: str, **fields: Any) -> tuple[int, Any]:
    return ask(world, message="", metadata={"attachment": {"id": id}}, **fields)


def address(world: World, id: str, booking_code: str = "test") -> tuple[int, Any]:
    return world.rest(get_message, "GET", READ, query={"booking_code": booking_code, "id": id})[:2]


def keys(bucket: Any) -> set[str]:
    return {entry["Key"] for entry in bucket.list_objects_v2(Bucket="attachments").get("Contents", [])}


def test_a_form_says_where_what_and_how_long(world: World, bucket: Any) -> None:
    status, answer = ask(world, attach={"content_type": "audio/ogg", "bytes": 999})
    assert status == 201
    id = answer["attachment"]["id"]
    assert answer["attachment"] == {"id": id, "content_type": "audio/ogg", "bytes": 999}
    fields = answer["upload"]["fields"]
    assert (fields["key"], fields["Content-Type"]) == (f"upload/test/driver/{id}", "audio/ogg")
    assert {"policy", "x-amz-signature"} <= fields.keys()
    assert answer["upload"]["url"].startswith("https://attachments.s3")


def test_a_form_by_websocket_is_an_ack(world: World, bucket: Any) -> None:
    world.connect("d1", "driver")
    frame = {"action": "attach", "id": "a-1", "content_type": "image/png", "bytes": 5}
    (ack,) = world.socket(handler, "d1", frame)
    assert (ack["type"], ack["id"], ack["attachment"]["bytes"]) == ("ack", "a-1", 5)
    assert ack["upload"]["fields"]["key"].startswith("upload/test/driver/")


def test_a_message_brings_what_was_uploaded_and_the_other_side_reads_it(world: World, bucket: Any) -> None:
    world.connect("p1", "passenger")
    id = uploaded(world, bucket)
    status, answer = attached(world, id)
    assert status == 201
    whole = {"attachment": {"id": id, "content_type": "image/jpeg", "bytes": 7}}
    assert (answer["message"]["message"], answer["message"]["metadata"]) == ("", whole)
    assert world.gateway.frames["p1"][-1]["message"]["metadata"] == whole
    status, found = address(world, id)
    assert (status, found["content_type"], found["bytes"]) == (200, "image/jpeg", 7)
    assert f"kept/test/{id}" in found["url"]


def test_a_retry_finds_the_original_although_the_upload_is_gone(world: World, bucket: Any) -> None:
    id = uploaded(world, bucket)
    first = attached(world, id, client_message_id="m1")[1]["message"]
    bucket.delete_object(Bucket="attachments", Key=f"upload/test/driver/{id}")
    bucket.delete_object(Bucket="attachments", Key=f"kept/test/{id}")
    status, again = attached(world, id, client_message_id="m1")
    assert (status, again["duplicate"], again["message"]) == (200, True, first)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"attach": {"content_type": "text/html", "bytes": 5}}, (400, "invalid_request")),
        ({"attach": {"content_type": "image/png", "bytes": 0}}, (400, "invalid_request")),
        ({"attach": {"content_type": "image/png", "bytes": 1001}}, (413, "too_large")),
        ({"attach": {"content_type": "image/png", "bytes": 10**20}}, (413, "too_large")),
        ({"attach": "x"}, (400, "invalid_request")),
        ({"message": "", "metadata": {"attachment": {"id": "0" * 32}}}, (400, "invalid_request")),
        ({"message": "", "metadata": {"attachment": {"id": "../x"}}}, (400, "invalid_request")),
        ({"message": ""}, (400, "invalid_request")),
    ],
)
def test_a_wrong_attachment_request_is_refused(
    world: World, bucket: Any, fields: dict[str, Any], expected: tuple[int, str]
) -> None:
    status, answer = ask(world, **fields)
    assert (status, answer["error"]["code"]) == expected


def test_another_booking_and_another_sender_cannot_use_an_id(world: World, bucket: Any) -> None:
    id = uploaded(world, bucket)
    for other in ({"sender": "passenger"}, {"booking_code": "other"}):
        status, answer = attached(world, id, **other)
        assert (status, answer["error"]["code"]) == (400, "invalid_request")
    attached(world, id)
    assert attached(world, id, sender="passenger")[0] == 400
    assert address(world, id, "other")[0] == 404


def test_a_redaction_deletes_the_object_and_its_address_is_404(world: World, bucket: Any) -> None:
    id = uploaded(world, bucket)
    message = attached(world, id)[1]["message"]
    assert attached(world, id)[0] == 201  # a second message names it
    assert ask(world, redact=message["timestamp"])[0] == 201
    assert keys(bucket) == set()
    assert address(world, id)[0] == 404


@pytest.mark.parametrize("id", ["", "nonsense", "0" * 32, "0" * 65, "../" + "0" * 29])
def test_the_address_of_a_missing_attachment_is_404(world: World, bucket: Any, id: str) -> None:
    assert address(world, id)[0] == 404


def test_without_a_bucket_every_attachment_request_is_404(world: World) -> None:
    assert ask(world, attach={"content_type": "image/png", "bytes": 5})[0] == 404
    assert attached(world, "0" * 32)[0] == 404
    assert address(world, "0" * 32)[0] == 404


def test_a_form_before_the_first_message_leaves_room_for_it(
    world: World, bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESSAGE_RATE", "0.01")
    monkeypatch.setenv("MESSAGE_BURST", "2")
    uploaded(world, bucket)
    status, answer = ask(world, message="Hello")
    assert (status, answer["message"]["seq"]) == (201, 1)
    status, answer = ask(world, attach={"content_type": "image/png", "bytes": 5})
    assert (status, answer["error"]["code"]) == (429, "rate_limited")


def test_no_log_names_an_address(world: World, bucket: Any, capsys: pytest.CaptureFixture[str]) -> None:
    id = uploaded(world, bucket)
    attached(world, id)
    found = address(world, id)[1]
    logged = capsys.readouterr().out
    assert found["url"] not in logged
    assert json.dumps(found["url"]) not in logged
