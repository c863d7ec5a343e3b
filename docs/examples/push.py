"""A Lambda function that turns NavieTakie's events into push notifications: start here, and fill in your own parts.

Subscribe it to the topic `navietakie-events-ENV` with the filter policy
`{"type": ["call.ringing", "message.undelivered"]}`. An event has only ids, and so has a push: no text goes through
Google or Apple. The app fetches the text itself.

`Push` is one request to a provider; `Subscriber` sends each once. You provide the devices of each side (`Devices`), a
record of what was sent (`Sent`), the providers' access tokens (`authorize`), and an HTTP client. Apple takes only
HTTP/2: `httpx.Client(http2=True)` speaks it.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol, cast

MESSAGE_SECONDS: Final = 24 * 3600
"""How long a provider keeps the notification of a message for a phone that is off, in seconds."""
GONE: Final = (404, 410)
"""What providers answer if the app was removed from the device: FCM 404 (UNREGISTERED), APNs 410."""

Event = Mapping[str, Any]
"""An event of the topic, as docs/asyncapi.yaml describes it."""


@dataclass(frozen=True)
class Device:
    """An app on a phone. An iPhone has two tokens: `voip` from PushKit, and `token` for notifications."""

    provider: Literal["fcm", "apns"]
    token: str
    voip: str | None = None


@dataclass(frozen=True)
class Push:
    """One request to a provider: `path` below its address, headers but the access token, and the body."""

    provider: Literal["fcm", "apns"]
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class Devices(Protocol):
    """Your table of devices. NavieTakie knows bookings and roles, but not who drives, and with which phone."""

    def of(self, booking_code: str, side: str) -> list[Device]: ...

    def forget(self, device: Device) -> None: ...


class Sent(Protocol):
    """Which events were sent to which device. Keep it for a day, for example in a table with a TTL."""

    def has(self, key: str) -> bool: ...

    def add(self, key: str) -> None: ...


class Answer(Protocol):
    """What a provider answered."""

    @property
    def status_code(self) -> int: ...


class Client(Protocol):
    """An HTTP client, for example `httpx.Client`."""

    def post(self, url: str, *, headers: dict[str, str], content: bytes) -> Answer: ...


class NotTaken(Exception):
    """A provider is busy or away. SNS delivers the event again; a device that already has it gets nothing."""


@dataclass(frozen=True)
class Subscriber:
    """Sends the pushes of an event to each device of the side that it is for, once.

    `addresses` are `https://fcm.googleapis.com` and `https://api.push.apple.com`; `authorize` gives the value of the
    header `authorization` for a provider; `project` is Firebase's, `bundle` the app's id at Apple.
    """

    devices: Devices
    sent: Sent
    client: Client
    authorize: Callable[[str], str]
    addresses: Mapping[str, str]
    project: str
    bundle: str

    def __call__(self, event: Mapping[str, Any], context: Any = None) -> None:
        """The Lambda handler. Tries every device; if one was not notified, raises NotTaken, so that SNS tries again."""
        busy = [
            device
            for record in event["Records"]
            for device in self.notify(json.loads(record["Sns"]["Message"]), time.time())
        ]
        if busy:
            raise NotTaken(f"{len(busy)} devices were not notified")

    def notify(self, event: Event, now: float) -> Iterator[Device]:
        """Sends one event at the time `now`. Yields the devices whose provider did not take it."""
        if event["type"] not in ("call.ringing", "message.undelivered") or is_over(event, now):
            return
        for device in self.devices.of(event["booking_code"], event["to"]):
            key = f"{event['event_id']}:{device.provider}:{device.token}"
            if self.sent.has(key):
                continue
            push = to_fcm(event, device, self.project, now)
            if device.provider == "apns":
                push = to_apns(event, device, self.bundle, now)
            status = self._post(push)
            if status in GONE:
                self.devices.forget(device)
            elif status == 429 or status >= 500:
                yield device
                continue
            # Afterwards: if we die in between, a second push comes, and the app drops it. No ring would be worse.
            self.sent.add(key)

    def _post(self, push: Push) -> int:
        headers = {**push.headers, "authorization": self.authorize(push.provider), "content-type": "application/json"}
        body = json.dumps(push.body).encode()
        try:
            return self.client.post(
                self.addresses[push.provider] + push.path, headers=headers, content=body
            ).status_code
        except OSError:
            return 503


def to_fcm(event: Event, device: Device, project: str, now: float) -> Push:
    """A data message of FCM's HTTP v1 API: the app wakes up and decides what to show. All its values are texts."""
    android = {
        "priority": "HIGH",
        "ttl": f"{seconds_left(event, now)}s",
        **({} if is_call(event) else {"collapse_key": event["booking_code"]}),
    }
    data = {name: str(value) for name, value in payload(event).items()}
    message = {"token": device.token, "data": data, "android": android}
    return Push("fcm", f"/v1/projects/{project}/messages:send", {}, {"message": message})


def to_apns(event: Event, device: Device, bundle: str, now: float) -> Push:
    """For a call a VoIP push, which wakes the app at once; for a message a notification without its text.

    The app has to report a VoIP push to CallKit. `mutable-content` lets its service extension fetch the message.
    """
    call = is_call(event)
    headers = {
        "apns-push-type": "voip" if call else "alert",
        "apns-topic": f"{bundle}.voip" if call else bundle,
        "apns-priority": "10",
        "apns-expiration": str(int(now) + seconds_left(event, now)),
        "apns-collapse-id": event["call_id"] if call else event["booking_code"],
    }
    alert: dict[str, Any] = {
        "alert": {"loc-key": "NEW_MESSAGE"},
        "mutable-content": 1,
        "thread-id": event["booking_code"],
    }
    token = (device.voip or device.token) if call else device.token
    return Push("apns", f"/3/device/{token}", headers, {"aps": {} if call else alert, **payload(event)})


def payload(event: Event) -> dict[str, Any]:
    """What the app gets: ids with which it fetches the rest, and drops what it already knows."""
    names = ("type", "event_id", "booking_code", "call_id", "caller", "rings_until", "message_id", "seq", "sender")
    return {name: event[name] for name in names if name in event}


def is_call(event: Event) -> bool:
    """Whether the event makes a phone ring."""
    return event["type"] == "call.ringing"


def is_over(event: Event, now: float) -> bool:
    """Whether it is too late to ring. SNS may have tried for a while."""
    return is_call(event) and seconds_left(event, now) <= 0


def seconds_left(event: Event, now: float) -> int:
    """For how many seconds a push of this event makes sense."""
    if not is_call(event):
        return MESSAGE_SECONDS
    return max(0, int(datetime.fromisoformat(cast(str, event["rings_until"])).timestamp() - now))
