"""The generated documents: read them, and check real answers against them."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).resolve().parent.parent


@cache
def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "docs" / name).read_text())


def openapi() -> dict[str, Any]:
    """docs/openapi.yaml."""
    return deepcopy(_read("openapi.yaml"))


def asyncapi() -> dict[str, Any]:
    """docs/asyncapi.yaml."""
    return deepcopy(_read("asyncapi.yaml"))


def check(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """Raises ValidationError unless `value` matches the document's `schema`, and has no further field."""
    components = document["components"]["schemas"]
    for each in components.values():
        if "properties" in each:
            each.setdefault("additionalProperties", False)
    Draft202012Validator({**schema, "components": {"schemas": components}}).validate(value)
