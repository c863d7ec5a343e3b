"""The attachments bucket in memory."""

from dataclasses import replace
from typing import Any

from navietakie.aws.attachments import StoredObject, kept_key, upload_key
from navietakie.domain.message import Sender


class FakeAttachments:
    def __init__(self) -> None:
        self.objects: dict[str, StoredObject] = {}
        self.forms: list[dict[str, Any]] = []

    def upload(
        self, booking_code: str, sender: Sender, id: str, content_type: str = "image/jpeg", size: int = 9
    ) -> None:
        """What posting a form does."""
        stored = StoredObject(content_type, size, f'"{len(self.objects)}-{size}"', 0, None)
        self.objects[upload_key(booking_code, sender, id)] = stored

    def form(
        self, booking_code: str, sender: Sender, id: str, content_type: str, *, most_bytes: int, seconds: int
    ) -> dict[str, Any]:
        made = {"url": "https://bucket.example/", "fields": {"key": upload_key(booking_code, sender, id)}}
        self.forms.append({**made, "content_type": content_type, "most_bytes": most_bytes, "seconds": seconds})
        return made

    def uploaded(self, booking_code: str, sender: Sender, id: str) -> StoredObject | None:
        return self.objects.get(upload_key(booking_code, sender, id))

    def kept(self, booking_code: str, id: str) -> StoredObject | None:
        return self.objects.get(kept_key(booking_code, id))

    def keep(self, booking_code: str, sender: Sender, id: str, upload: StoredObject) -> bool:
        if kept_key(booking_code, id) in self.objects or self.uploaded(booking_code, sender, id) != upload:
            return False
        self.objects[kept_key(booking_code, id)] = replace(upload, sender=sender)
        return True

    def delete(self, booking_code: str, sender: Sender, id: str) -> None:
        for key in (kept_key(booking_code, id), upload_key(booking_code, sender, id)):
            self.objects.pop(key, None)

    def url(self, booking_code: str, id: str, *, seconds: int) -> str:
        return f"https://bucket.example/{kept_key(booking_code, id)}"
