"""The consistency that the adapters ask DynamoDB for, compared with the table of reads: on moto and in the source."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from navietakie.aws import tables as adapters
from navietakie.aws.tables.calls import Calls
from navietakie.aws.tables.connections import Connections
from navietakie.aws.tables.messages import Messages
from navietakie.domain import instants
from navietakie.domain.call import begun
from tests.contract.reads import READS
from tests.fakes import tables

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
AT = instants.to_text(NOW)
CALL_ID = begun(None, "driver", "a", booking_code="b", now=NOW, ring_seconds=45, entropy="a" * 18).call_id
REQUESTS = {"get_item", "batch_get_item", "query", "scan", "transact_get_items", "execute_statement", "get_paginator"}

Ask = Callable[[Messages, Calls, Connections], Any]
ASKED: dict[str, Ask] = {
    "Messages.head": lambda messages, _, __: messages.head("b"),
    "Messages.marker": lambda messages, _, __: messages.marker("b", "driver", "m1", NOW),
    "Messages.message": lambda messages, _, __: messages.message("b", AT),
    "Messages.items_at": lambda messages, _, __: messages.items_at([("b", AT)]),
    "Messages.page": lambda messages, _, __: messages.page("b", now=NOW, ascending=True, limit=9),
    "Calls.latest": lambda _, calls, __: calls.latest("b"),
    "Calls.with_head": lambda _, calls, __: calls.with_head("b", NOW),
    "Calls.logged": lambda _, calls, __: calls.logged("b", CALL_ID, NOW),
    "Calls.log": lambda _, calls, __: calls.log("b", now=NOW, limit=9),
    "Connections.get": lambda _, __, connections: connections.get("c"),
    "Connections.get_maybe_stale": lambda _, __, connections: connections.get_maybe_stale("c"),
    "Connections.of_booking": lambda _, __, connections: connections.of_booking("b", NOW),
}


@pytest.mark.parametrize("read", READS)
def test_a_read_is_as_consistent_as_its_row_says(moto: Any, read: str) -> None:
    found: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        for asked in params.get("RequestItems", {"": params}).values():
            found.append("strong" if asked.get("ConsistentRead") else "eventual")

    moto.meta.events.register("before-parameter-build.dynamodb", note)
    ASKED[read](*_stores(moto))
    expected, why = READS[read]
    assert found == expected, why


@pytest.mark.parametrize(("read", "limit"), [("Messages.page", 9), ("Calls.log", 10)])
def test_a_page_reads_no_more_items_than_it_needs(moto: Any, read: str, limit: int) -> None:
    asked: list[int] = []
    moto.meta.events.register(
        "before-parameter-build.dynamodb.Query", lambda params, **_: asked.append(params["Limit"])
    )
    ASKED[read](*_stores(moto))
    assert asked == [limit]


def test_every_read_of_the_tables_has_a_row() -> None:
    files = Path(adapters.__file__).parent.glob("*.py")
    assert {name for file in files for name in _reads_of(ast.parse(file.read_text()))} == set(READS) == set(ASKED)


def _stores(client: Any) -> tuple[Messages, Calls, Connections]:
    messages = Messages(client, tables.NAMES["messages"])
    return messages, Calls(client, tables.NAMES["calls"], messages), Connections(client, tables.NAMES["connections"])


def _reads_of(module: ast.Module) -> set[str]:
    """The methods that read, directly or through a private method."""
    found = set[str]()
    for adapter in (node for node in module.body if isinstance(node, ast.ClassDef)):
        methods = {node.name: node for node in adapter.body if isinstance(node, ast.FunctionDef)}
        named = {
            name: {it.attr for it in ast.walk(node) if isinstance(it, ast.Attribute)} for name, node in methods.items()
        }
        reading = {name for name, names in named.items() if names & REQUESTS}
        while more := {name for name, names in named.items() if _private(reading) & names} - reading:
            reading |= more
        found |= {f"{adapter.name}.{name}" for name in reading - _private(reading)}
    outside = (node for node in module.body if not isinstance(node, ast.ClassDef))
    assert not any(it.attr in REQUESTS for node in outside for it in ast.walk(node) if isinstance(it, ast.Attribute))
    return found


def _private(names: set[str]) -> set[str]:
    return {name for name in names if name.startswith("_")}
