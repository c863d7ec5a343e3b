"""Who asks: a JWT (RFC 7519, HS256) that binds its bearer to one booking and one role."""

import hmac
import importlib
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

from pydantic import Field

from navietakie import settings
from navietakie.aws import secrets
from navietakie.aws.secrets import Secret
from navietakie.domain.errors import Refusal
from navietakie.domain.message import BookingCode, Fields, Label, Sender
from navietakie.domain.orders import REVOKED_AHEAD, Rights
from navietakie.observability import count, logger
from navietakie.warm import on_forget

AUDIENCE: Final = "navietakie"
TOKEN_BYTES: Final = 4 * 1024
NBF_LEEWAY_SECONDS: Final = 60
"""How far an issuer's clock may be ahead of ours. It counts for `nbf` alone; `exp` has no leeway."""
TOKENS_REMEMBERED: Final = 1_000
"""How many tokens a container remembers to have checked; they are 0.3 KB each, and 4 MB in all at the worst."""
LONGEST_DAYS: Final = 3_653
"""Ten years: no token may live longer. A token with its `exp` in milliseconds would never expire."""
WHO_DIGITS: Final = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """What a valid token says of its bearer. `exp` and `iat`, when it was issued, in seconds since 1970."""

    sub: str
    booking_code: str
    role: Sender
    exp: int
    iat: int | None = None
    who: str = field(default="", compare=False)
    """Stands for `sub` in the log, always the same. Without the token secret nobody can say whose it is."""

    def check(self, booking_code: str, sender: str | None = None) -> None:
        """Raises `forbidden` for another booking or another role than the token's."""
        if booking_code != self.booking_code:
            raise Refusal("forbidden", "booking_code: the token is for another booking")
        if sender is not None and sender != self.role:
            raise Refusal("forbidden", "sender: the token is for another role")

    def check_rights(self, rights: Rights) -> None:
        """Raises `unauthorized` where the token is revoked."""
        rights.check_token(self.role, self.iat)


type _NumericDate = Annotated[float, Field(ge=0, le=2**53)]  # RFC 7519, section 2: it may have a fraction


class _Claims(Fields):
    sub: Label
    booking_code: BookingCode
    role: Sender
    exp: _NumericDate
    nbf: _NumericDate = 0
    iat: _NumericDate | None = None


_checked: Final[OrderedDict[str, tuple[str, _Claims]]] = OrderedDict()
"""By token: the version of the secret that has signed it, and what it claims; in the order of their last use."""
on_forget(_checked.clear)


def verify(token: str, secret: Secret) -> Identity:
    """The identity in `token`; raises `unauthorized` or `token_expired`."""
    if len(token) > TOKEN_BYTES:
        raise refused("too_large", "The token is too long")
    it = _signed_claims(token, secret)
    if it is None and secret.renew():
        it = _signed_claims(token, secret)
    if it is None:
        raise refused("signature")
    now = time.time()
    if it.nbf > now + NBF_LEEWAY_SECONDS:
        raise refused("not_yet", "The token is not valid yet")
    if it.iat is not None and it.iat > now + REVOKED_AHEAD:
        # A token from the future would survive every revocation.
        raise refused("not_yet", "The token says that it is issued in the future")
    if it.exp > now + LONGEST_DAYS * 86_400:
        raise refused("too_long", "The token is good for more than ten years; exp is in seconds")
    who = hmac.digest(secret.current().encode(), b"log:" + it.sub.encode(), "sha256").hex()[:WHO_DIGITS]
    logger.append_keys(role=it.role, who=who)
    return Identity(it.sub, it.booking_code, it.role, int(it.exp), None if it.iat is None else int(it.iat), who)


def _signed_claims(token: str, secret: Secret) -> _Claims | None:
    """What a token claims; None if no version of `secret` has signed it.

    If the token was checked before, only its `exp` is checked again. Raises `unauthorized` or `token_expired`.
    """
    if (known := _checked.pop(token, None)) is not None and known[0] in secret.versions():
        if int(known[1].exp) <= time.time():
            raise _expired()
        _checked[token] = known
        return known[1]
    for version in secret.versions():
        if (claims := _decoded(token, version)) is not None:
            _checked[token] = version, claims
            if len(_checked) > TOKENS_REMEMBERED:
                _checked.popitem(last=False)
            return claims
    return None


def _decoded(token: str, secret: str) -> _Claims | None:
    """What a token claims; None if `secret` has not signed it. Raises `unauthorized` or `token_expired`."""
    import jwt  # only where tokens are asked for: its import is 40 ms of a cold start

    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=["HS256"],
            audience=AUDIENCE,
            # PyJWT has one leeway for all times: `verify` looks at `iat` and `nbf` itself.
            options={"verify_iat": False, "verify_nbf": False},
        )
        return _Claims.parse(claims)
    except jwt.InvalidSignatureError:
        return None  # another version may have signed it
    except jwt.ExpiredSignatureError:
        raise _expired() from None
    except (jwt.InvalidAudienceError, jwt.MissingRequiredClaimError):  # `aud` is all that PyJWT requires
        raise refused("audience") from None
    except (jwt.PyJWTError, ValueError, TypeError, ArithmeticError):
        raise refused("malformed") from None
    except Refusal:
        raise refused("claims", "The token's claims are not valid") from None


def _expired() -> Refusal:
    _note("expired")
    return Refusal("token_expired", "The token has expired")


def refused(reason: str, message: str = "The token is not valid") -> Refusal:
    """The refusal that a bearer gets. The log gets the reason, and never the token. Many refusals mean an attack."""
    _note(reason)
    count("TokensRefused")
    return Refusal("unauthorized", message)


def _note(reason: str) -> None:
    logger.append_keys(refused_because=reason)


def of_rest(headers: Mapping[str, str]) -> Identity | None:
    """The bearer of a REST request; None where no tokens are asked for. Raises `unauthorized` or `token_expired`."""
    if settings.auth_mode() == "none":
        return None
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        _note("missing")
        raise Refusal("unauthorized", "A bearer token is required")
    return verify(token.strip(), token_secret())


def token_secret() -> Secret:
    """The configured token secret."""
    return secrets.stored_secret(settings.required("TOKEN_SECRET_ARN"))


def ready() -> None:
    """Loads what tokens are checked with, if tokens are asked for."""
    if settings.auth_mode() != "none":
        importlib.import_module("jwt")
        secrets.ready(settings.required("TOKEN_SECRET_ARN"))
