"""What every store of attachments promises: the fake, and the S3 adapter (on moto)."""

import base64
import json
from collections.abc import Generator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws

from navietakie import warm
from navietakie.aws import attachments, clients
from navietakie.aws.attachments import StoredObject, upload_key
from navietakie.domain.errors import Refusal
from tests.fakes.attachments import FakeAttachments

ID, OTHER = "0" * 32, "1" * 32


class OnMoto:
    """The real adapter. `upload` leaves what a form's upload would leave."""

    def __init__(self) -> None:
        self._s3: Any = boto3.client("s3", region_name="us-east-1")
        self._s3.create_bucket(Bucket="attachments")
        made = attachments.attachments()
        assert made
        self._made = made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)

    def copies_asked(self) -> Any:
        """What `keep` asks S3 for."""
        asked: list[Any] = []
        self._made._client.meta.events.register(
            "provide-client-params.s3.CopyObject", lambda params, **_: asked.append(params)
        )
        self._made.keep("test", "driver", ID, StoredObject("image/jpeg", 5, '"the-etag"', 0, None))
        return asked[0]

    def upload(self, booking_code: str, sender: Any, id: str, content_type: str = "image/jpeg", size: int = 9) -> None:
        key = upload_key(booking_code, sender, id)
        self._s3.put_object(Bucket="attachments", Key=key, Body=b"x" * size, ContentType=content_type)


