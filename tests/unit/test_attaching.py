"""Forms for uploads, and messages that name an upload, on a bucket in memory."""

import time
from typing import Any

import pytest

from get_message.attachment import AttachmentQuery, address
from navietakie.aws.attachments import StoredObject
from navietakie.aws.tables.dynamo import Contended
from navietakie.domain import instants
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message, NewMessage, Sender
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors.requests import Party
from send_message.attaching import Attach, Attaching, NewAttachment
from tests.fakes.attachments import FakeAttachments
from tests.fakes.messages import FakeMessages
from tests.unit.test_sending import NO_LIMIT, NOW, send

DRIVER, PASSENGER = Party("test", "driver", None), Party("test", "passenger", None)
SYSTEM = Party("test", "system", None)
ID = "0123456789abcdef" * 2
MOST = 10 * 1024 * 1024


def form(
    bucket: FakeAttachments | None,
    store: FakeMessages | None = None,
    by: Party = DRIVER,
    *,
    size: int = 345_678,
    rate_limit: RateLimit = NO_LIMIT,
    seconds: float = 5,
) -> Any:
    new = NewAttachment.parse({"content_type": "image/jpeg", "bytes": size})
    service = Attaching(lambda: bucket, MOST)
    return service.form(by, new, store or FakeMessages(), rate_limit, now=NOW, deadline=time.monotonic() + seconds)


def completed(bucket: FakeAttachments, by: Party = DRIVER, id: str = ID, **metadata: Any) -> NewMessage:
    new = NewMessage.parse({"message": "", "metadata": {**metadata, "attachment": {"id": id}}})
    return Attaching(lambda: bucket, MOST).completed(by, new)


def refused(*arguments: Any, of: Any, **more: Any) -> str:
    with pytest.raises(Refusal) as refusal:
        of(*arguments, **more)
    return refusal.value.code


def test_a_form_is_for_one_id_one_type_and_the_size_that_was_named() -> None:
    bucket = FakeAttachments()
    answer = form(bucket)
    assert answer["attachment"] == {"id": answer["attachment"]["id"], "content_type": "image/jpeg", "bytes": 345_678}
    (made,) = bucket.forms
    assert made["fields"]["key"] == f"upload/test/driver/{answer['attachment']['id']}"
    assert (made["content_type"], made["most_bytes"]) == ("image/jpeg", 345_678)
    assert answer["upload"]["expires_at"] == instants.to_text(NOW + 600 * instants.SECOND)


def test_ids_are_never_given_twice() -> None:
    bucket = FakeAttachments()
    assert len({form(bucket)["attachment"]["id"] for _ in range(50)}) == 50


@pytest.mark.parametrize("wrong", [{"content_type": "text/html"}, {"bytes": 0}, {"bytes": "9"}, {"content_type": None}])
def test_another_media_type_or_an_empty_file_is_invalid(wrong: dict[str, Any]) -> None:
    fields = {"attach": {"content_type": "image/png", "bytes": 5, **wrong}}
    assert refused(fields, of=Attach.parse) == "invalid_request"


def test_more_than_the_most_is_too_large() -> None:
    assert form(FakeAttachments(), size=MOST)["attachment"]["bytes"] == MOST
    with pytest.raises(Refusal, match=r"attach\.bytes: more than 10485760 bytes") as refusal:
        form(FakeAttachments(), size=MOST + 1)
    assert refusal.value.code == "too_large"
    assert refusal.value.details == {"field": "attach.bytes", "max_bytes": 10_485_760}


def test_without_a_bucket_there_are_no_attachments() -> None:
    assert refused(None, of=form) == "not_found"
    query = AttachmentQuery.parse({"id": ID})
    assert refused(None, "test", query, of=address, now=NOW, retention_days=90) == "not_found"


