"""The npm package's types and the documents for machines name the same fields, codes and reasons."""

import re

import pytest

from tests.documents import ROOT, asyncapi, openapi

TYPES = (ROOT / "web" / "navietakie" / "index.d.ts").read_text()


def union(name: str) -> set[str]:
    """The texts of a union, on one line or several."""
    (found,) = re.findall(rf"^export type {name} =([^;]*);", TYPES, re.MULTILINE)
    return set(re.findall(r"'(\w+)'", found))


def fields(*interfaces: str) -> set[str]:
    """The fields that these interfaces declare."""
    bodies = [
        re.findall(rf"^(?:export )?interface {name}\b[^{{]*{{\n(.*?)^}}", TYPES, re.M | re.S)[0] for name in interfaces
    ]
    return {field for body in bodies for field in re.findall(r"^  readonly (\w+)\??:", body, re.MULTILINE)}


def test_the_package_has_the_projects_licence() -> None:
    assert (ROOT / "web" / "navietakie" / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


def test_the_types_know_every_code_of_the_server() -> None:
    assert set(openapi()["components"]["schemas"]["ErrorCode"]["enum"]) <= union("ServerCode")


def test_the_types_know_every_reason_for_a_calls_end() -> None:
    assert set(asyncapi()["components"]["schemas"]["EndReason"]["enum"]) <= union("EndReason")


@pytest.mark.parametrize(
    ("schema", "interfaces"),
    [
        ("Message", ["Stored", "TextMessage"]),
        ("Call", ["AnyCall", "EndedCall"]),
        ("Presence", []),
        ("Receipt", ["Marks"]),
    ],
)
def test_the_types_have_the_fields_of_the_schemas(schema: str, interfaces: list[str]) -> None:
    documented = set(asyncapi()["components"]["schemas"][schema]["properties"])
    typed = fields(*interfaces) if interfaces else union("Side") | {"agent"}
    assert documented <= typed
