"""What every store of attachments promises: the fake, and the S3 adapter (on moto)."""

from collections.abc import Generator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from navietakie import warm
from navietakie.aws import attachments
from navietakie.aws.attachments import StoredObject, upload_key
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
