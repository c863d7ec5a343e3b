"""JSON as clients send it: parsed within limits, or refused. Pure."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final, NoReturn, cast

from navietakie.domain.errors import Refusal, invalid
from navietakie.domain.frames import FRAME_BYTES, encode

BODY_BYTES: Final = FRAME_BYTES
NESTING: Final = 32
"""How deep JSON may be nested: what is stored is read again by clients, and not every parser gets deeper unharmed."""
NAME_CHARACTERS: Final = 64
"""The longest name of a field that an error repeats: a client chooses it, and the error has to fit a frame."""
_ODD_ESCAPE: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")


def json_object(text: str) -> dict[str, Any]:
    """The JSON object in `text`; raises `too_large` or `invalid_request`.

    Refused as well: NaN and infinities (no JSON), lone surrogates and NUL (no text that could be given back), and what
    is nested deeper than 32 levels.
    """
    try:
        if len(text) > BODY_BYTES or len(text.encode()) > BODY_BYTES:
            raise Refusal("too_large", f"body: more than {BODY_BYTES} bytes")
        value = json.loads(text, parse_constant=no_constant, parse_float=_finite)
    except UnicodeEncodeError:
        raise invalid("body", "holds a lone surrogate") from None
    except (ValueError, RecursionError):
        raise invalid("body", "is not valid JSON") from None
    if not isinstance(value, dict):
        raise invalid("body", "must be a JSON object")
    fields = cast(dict[str, Any], value)
    if text.count("[") + text.count("{") > NESTING:
        refuse_depth(fields)
    if _ODD_ESCAPE.search(text):
        refuse_odd_text(fields)
    return fields


def refuse_depth(value: Any) -> None:
    """Raises `invalid_request` where `value` is nested too deeply; needs no recursion of its own to say so."""
    level = [value]
    for _ in range(NESTING):
        level = [inner for each in level for inner in _inside(each)]
    if any(isinstance(each, dict | list) for each in level):
        raise invalid("body", f"is nested more than {NESTING} levels deep")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(cast(dict[str, Any], value).values())
    return cast(list[Any], value) if isinstance(value, list) else []


def refuse_odd_text(fields: Mapping[str, Any]) -> None:
    """Raises `invalid_request` for the field that holds NUL or a lone surrogate, in its name or within its value."""
    for name, value in fields.items():
        field = name if name.isidentifier() and len(name) <= NAME_CHARACTERS else "body"
        try:
            encode({name: value})
        except UnicodeEncodeError:
            raise invalid(field if field.isascii() else "body", "holds a lone surrogate") from None
        if _holds_nul({name: value}):
            raise invalid(field, "holds a NUL character")


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        pairs = cast(dict[str, Any], value).items()
        return any("\0" in name or _holds_nul(inner) for name, inner in pairs)
    return isinstance(value, list) and any(_holds_nul(inner) for inner in cast(list[Any], value))


def no_constant(name: str) -> NoReturn:
    """What `json.loads` calls for NaN and infinities; raises ValueError."""
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError("the number is too large")
    return value
