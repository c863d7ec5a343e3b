"""What a client brings to a `$connect`: its token, in one of three ways, and the subprotocols that it offers."""

from collections.abc import Mapping
from typing import Final

from navietakie import settings
from navietakie.doors import identity
from navietakie.doors.identity import Identity

SUBPROTOCOL: Final = "navietakie.v1"


def bearer_of(headers: Mapping[str, str], query: Mapping[str, str]) -> Identity | None:
    """The bearer of a `$connect`: by header, by subprotocol `bearer.<token>` (browsers), or by `?token=`.

    If it comes in several ways, they must carry the same token: a bearer may not choose between two. None if no tokens
    are asked for. Raises `unauthorized` or `token_expired`.
    """
    if settings.auth_mode() == "none":
        return None
    given = [each.removeprefix("bearer.") for each in _subprotocols(headers) if each.startswith("bearer.")]
    if "token" in query:
        given.append(query["token"])
    carried = {f"Bearer {token}" for token in given if token}
    if "authorization" in headers:
        scheme, _, token = headers["authorization"].partition(" ")
        carried.add(f"{scheme.capitalize()} {token.strip()}")
    if len(carried) > 1:
        raise identity.refused("carriers", "The request carries tokens that differ")
    return identity.of_rest({"authorization": carried.pop()} if carried else {})


def selected_subprotocol(headers: Mapping[str, str]) -> dict[str, str]:
    """The header that answers a `$connect`: a browser drops a connection that selects none of what it offered."""
    return {"Sec-WebSocket-Protocol": SUBPROTOCOL} if SUBPROTOCOL in _subprotocols(headers) else {}


def _subprotocols(headers: Mapping[str, str]) -> list[str]:
    return [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",")]
