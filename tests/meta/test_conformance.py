"""The scenarios of docs/conformance: AsyncAPI knows all their frames, and their page explains all their steps."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from docs.generator.asyncapi import ANSWERS, PUSHED
from tests.documents import ROOT, asyncapi

FOLDER = ROOT / "docs" / "conformance"
FILES = sorted(FOLDER.glob("*.yaml"))
PAGE = (FOLDER / "README.md").read_text()
STRANGE = "what a later server says is not understood, and does no harm"
SCENARIOS = [(file.stem, scenario) for file in FILES for scenario in yaml.safe_load(file.read_text())]


def schemas() -> dict[str, set[str]]:
    """The fields of each frame: the client's frames by `action`, the server's by `type`."""
    document = asyncapi()["components"]["schemas"]
    kinds = {kind.__annotations__["type"].__args__[0]: [kind.__name__] for kind in PUSHED.values()}
    kinds |= {
        "sync": ["SyncPart"],
        "pong": ["Pong"],
        "error": ["ErrorAnswer"],
        "ack": ["MessageAck", "CallAck", "AttachAck"],
    }
    assert {name for names in kinds.values() for name in names} >= {kind.__name__ for kind in ANSWERS.values()}
    frames = {name.removesuffix("Frame").lower(): [name] for name in document if name.endswith("Frame")}
    return {
        kind: {field for name in names for field in document[name]["properties"]}
        for kind, names in (*kinds.items(), *((f"client's {action}", names) for action, names in frames.items()))
    }


def frames(scenario: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The frames of a scenario, each with the name of its kind."""
    for step in scenario["steps"]:
        if isinstance(said := step.get("says"), dict):
            yield f"client's {said['action']}", said
        if "hears" in step:
            yield step["hears"]["type"], step["hears"]


@pytest.mark.parametrize(
    "scenario", [it for _, it in SCENARIOS], ids=[f"{file}: {it['name']}" for file, it in SCENARIOS]
)
def test_a_scenarios_frames_have_only_fields_of_the_protocol(scenario: dict[str, Any]) -> None:
    known = schemas()
    for kind, frame in frames(scenario):
        if scenario["name"] != STRANGE:
            assert set(frame) <= known[kind], kind


def test_no_key_is_taken_for_a_boolean() -> None:
    for _, scenario in SCENARIOS:
        assert all(isinstance(key, str) for _, frame in frames(scenario) for key in frame), scenario["name"]


def test_every_step_and_every_file_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)`", PAGE, re.MULTILINE))
    used = {verb for _, scenario in SCENARIOS for step in scenario["steps"] for verb in step} - {"within"}
    given = {field for _, scenario in SCENARIOS for field in scenario}
    assert used | given <= explained
    assert [file.name for file in FILES if f"]({file.name})" not in PAGE] == []


def test_no_two_scenarios_have_one_name() -> None:
    names = [scenario["name"] for _, scenario in SCENARIOS]
    assert sorted(set(names)) == sorted(names)
