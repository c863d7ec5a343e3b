"""The documents for people: their links lead somewhere, and their examples match the documents for machines."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from docs.generator.asyncapi import ANSWERS, EVENTS, MESSAGE_EVENTS, PUSHED
from docs.generator.schemas import ref
from tests.documents import ROOT, asyncapi, openapi

PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")
EXAMPLES = re.compile(r"^```json\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes for a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def missing(page: Path) -> Iterator[str]:
    """The links of a page within the project that lead nowhere."""
    for target in LINK.findall(FENCED.sub("", page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        found = there.is_relative_to(ROOT) and there.exists()
        if not found or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            yield target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(missing(page)) == []


def examples() -> Iterator[Any]:
    """Every JSON example of the protocol's page."""
    for text in EXAMPLES.findall((ROOT / "docs" / "protocol.md").read_text()):
        yield json.loads(text)


def schema_of(example: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The document and the schema of an example, recognized by fields that only this schema has."""
    pushed = (*PUSHED.values(), *EVENTS.values(), *MESSAGE_EVENTS.values())
    kinds = {kind.__annotations__["type"].__args__[0]: kind for kind in pushed}
    ack = "CallAck" if "call" in example else "AttachAck" if "upload" in example else "MessageAck"
    answers = {"ack": ack, "sync": "SyncPart", "pong": "Pong"}
    if "v" in example:
        kind = example["type"]
        return asyncapi(), kinds[kind].__name__ if kind in kinds else {**answers, "error": "ErrorAnswer"}[kind]
    if "event_id" in example:
        return asyncapi(), kinds[example["type"]].__name__
    if "action" in example:
        return asyncapi(), f"{example['action'].capitalize()}Frame"
    own = {
        "delivery": "SentMessage",
        "messages": "HistoryPage",
        "calls": "CallLogPage",
        "receipts": "StoredReceipt",
        "error": "Error",
        "callback_url": "Registration",
        "sub": "TokenClaims",
    }
    return openapi(), next(schema for field, schema in own.items() if field in example)


def test_the_examples_of_the_protocol_keep_to_their_schemas() -> None:
    shown: set[str] = set()
    for example in examples():
        document, schema = schema_of(example)
        Draft202012Validator({**ref(schema), "components": document["components"]}).validate(example)
        shown.add(schema)
    assert {kind.__name__ for kind in (*PUSHED.values(), *ANSWERS.values())} <= shown


def test_the_protocols_page_names_every_error_and_every_event() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text()
    codes = openapi()["components"]["schemas"]["ErrorCode"]["enum"]
    assert [code for code in codes if f"| `{code}` |" not in text] == []
    events = [kind.__annotations__["type"].__args__[0] for kind in EVENTS.values()]
    assert [event for event in events if f"| `{event}` |" not in text] == []


def test_the_architecture_names_every_file_that_ships() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    shipped = [*(ROOT / "functions").rglob("*.py"), *(ROOT / "layers" / "shared" / "navietakie").rglob("*.py")]
    assert [name(file) for file in shipped if file.name != "__init__.py" and f" {file.name}" not in text] == []


def test_every_decision_is_in_the_index_under_its_number() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()
    numbers: list[int] = []
    for page in sorted(folder.glob("0*.md")):
        number, title = page.read_text().partition("\n")[0].removeprefix("# ").split(". ", 1)
        assert page.name.startswith(f"{int(number):04}-")
        assert f"| {number} | [{title}]({page.name}) |" in index
        numbers.append(int(number))
    assert len(numbers) == len(set(numbers))
