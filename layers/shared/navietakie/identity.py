"""Who asks: a JWT (RFC 7519, HS256) that binds its bearer to one booking and one role."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

from pydantic import TypeAdapter, ValidationError

from navietakie import settings
from navietakie.errors import Refusal, unavailable
from navietakie.message import BookingCode, Label, Sender

AUDIENCE: Final = "navietakie"
CLAIMS: Final = ["sub", "booking_code", "role", "exp", "aud"]
TOKEN_BYTES: Final = 4 * 1024
REFETCH_SECONDS: Final = 60
SUBPROTOCOL: Final = "navietakie.v1"

_BOOKING_CODE: Final[TypeAdapter[str]] = TypeAdapter(BookingCode)
_ROLE: Final[TypeAdapter[Sender]] = TypeAdapter(Sender)
_SUBJECT: Final[TypeAdapter[str]] = TypeAdapter(Label)


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


class TokenSecret:
    """The secret that signs tokens, and the one before it, which stays valid while a rotation spreads.

    `fetch` gets a stage (`AWSCURRENT` or `AWSPREVIOUS`) and answers with the secret, or None where there is none.
    """

    def __init__(self, fetch: Callable[[str], str | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._secrets: list[str] = []
        self._fetched_at: float | None = None

    def known(self) -> list[str]:
        """The secrets as last fetched, the current one first."""
        if self._fetched_at is None:
            self._refetch()
        return self._secrets

    def renewed(self) -> list[str]:
        """The secrets fetched anew, but at most once a minute; nothing where the last time is nearer."""
        if self._fetched_at is not None and self._clock() - self._fetched_at < REFETCH_SECONDS:
            return []
        self._refetch()
        return self._secrets

    def _refetch(self) -> None:
        stages = (self._fetch(stage) for stage in ("AWSCURRENT", "AWSPREVIOUS"))
        self._secrets = [secret for secret in stages if secret]
        self._fetched_at = self._clock()


def verify(token: str, secret: TokenSecret) -> Identity:
    """The identity in `token`; raises `unauthorized` or `token_expired`."""
    import jwt  # only where tokens are asked for: its import is 40 ms of a cold start

    def decoded(key: str) -> dict[str, Any]:
        return jwt.decode(token, key, algorithms=["HS256"], audience=AUDIENCE, options={"require": CLAIMS})

    if len(token) > TOKEN_BYTES:
        raise Refusal("unauthorized", "The token is too long")
    try:
        for secrets in (secret.known, secret.renewed):
            for key in secrets():
                try:
                    return _identity(decoded(key))
                except jwt.InvalidSignatureError:
                    continue
    except jwt.ExpiredSignatureError:
        raise Refusal("token_expired", "The token has expired") from None
    except (jwt.PyJWTError, ValueError, TypeError):
        pass
    raise Refusal("unauthorized", "The token is not valid")


def _identity(claims: Mapping[str, Any]) -> Identity:
    try:
        return Identity(
            sub=_SUBJECT.validate_python(claims["sub"]),
            booking_code=_BOOKING_CODE.validate_python(claims["booking_code"]),
            role=_ROLE.validate_python(claims["role"]),
            exp=int(claims["exp"]),
        )
    except ValidationError:
        raise Refusal("unauthorized", "The token's claims are not valid") from None


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
    offered = [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",")]
    token = next((each.removeprefix("bearer.") for each in offered if each.startswith("bearer.")), query.get("token"))
    if token and "authorization" not in headers:
        headers = {"authorization": f"Bearer {token}"}
    return of_rest(headers)


@cache
def token_secret() -> TokenSecret:
    """The configured token secret, kept for the warm invocations."""
    return TokenSecret(secret_reader(settings.required("TOKEN_SECRET_ARN")))


def secret_reader(arn: str) -> Callable[[str], str | None]:
    """Reads the stages of a secret from Secrets Manager; raises the Refusal `unavailable` where it does not answer."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError
    from botocore.config import Config

    config = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 3})
    provider = SecretsProvider(boto_config=config)

    def fetch(stage: str) -> str | None:
        try:
            return cast(str, provider.get(arn, force_fetch=True, VersionStage=stage))
        except GetParameterError as error:
            if "ResourceNotFoundException" in str(error):  # never rotated: there is no previous version
                return None
            raise unavailable("The token secret") from error

    return fetch
