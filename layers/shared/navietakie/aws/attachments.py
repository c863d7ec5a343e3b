"""The attachments bucket: what forms upload lies below `upload/`, and what messages name below `kept/`.

A form can be posted again until it expires, so what lies below `upload/` may still change, and it is forgotten after a
day. The first message that names an attachment copies it to `kept/`, which is never overwritten and alone is served.
"""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypedDict

from botocore.exceptions import BotoCoreError, ClientError

from navietakie import settings
from navietakie.aws import clients
from navietakie.domain.errors import unavailable
from navietakie.domain.message import Sender
from navietakie.warm import cached

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ABSENT: Final = frozenset({"403", "404", "NoSuchKey", "AccessDenied", "NotFound"})
"""How S3 says that an object is not there, 403 to somebody who may not list the bucket."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in the bucket. `stored_at` in seconds since 1970; `sender` is None for an upload."""

    content_type: str
    size: int
    etag: str
    stored_at: int
    sender: str | None


class Form(TypedDict):
    """What an attachment is uploaded with: S3's presigned POST."""

    url: str
    fields: dict[str, str]


class AttachmentStore(Protocol):
    """Where attachments are kept: `Attachments`, and in tests a fake."""

    def form(
        self, booking_code: str, sender: Sender, id: str, content_type: str, *, most_bytes: int, seconds: int
    ) -> Form: ...

    def uploaded(self, booking_code: str, sender: Sender, id: str) -> StoredObject | None: ...

    def kept(self, booking_code: str, id: str) -> StoredObject | None: ...

    def keep(self, booking_code: str, sender: Sender, id: str, upload: StoredObject) -> bool: ...

    def delete(self, booking_code: str, sender: Sender, id: str) -> None: ...

    def url(self, booking_code: str, id: str, *, seconds: int) -> str: ...


class Attachments:
    """The objects of one bucket. Every method may raise the Refusal `unavailable`.

    `signer` is a client whose endpoint is what browsers can reach; it only signs.
    """

    def __init__(self, client: "S3Client", signer: "S3Client", bucket: str) -> None:
        self._client = client
        self._signer = signer
        self._bucket = bucket

    def form(
        self, booking_code: str, sender: Sender, id: str, content_type: str, *, most_bytes: int, seconds: int
    ) -> Form:
        """A form that uploads this attachment, of this type and 1 to `most_bytes` bytes."""
        with translated():
            made = self._signer.generate_presigned_post(
                self._bucket,
                upload_key(booking_code, sender, id),
                Fields={"Content-Type": content_type},
                Conditions=[{"Content-Type": content_type}, ["content-length-range", 1, most_bytes]],
                ExpiresIn=seconds,
            )
        return {"url": made["url"], "fields": made["fields"]}

    def uploaded(self, booking_code: str, sender: Sender, id: str) -> StoredObject | None:
        """What `sender` has uploaded under this id; None where there is nothing."""
        return self._head(upload_key(booking_code, sender, id))

    def kept(self, booking_code: str, id: str) -> StoredObject | None:
        """What a message of the booking has named under this id; None where there is nothing, or no more."""
        return self._head(kept_key(booking_code, id))

    def keep(self, booking_code: str, sender: Sender, id: str, upload: StoredObject) -> bool:
        """Copies what was uploaded; False where a copy is there already, or `upload` is no longer what lies there."""
        source = {"Bucket": self._bucket, "Key": upload_key(booking_code, sender, id)}
        try:
            with translated("PreconditionFailed", "412", "ConditionalRequestConflict", "409", *ABSENT):
                self._client.copy_object(
                    Bucket=self._bucket,
                    Key=kept_key(booking_code, id),
                    CopySource=source,  # type: ignore[arg-type]
                    CopySourceIfMatch=upload.etag,
                    IfNoneMatch="*",
                    MetadataDirective="REPLACE",
                    ContentType=upload.content_type,
                    Metadata={"sender": sender},
                )
        except ClientError:
            return False
        return True

    def delete(self, booking_code: str, sender: Sender, id: str) -> None:
        """Deletes an attachment, uploaded and kept; nothing where there is none."""
        # First the upload: otherwise a message that is just being sent could copy it again.
        for key in (upload_key(booking_code, sender, id), kept_key(booking_code, id)):
            with translated():
                self._client.delete_object(Bucket=self._bucket, Key=key)

    def url(self, booking_code: str, id: str, *, seconds: int) -> str:
        """An address from which anybody who has it can read what is kept, for so many seconds."""
        with translated():
            return self._signer.generate_presigned_url(
                "get_object",
                Params={"Bucket": self._bucket, "Key": kept_key(booking_code, id)},
                ExpiresIn=seconds,
            )

    def _head(self, key: str) -> StoredObject | None:
        try:
            with translated(*ABSENT):
                found = self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError:
            return None
        return StoredObject(
            content_type=found["ContentType"],
            size=found["ContentLength"],
            etag=found["ETag"],
            stored_at=int(found["LastModified"].timestamp()),
            sender=found["Metadata"].get("sender"),
        )


def upload_key(booking_code: str, sender: Sender, id: str) -> str:
    """Where a form of `sender` uploads to."""
    return f"upload/{booking_code}/{sender}/{id}"


def kept_key(booking_code: str, id: str) -> str:
    """Where what a message names is kept."""
    return f"kept/{booking_code}/{id}"


@contextmanager
def translated(*expected: str) -> Generator[None]:
    """Turns S3's failures into the Refusal `unavailable`; those with an `expected` code pass as they are."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in expected:
            raise
        raise unavailable("The attachments") from error
    except BotoCoreError as error:
        raise unavailable("The attachments") from error


def attachments() -> Attachments | None:
    """The configured bucket; None where attachments are switched off."""
    bucket = settings.optional("ATTACHMENTS_BUCKET")
    return _bucket(bucket, settings.optional("ATTACHMENTS_ENDPOINT")) if bucket else None


@cached
def _bucket(name: str, endpoint: str) -> Attachments:
    how: dict[str, Any] = {
        "connect_timeout": 1,
        "read_timeout": 3,
        "attempts": 3,
        "signature_version": "s3v4",
        # On AWS each bucket has a host name of its own; another endpoint has one host for all buckets.
        "s3": {"addressing_style": "path" if endpoint else "virtual"},
    }
    client = clients.client("s3", **how)
    return Attachments(client, clients.client("s3", **how, endpoint=endpoint) if endpoint else client, name)
