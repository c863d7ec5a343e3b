"""The template's parameters for `make run`: from make's variables, and from a file like deploy/staging.yaml."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from local.stack import ROOT

type Parameters = Mapping[str, str]

OF_MAKE_RUN = {
    "Environment": "it is always local",
    "WebSocketEndpoint": "it is the embedded AWS's",
    "Release": "`make run` makes one of all that is deployed",
}
"""The parameters that a file may not set, and why."""


class Template(yaml.SafeLoader):
    """Reads a template and ignores what is inside CloudFormation's tags."""


def ignored(_loader: object, _tag: object, _node: object) -> None:
    """Replaces the content of a tag."""


Template.add_multi_constructor("!", ignored)


def read(text: str) -> Parameters:
    """The parameters in the file that PARAMETERS names. Ends the program if the template does not have one of them."""
    if not text:
        return {}
    try:
        given = yaml.safe_load(Path(text).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as reason:
        sys.exit(f"PARAMETERS={text} cannot be read: {reason}")
    if not isinstance(given, dict):
        sys.exit(f"PARAMETERS={text} is not a list of `Name: value` lines, as deploy/staging.yaml is")
    known = defaults()
    parameters: dict[str, str] = {}
    for name, value in cast(dict[Any, Any], given).items():
        if name not in known:
            sys.exit(f"PARAMETERS={text}: the template has no parameter {name}")
        if name in OF_MAKE_RUN:
            if name == "Environment" and value == "local":
                continue
            sys.exit(f"PARAMETERS={text}: {name} cannot be given, since {OF_MAKE_RUN[name]}")
        parameters[name] = as_text(name, value)
    return parameters


def as_text(name: str, value: Any) -> str:
    """A value as `sam deploy` takes it. Ends the program if there is no such form."""
    match value:
        case bool():
            return str(value).lower()
        case str() | int() | float():
            return str(value)
        case list() if all(isinstance(each, str | int) for each in cast(list[Any], value)):
            return ",".join(str(each) for each in cast(list[Any], value))
        case None:
            return ""
        case _:
            sys.exit(f"PARAMETERS: {name} is neither a text, a number nor a list of them. (JSON goes between quotes.)")


def defaults() -> Parameters:
    """All parameters of the template with their defaults. CloudFormation keeps old values of those not given."""
    declared = yaml.load((ROOT / "template.yaml").read_text(), Template)["Parameters"]  # noqa: S506  (a SafeLoader)
    return {name: as_text(name, each.get("Default")) for name, each in declared.items()}


def local(given: Parameters, auth_mode: str, backend_url: str) -> Parameters:
    """All parameters of a local stack: make's variables win over the file, and the file wins over the defaults."""
    said = {"AuthMode": auth_mode, "BackendUrl": backend_url}
    return {
        **defaults(),
        "Environment": "local",
        "AuthMode": "none",
        "AllowedOrigins": "*",
        **given,
        **{name: value for name, value in said.items() if value},
    }


def origins(parameters: Parameters) -> list[str]:
    """The web pages that may call besides the front door's own. `*` adds none."""
    return [each for each in parameters["AllowedOrigins"].split(",") if each not in ("", "*")]