def test_a_revoked_token_is_refused_even_without_a_bucket() -> None:
    store = FakeMessages()
    send(store, "An order", party=SYSTEM, message_type="system", metadata={"event": "tokens_revoked", "side": "driver"})
    revoked, other = Party("test", "driver", None, iat=0), Party("test", "passenger", None, iat=0)
    for bucket in (None, FakeAttachments()):
        assert refused(bucket, store, revoked, of=form) == "unauthorized"
    assert refused(None, store, other, of=form) == "not_found"


def test_a_form_counts_as_a_message_of_its_sender_before_the_first_message_too() -> None:
    store, two = FakeMessages(), RateLimit(1, 2)
    form(FakeAttachments(), store, rate_limit=two)
    send(store, rate_limit=two)
    assert refused(FakeAttachments(), store, of=form, rate_limit=two) == "rate_limited"
    assert form(FakeAttachments(), store, PASSENGER, rate_limit=two)
    assert form(FakeAttachments(), store, SYSTEM, rate_limit=two)
    assert store.head("test").seq == 1


@pytest.mark.parametrize(
    ("order", "code"),
    [({"event": "booking_closed"}, "booking_closed"), ({"event": "side_muted", "side": "driver"}, "muted")],
)
def test_a_closed_booking_and_a_muted_side_attach_nothing(order: dict[str, str], code: str) -> None:
    store = FakeMessages()
    send(store, "An order", party=SYSTEM, message_type="system", metadata=order)
    assert refused(FakeAttachments(), store, of=form) == code


def test_a_message_is_completed_from_what_was_really_uploaded() -> None:
    bucket = FakeAttachments()
    bucket.upload("test", "driver", ID, "image/png", 77)
    said = completed(bucket, note="mine").metadata
    assert said == {"note": "mine", "attachment": {"id": ID, "content_type": "image/png", "bytes": 77}}


def test_later_messages_use_the_copy_that_the_first_one_made() -> None:
    bucket = FakeAttachments()
    bucket.upload("test", "driver", ID, size=5)
    completed(bucket)
    bucket.upload("test", "driver", ID, size=7)
    assert completed(bucket).metadata["attachment"]["bytes"] == 5  # type: ignore[index]


@pytest.mark.parametrize(
    ("uploaded", "by"),
    [
        (None, DRIVER),
        (("other", "driver"), DRIVER),
        (("test", "passenger"), DRIVER),
        (("test", "driver"), PASSENGER),
        (("test", "driver", "text/html"), DRIVER),
        (("test", "driver", "image/jpeg", MOST + 1), DRIVER),
        (("test", "driver", "image/jpeg", 0), DRIVER),
    ],
)
def test_an_upload_of_another_booking_or_sender_is_refused(uploaded: Any, by: Party) -> None:
    bucket = FakeAttachments()
    if uploaded is not None:
        booking_code, sender, *how = uploaded
        bucket.upload(booking_code, sender, ID, *how)
    assert refused(bucket, by, of=completed) == "invalid_request"
    assert bucket.kept("test", ID) is None


class Counting(FakeAttachments):
    """Counts how often a copy was looked for and made; while it is `busy`, none can be made."""

    def __init__(self, *, busy: int = 0) -> None:
        super().__init__()
        self.looks, self.copies, self.busy = 0, 0, busy

    def kept(self, booking_code: str, id: str) -> StoredObject | None:
        self.looks += 1
        return super().kept(booking_code, id)

    def keep(self, booking_code: str, sender: Sender, id: str, upload: StoredObject) -> bool:
        self.copies += 1
        return self.copies > self.busy and super().keep(booking_code, sender, id, upload)


def test_an_attachment_that_another_sender_has_sent_is_refused_at_once() -> None:
    bucket = Counting()
    bucket.upload("test", "driver", ID)
    completed(bucket)
    bucket.looks = 0
    assert refused(bucket, PASSENGER, of=completed) == "invalid_request"
    assert bucket.looks == 1


def test_what_was_not_uploaded_is_looked_for_once() -> None:
    bucket = Counting()
    assert refused(bucket, of=completed) == "invalid_request"
    assert (bucket.looks, bucket.copies) == (1, 0)


