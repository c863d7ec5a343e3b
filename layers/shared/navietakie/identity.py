"""Who asks: a JWT (RFC 7519, HS256) that binds its bearer to one booking and one role."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final

from pydantic import Field

from navietakie import aws, settings
from navietakie.errors import Refusal, unavailable
from navietakie.message import BookingCode, Fields, Label, Sender
from navietakie.observability import logger

AUDIENCE: Final = "navietakie"
CLAIMS: Final = ["sub", "booking_code", "role", "exp", "aud"]
TOKEN_BYTES: Final = 4 * 1024
REFETCH_SECONDS: Final = 60
"""At most one fetch in this time, however many bad signatures arrive."""
SECRET_TTL_SECONDS: Final = 15 * 60
"""After this a secret is fetched again, so that one that was rotated away twice is worth nothing everywhere."""
NBF_LEEWAY_SECONDS: Final = 60
"""An issuer's clock may be so far ahead of ours: of `nbf` alone, `exp` has no leeway."""
SUBPROTOCOL: Final = "navietakie.v1"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a valid token says of its bearer. `exp` in seconds since 1970."""

    sub: str
    booking_code: str
    role: Sender
    exp: int

    def check(self, booking_code: str, sender: str | None = None) -> None:
        """Raises `forbidden` for another booking or another role than the token's."""
        if booking_code != self.booking_code:
            raise Refusal("forbidden", "booking_code: the token is for another booking")
        if sender is not None and sender != self.role:
            raise Refusal("forbidden", "sender: the token is for another role")


type _NumericDate = Annotated[float, Field(ge=0, le=2**53)]  # RFC 7519, section 2: it may have a fraction


class _Claims(Fields):
    sub: Label
    booking_code: BookingCode
    role: Sender
    exp: _NumericDate
    nbf: _NumericDate = 0


class Secret:
    """A secret that may be rotated: the current version, and the one before it while the rotation spreads.

    `fetch` gets a stage (`AWSCURRENT` or `AWSPREVIOUS`) and answers with that version, or None where there is none. Its
    Refusals pass through until a version is known; from then on what is known goes on to count.
    """

    def __init__(self, fetch: Callable[[str], str | None], clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock  # not the monotonic one: that may stand still while the function is frozen
        self._versions: list[str] = []
        self._fetched_at = 0.0
        self._renewed_at = 0.0

    def versions(self) -> list[str]:
        """The current version and the previous one, if any: as last fetched.

        That was 15 minutes ago at most, unless Secrets Manager could not be asked since.
        """
        if not self._versions:
            self._refetch()
        elif self._clock() - self._fetched_at >= SECRET_TTL_SECONDS:
            self.renew()
        return self._versions

    def renew(self) -> bool:
        """Fetches anew, but once a minute at most; whether the versions are others now."""
        now, before = self._clock(), self._versions
        if abs(now - self._renewed_at) < REFETCH_SECONDS:
            return False
        self._renewed_at = now
        try:
            self._refetch()
        except Refusal:
            logger.warning("a secret could not be fetched again")
        return self._versions != before

    def _refetch(self) -> None:
        stages = (self._fetch(stage) for stage in ("AWSCURRENT", "AWSPREVIOUS"))
        self._versions = [version for version in stages if version]
        self._fetched_at = self._clock()


def verify(token: str, secret: Secret) -> Identity:
    """The identity in `token`; raises `unauthorized` or `token_expired`."""
    if len(token) > TOKEN_BYTES:
        raise Refusal("unauthorized", "The token is too long")
    claims = _signed_claims(token, secret.versions())
    if claims is None and secret.renew():
        claims = _signed_claims(token, secret.versions())
    if claims is None:
        raise Refusal("unauthorized", "The token is not valid")
    try:
        it = _Claims.parse(claims)
    except Refusal:
        raise Refusal("unauthorized", "The token's claims are not valid") from None
    if it.nbf > time.time() + NBF_LEEWAY_SECONDS:
        raise Refusal("unauthorized", "The token is not valid yet")
    return Identity(it.sub, it.booking_code, it.role, int(it.exp))


def _signed_claims(token: str, secrets: list[str]) -> dict[str, Any] | None:
    """The claims that one of `secrets` has signed; None where none has. Raises `unauthorized` or `token_expired`."""
    import jwt  # only where tokens are asked for: its import is 40 ms of a cold start

    for secret in secrets:
        try:
            return jwt.decode(
                token,
                secret,
                algorithms=["HS256"],
                audience=AUDIENCE,
                # An `iat` ahead of our clock is no reason to refuse (RFC 7519, section 4.1.6). PyJWT has one leeway for
                # `nbf` and `exp`: `verify` looks at `nbf` itself.
                options={"require": CLAIMS, "verify_iat": False, "verify_nbf": False},
            )
        except jwt.InvalidSignatureError:
            continue
        except jwt.ExpiredSignatureError:
            raise Refusal("token_expired", "The token has expired") from None
        except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError):
            raise Refusal("unauthorized", "The token is not valid") from None
    return None


def of_rest(headers: Mapping[str, str]) -> Identity | None:
    """The bearer of a REST request; None where no tokens are asked for. Raises `unauthorized` or `token_expired`."""
    if settings.auth_mode() == "none":
        return None
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal("unauthorized", "A bearer token is required")
    return verify(token.strip(), token_secret())


def of_connect(headers: Mapping[str, str], query: Mapping[str, str]) -> Identity | None:
    """The bearer of a `$connect`: by header, by subprotocol `bearer.<token>` (browsers), or by `?token=`."""
    if settings.auth_mode() == "none":
        return None
    bearers = (each.removeprefix("bearer.") for each in _subprotocols(headers) if each.startswith("bearer."))
    token = next(bearers, query.get("token"))
    if token and "authorization" not in headers:
        headers = {"authorization": f"Bearer {token}"}
    return of_rest(headers)


def selected_subprotocol(headers: Mapping[str, str]) -> dict[str, str]:
    """The header that answers a `$connect`: a browser drops a connection that selects none of what it offered."""
    return {"Sec-WebSocket-Protocol": SUBPROTOCOL} if SUBPROTOCOL in _subprotocols(headers) else {}


def _subprotocols(headers: Mapping[str, str]) -> list[str]:
    return [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",")]


def token_secret() -> Secret:
    """The configured token secret."""
    return stored_secret(settings.required("TOKEN_SECRET_ARN"))


@cache
def stored_secret(arn: str) -> Secret:
    """A secret in Secrets Manager, kept for the warm invocations; raises `unavailable` where that does not answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = aws.client("secretsmanager", connect_timeout=1, read_timeout=2, attempts=3)

    def fetch(stage: str) -> str | None:
        try:
            return client.get_secret_value(SecretId=arn, VersionStage=stage)["SecretString"]
        except (ClientError, BotoCoreError) as error:
            name = aws.name_of(error)
            if name == "ResourceNotFoundException" and stage == "AWSPREVIOUS":
                return None  # never rotated
            logger.error("a secret could not be fetched", extra={"error_type": name})
            raise unavailable("A secret") from error

    return Secret(fetch)
