"""The documents for machines: up to date, valid, complete, and every field explained."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from jsonschema import Draft202012Validator

from docs.generator import asyncapi as sockets
from docs.generator import openapi as rest
from docs.generator import schemas
from docs.generator.__main__ import texts
from docs.generator.foreign import GatewayError
from navietakie.domain.errors import SOCKET_ONLY, STATUS
from navietakie.domain.message import NewMessage
from tests.documents import ROOT, asyncapi, openapi


class _Loader(yaml.SafeLoader):
    """Reads a template. Ignores what is inside CloudFormation's own tags."""


_Loader.add_multi_constructor("!", lambda loader, suffix, node: suffix)


def template() -> dict[str, Any]:
    return yaml.load((ROOT / "template.yaml").read_text(), Loader=_Loader)


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """`value` itself, and every object in it."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from inside(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from inside(inner)


def at(document: dict[str, Any], reference: str) -> Any:
    """What a reference within `document` points to."""
    for step in reference.removeprefix("#/").split("/"):
        document = document[step.replace("~1", "/")]
    return document


@pytest.mark.parametrize("path", list(texts()), ids=lambda path: path.name)
def test_the_documents_are_those_that_the_models_make(path: Path) -> None:
    assert path.read_text() == texts()[path], "run `make docs`"


def test_the_documents_describe_the_types_that_the_functions_make() -> None:
    frames = sockets.PUSHED | sockets.ANSWERS | sockets.GATEWAY
    described = {*rest.ANSWERS, *frames.values(), *sockets.EVENTS.values(), *sockets.MESSAGE_EVENTS.values()}
    retold = {kind for kind in described if kind.__module__.startswith("docs.")}
    assert retold == {GatewayError}, "only what no function makes is described by the generator"


def test_openapi_is_valid() -> None:
    schemathesis.openapi.from_dict(openapi()).validate()


@pytest.mark.parametrize("document", [openapi(), asyncapi()], ids=["openapi", "asyncapi"])
def test_every_reference_points_to_something(document: dict[str, Any]) -> None:
    references = [it["$ref"] for it in inside(document) if isinstance(it.get("$ref"), str)]
    assert references
    for reference in references:
        assert at(document, reference)


@pytest.mark.parametrize("document", [openapi(), asyncapi()], ids=["openapi", "asyncapi"])
def test_every_component_is_used_and_every_schema_is_a_component(document: dict[str, Any]) -> None:
    used = {it["$ref"] for it in inside(document) if isinstance(it.get("$ref"), str)}
    for kind in ("schemas", "responses", "headers", "messages"):
        assert {f"#/components/{kind}/{name}" for name in document["components"].get(kind, {})} <= used
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("document", [openapi(), asyncapi()], ids=["openapi", "asyncapi"])
def test_every_field_is_explained(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
        for field, inner in schema.get("properties", {}).items():
            assert inner.get("description"), f"{name}.{field}"


def test_no_explanation_is_left_of_a_field_that_is_gone() -> None:
    found = {
        (name, field)
        for document in (openapi(), asyncapi())
        for name, schema in document["components"]["schemas"].items()
        for field in schema.get("properties", {})
    }
    # These appear as parameters and frames instead.
    spread = {"HistoryQuery", "SyncRequest", "ConnectParameters", "MakeCall"}
    places = {tuple(place.split(".")) for place in schemas.ELSEWHERE if place.split(".")[0] not in spread}
    assert places <= found
    parameters = {"cursor", "limit", "order", "token", "booking_id"}
    assert set(schemas.FIELDS) <= {field for _, field in found} | parameters


def test_every_path_of_the_template_is_documented_and_no_other() -> None:
    deployed = {
        (event["Properties"]["Method"], event["Properties"]["Path"])
        for resource in template()["Resources"].values()
        for event in resource.get("Properties", {}).get("Events", {}).values()
        if event["Type"] == "Api" and event["Properties"]["Method"] != "OPTIONS"
    }
    documented = {(method.upper(), path) for path, item in openapi()["paths"].items() for method in item}
    assert documented == deployed


def test_every_websocket_route_of_the_template_is_documented() -> None:
    (api,) = [it for it in template()["Resources"].values() if it["Type"] == "AWS::Serverless::WebSocketApi"]
    routes = {route for route in api["Properties"]["Routes"] if not route.startswith("$")}
    # These three come through $default.
    actions = {name for name, it in asyncapi()["operations"].items() if it["action"] == "receive"}
    assert actions == routes | {"typing", "away", "ping"}


def test_every_error_code_is_documented_under_its_status() -> None:
    document = openapi()
    documented: set[tuple[str, int]] = set()
    for item in document["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                if "$ref" in response:
                    codes = at(document, response["$ref"])["x-error-codes"]
                    documented |= {(code, int(status)) for code in codes}
    assert documented == {(code, status) for code, status in STATUS.items() if code not in SOCKET_ONLY}


def test_the_examples_keep_to_their_schemas() -> None:
    document = openapi()
    examples = 0
    for item in document["paths"].values():
        for operation in item.values():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in content.get("examples", {}).values():
                schema = {"components": document["components"], **content["schema"]}
                Draft202012Validator(schema).validate(example["value"])
                examples += 1
    assert examples >= 3


def test_requests_say_what_the_models_check() -> None:
    document = openapi()["components"]["schemas"]["SendMessage"]
    own = NewMessage.model_json_schema()["properties"]
    assert document["properties"]["message"]["maxLength"] == own["message"]["maxLength"]
    assert set(document["properties"]) == {*own, "booking_code", "sender"}
    assert document["required"] == ["message", "booking_code"]


def test_an_operation_uses_only_messages_of_its_channel() -> None:
    document = asyncapi()
    for operation in document["operations"].values():
        for side in (operation, operation.get("reply")):
            if side is not None:
                channel = side["channel"]["$ref"]
                assert all(it["$ref"].startswith(f"{channel}/messages/") for it in side["messages"])