@pytest.fixture(params=["fake", "s3"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Generator[Any]:
    if request.param == "fake":
        yield FakeAttachments()
        return
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "ATTACHMENTS_BUCKET": "attachments",
        "ENVIRONMENT": "local",
    }.items():
        monkeypatch.setenv(name, value)
    warm.forget()
    with mock_aws():
        yield OnMoto()
    warm.forget()


def test_before_the_upload_there_is_no_object(store: Any) -> None:
    assert store.uploaded("test", "driver", ID) is None
    assert store.kept("test", ID) is None


def test_an_upload_is_found_only_under_its_booking_sender_and_id(store: Any) -> None:
    store.upload("test", "driver", ID, "audio/ogg", 1234)
    found = store.uploaded("test", "driver", ID)
    assert (found.content_type, found.size) == ("audio/ogg", 1234)
    assert store.uploaded("test", "passenger", ID) is None
    assert store.uploaded("other", "driver", ID) is None
    assert store.uploaded("test", "driver", OTHER) is None


def test_a_kept_attachment_does_not_change_when_its_upload_does(store: Any) -> None:
    store.upload("test", "driver", ID, size=5)
    first = store.uploaded("test", "driver", ID)
    assert store.keep("test", "driver", ID, first) is True
    store.upload("test", "driver", ID, size=7)
    kept = store.kept("test", ID)
    assert (kept.size, kept.content_type, kept.sender) == (5, "image/jpeg", "driver")


def test_an_upload_that_has_changed_is_not_kept(store: Any) -> None:
    if isinstance(store, OnMoto):  # moto ignores the conditions of a copy, so check them in the request
        asked = store.copies_asked()
        assert (asked["IfNoneMatch"], asked["CopySourceIfMatch"]) == ("*", '"the-etag"')
        return
    store.upload("test", "driver", ID, size=5)
    first = store.uploaded("test", "driver", ID)
    store.upload("test", "driver", ID, size=7)
    assert store.keep("test", "driver", ID, first) is False
    assert store.kept("test", ID) is None


def test_deleting_removes_the_upload_and_the_kept_copy(store: Any) -> None:
    store.upload("test", "driver", ID)
    store.keep("test", "driver", ID, store.uploaded("test", "driver", ID))
    store.delete("test", "driver", ID)
    store.delete("test", "driver", ID)
    assert store.uploaded("test", "driver", ID) is None
    assert store.kept("test", ID) is None


# --- What only S3 has ---------------------------------------------------------------------------------------------


class S3:
    """A client that fails with `error`."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def head_object(self, **_: Any) -> Any:
        raise self.error

    copy_object = delete_object = head_object


def failing(error: Exception) -> attachments.Attachments:
    client: Any = S3(error)
    return attachments.Attachments(client, client, "attachments")


def failure(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "HeadObject")


UPLOAD = StoredObject("image/jpeg", 5, '"the-etag"', 0, None)


@pytest.mark.parametrize("code", ["403", "404", "NoSuchKey", "AccessDenied", "NotFound"])
def test_what_is_not_there_is_none_whatever_s3_calls_it(code: str) -> None:
    assert failing(failure(code)).kept("test", ID) is None
    assert failing(failure(code)).keep("test", "driver", ID, UPLOAD) is False


@pytest.mark.parametrize("code", ["PreconditionFailed", "412", "ConditionalRequestConflict", "409"])
def test_a_copy_that_was_faster_and_an_upload_that_has_changed_are_no_copy(code: str) -> None:
    assert failing(failure(code)).keep("test", "driver", ID, UPLOAD) is False


@pytest.mark.parametrize("error", [failure("SlowDown"), EndpointConnectionError(endpoint_url="x")])
def test_a_bucket_that_does_not_answer_is_unavailable(error: Exception) -> None:
    bucket = failing(error)
    for act in (
        lambda: bucket.kept("test", ID),
        lambda: bucket.uploaded("test", "driver", ID),
        lambda: bucket.keep("test", "driver", ID, UPLOAD),
        lambda: bucket.delete("test", "driver", ID),
    ):
        with pytest.raises(Refusal) as refused:
            act()
        assert refused.value.code == "unavailable"


@pytest.fixture
def signing(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "ATTACHMENTS_BUCKET": "attachments",
        "ATTACHMENTS_ENDPOINT": "",
        "AWS_ENDPOINT_URL": "",
    }.items():
        monkeypatch.setenv(name, value)
    warm.forget()
    yield
    warm.forget()


@pytest.mark.usefixtures("signing")
@pytest.mark.parametrize(
    ("endpoint", "place"),
    [
        ("", "https://attachments.s3.amazonaws.com/"),
        ("http://localhost:8000/s3", "http://localhost:8000/s3/attachments"),
    ],
)
def test_a_form_takes_one_type_and_size_for_some_time(
    endpoint: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTACHMENTS_ENDPOINT", endpoint)
    bucket = attachments.attachments()
    assert bucket
    form = bucket.form("test", "driver", ID, "image/png", most_bytes=77, seconds=600)
    assert form["url"].replace("s3.eu-central-1", "s3") == place
    assert (form["fields"]["key"], form["fields"]["Content-Type"]) == (f"upload/test/driver/{ID}", "image/png")
    policy = json.loads(base64.b64decode(form["fields"]["policy"]))
    assert {"Content-Type": "image/png"} in policy["conditions"]
    assert ["content-length-range", 1, 77] in policy["conditions"]
    ends = datetime.fromisoformat(policy["expiration"])
    assert 590 < (ends - datetime.now(UTC)).total_seconds() <= 601
    assert form["fields"]["x-amz-algorithm"] == "AWS4-HMAC-SHA256"


@pytest.mark.usefixtures("signing")
def test_an_address_works_for_as_long_as_is_said() -> None:
    bucket = attachments.attachments()
    assert bucket
    address = urlsplit(bucket.url("test", ID, seconds=900))
    query = dict(parse_qsl(address.query))
    assert address.path == f"/kept/test/{ID}"
    assert (query["X-Amz-Expires"], query["X-Amz-Algorithm"]) == ("900", "AWS4-HMAC-SHA256")


@pytest.mark.usefixtures("signing")
def test_its_client_waits_and_tries_as_the_time_of_a_request_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(clients, "client", lambda service, **how: made.append({"service": service, **how}))
    attachments.attachments()
    how = {"connect_timeout": 1, "read_timeout": 3, "attempts": 3, "signature_version": "s3v4"}
    assert made == [{"service": "s3", **how, "s3": {"addressing_style": "virtual"}}]