@pytest.mark.parametrize("size", [1, MOST])
def test_the_smallest_and_the_largest_upload_are_taken(size: int) -> None:
    bucket = FakeAttachments()
    bucket.upload("test", "driver", ID, size=size)
    assert completed(bucket).metadata["attachment"]["bytes"] == size  # type: ignore[index]


def test_a_copy_is_tried_three_times_if_others_upload_meanwhile() -> None:
    bucket = Counting(busy=2)
    bucket.upload("test", "driver", ID)
    assert completed(bucket).attachment_id == ID
    bucket = Counting(busy=3)
    bucket.upload("test", "driver", ID)
    assert refused(bucket, of=completed) == "invalid_request"
    assert bucket.copies == 3


class Busy(FakeMessages):
    """Another transaction holds the head for the first few times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times, self.moves = times, 0

    def move_allowance(self, *of: Any, **how: Any) -> bool:
        self.moves += 1
        if self.moves <= self.times:
            raise Contended
        return super().move_allowance(*of, **how)


def test_a_form_waits_for_a_busy_head_until_the_deadline() -> None:
    two = RateLimit(1, 2)
    store = Busy(2)
    assert form(FakeAttachments(), store, rate_limit=two)
    assert store.moves == 3
    assert refused(FakeAttachments(), Busy(1_000_000), of=form, rate_limit=two, seconds=0.05) == "unavailable"


def test_without_a_limit_a_form_writes_nothing() -> None:
    store = Busy(0)
    form(FakeAttachments(), store, rate_limit=RateLimit(1, 2))
    assert store.moves == 1
    form(FakeAttachments(), store)
    assert store.moves == 1


@pytest.mark.parametrize("id", ["", "../x", "A" * 32, "0" * 31, "0" * 33, 5, None])
def test_a_malformed_id_is_refused_before_anything_is_read(id: Any) -> None:
    metadata = {"attachment": {"id": id}}
    assert refused({"message": "", "metadata": metadata}, of=NewMessage.parse) == "invalid_request"


def test_a_message_needs_a_text_or_an_attachment() -> None:
    assert refused({"message": ""}, of=NewMessage.parse) == "invalid_request"
    assert refused({"message": "", "metadata": {"attachment": None}}, of=NewMessage.parse) == "invalid_request"
    assert NewMessage.parse({"message": "", "metadata": {"attachment": {"id": ID}}}).attachment_id == ID


def test_only_kept_attachments_have_an_address() -> None:
    bucket = FakeAttachments()
    bucket.upload("test", "driver", ID, "audio/webm", 99)
    query = AttachmentQuery.parse({"id": ID})
    how = {"now": NOW, "retention_days": 90}
    assert refused(bucket, "test", query, of=address, **how) == "not_found"
    completed(bucket)
    kept = bucket.objects[f"kept/test/{ID}"]
    bucket.objects[f"kept/test/{ID}"] = type(kept)(kept.content_type, kept.size, kept.etag, NOW // 10**6, kept.sender)
    answer = address(bucket, "test", query, **how)  # type: ignore[arg-type]
    assert (answer["content_type"], answer["bytes"]) == ("audio/webm", 99)
    assert answer["expires_at"] == instants.to_text(NOW + 900 * instants.SECOND)
    assert refused(bucket, "other", query, of=address, **how) == "not_found"
    assert refused(bucket, "test", AttachmentQuery.parse({"id": "../" + ID}), of=address, **how) == "not_found"
    later = {"now": NOW + 90 * instants.DAY, "retention_days": 90}
    assert refused(bucket, "test", query, of=address, **later) == "not_found"


def test_a_forgotten_attachment_is_gone_for_every_message_that_names_it() -> None:
    bucket = FakeAttachments()
    bucket.upload("test", "driver", ID)
    metadata = completed(bucket).metadata
    message = Message.model_construct(booking_code="test", sender="driver", metadata=metadata)
    Attaching(lambda: bucket, MOST).forget(message)
    assert bucket.objects == {}
    Attaching(lambda: bucket, MOST).forget(Message.model_construct(booking_code="test", sender="driver", metadata=None))
