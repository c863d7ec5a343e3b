"""The STUN and TURN servers that the devices of a call may use (RTCIceServer, W3C WebRTC 1.0, section 4.2.4)."""

import base64
import hmac
import json
from collections.abc import Sequence
from typing import Annotated, Final, Literal, NotRequired, TypedDict

from pydantic import StringConstraints, TypeAdapter, ValidationError

from navietakie import settings
from navietakie.aws.secrets import stored_secret
from navietakie.domain import instants
from navietakie.domain.call import LONGEST
from navietakie.domain.errors import Refusal

CREDENTIAL_LIFE: Final = LONGEST + 600 * instants.SECOND
"""As long as the longest call and its ringing: a TURN server stops when the credentials have expired."""

Policy = Literal["all", "relay"]
"""Which addresses the devices tell each other (RTCIceTransportPolicy): all of theirs, or the TURN server's alone."""

Url = Annotated[str, StringConstraints(pattern=r"^(stuns?|turns?):\S+$")]


class IceServer(TypedDict):
    """A server that helps the devices to reach each other (RTCIceServer, W3C WebRTC 1.0, section 4.2.4)."""

    urls: Url | list[Url]
    username: NotRequired[str]
    credential: NotRequired[str]


_SERVERS: Final = TypeAdapter(list[IceServer])


def parse(text: str) -> list[IceServer]:
    """The servers in a JSON list; raises `internal`, which names the setting but not its content."""
    try:
        return _SERVERS.validate_python(json.loads(text, object_hook=_without_nulls))
    except ValueError as error:
        problem = "is not JSON"
        if isinstance(error, ValidationError):
            first = error.errors()[0]
            problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise Refusal("internal", f"The function is not configured: ICE_SERVERS {problem}") from None


def _without_nulls(fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def is_turn(server: IceServer) -> bool:
    """Whether it is a TURN server, which asks for credentials."""
    urls = [server["urls"]] if isinstance(server["urls"], str) else server["urls"]
    return any(url.startswith("turn") for url in urls)


def for_call(servers: Sequence[IceServer], secret: str | None, booking_code: str, now: int) -> list[IceServer]:
    """What the devices of a call are given; with a `secret` each TURN server with credentials for this call.

    They are coturn's (`use-auth-secret`; draft-uberti-behave-turn-rest-00, section 2.2): the user name is the time at
    which they expire and who they are for, the password its HMAC-SHA1 under the secret that coturn shares.
    """
    if secret is None:
        return list(servers)
    username = f"{instants.to_seconds(now + CREDENTIAL_LIFE)}:{booking_code}"
    credential = base64.b64encode(hmac.digest(secret.encode(), username.encode(), "sha1")).decode()
    return [
        {"urls": server["urls"], "username": username, "credential": credential} if is_turn(server) else server
        for server in servers
    ]


def configured(booking_code: str, now: int) -> list[IceServer]:
    """What the devices of a call are given here; raises `unavailable` where the secret cannot be had.

    Raises `internal` where the devices may use a TURN server alone, and there is none.
    """
    servers = parse(settings.optional("ICE_SERVERS", "[]"))
    relayed = any(map(is_turn, servers))
    if policy() == "relay" and not relayed:
        raise Refusal("internal", "The function is not configured: ICE_TRANSPORT_POLICY relay needs a turn: URL")
    arn = settings.optional("TURN_SECRET_ARN")
    secret = stored_secret(arn).current() if arn and relayed else None
    return for_call(servers, secret, booking_code, now)


def policy() -> Policy:
    """The configured policy; anything but `all` counts as `relay`, which hides the most."""
    return "all" if settings.optional("ICE_TRANSPORT_POLICY", "all") == "all" else "relay"
