"""The services of send_message, wired to what is configured. What is not switched on costs a cold start nothing."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from navietakie import settings
from navietakie.aws import publishing
from navietakie.aws.tables.messages import messages
from navietakie.aws.timers import timers
from navietakie.broadcast import Broadcast
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors import requests
from navietakie.doors.budget import Allowances
from send_message.attaching import Attaching
from send_message.redacting import Redacting
from send_message.sending import Mask, Screen, Sending

if TYPE_CHECKING:
    from navietakie.aws.attachments import AttachmentStore

repeats = Allowances()


def ready() -> None:
    """Makes the clients that every container needs sooner or later."""
    requests.ready()
    publishing.ready()


def sending(broadcast: Broadcast) -> Sending:
    """The service that stores messages, wired to the configured tables; `broadcast` looks up who will be told."""
    return Sending(
        messages(),
        timers,
        rate_limit(),
        settings.retention_days(),
        *before_storing(),
        repeats,
        attaching().completed,
        broadcast.gather,
    )


def redacting(broadcast: Broadcast) -> Redacting:
    """The service that redacts messages, likewise."""
    return Redacting(messages(), rate_limit(), settings.retention_days(), attaching().forget, broadcast.gather)


def attaching() -> Attaching:
    """The service that gives out forms for uploads, and completes and forgets attachments."""
    return Attaching(attachments, int(settings.number("MAX_ATTACHMENT_BYTES", 10 * 1024 * 1024)))


def attachments() -> "AttachmentStore | None":
    """Where attachments are kept; None where they are switched off."""
    from navietakie.aws.attachments import attachments as configured  # S3's client is no part of a cold start

    return configured()


def rate_limit() -> RateLimit:
    """How fast each sender may write."""
    return RateLimit(settings.number("MESSAGE_RATE", 5), int(settings.number("MESSAGE_BURST", 20)))


def before_storing() -> tuple[Mask | None, Screen | None]:
    """What masks a side's text, and the hook that sees a person's message; None for each that is switched off."""
    mask: Mask | None = None
    screen: Screen | None = None
    if settings.optional("MASK_CONTACTS") == "on":
        from send_message.masking import masked as mask
    if settings.optional("MESSAGE_HOOK_ARN"):
        from send_message import hook

        screen = hook.configured().screened
    return mask, screen


def on_changes(changes: Sequence[Mapping[str, Any]], now: int, deadline: float) -> None:
    """Publishes what the stream of the messages table tells."""
    from send_message.telling import telling  # only where every message is an event

    telling().tell(changes, now, deadline)
