"""The events with which AWS invokes the functions: those of `events/`, with the changes of a test."""

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "events"


class Context:
    """The context object that Lambda passes to a function."""

    aws_request_id = "request-of-the-context"

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


def sample(name: str) -> dict[str, Any]:
    """An event of `events/` as it is."""
    return copy.deepcopy(_event(name))


@cache
def _event(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def rest(name: str, body: Any = None, query: dict[str, str] | None = None, **headers: str) -> dict[str, Any]:
    """A request of the REST API, after `events/rest-{name}.json`."""
    event = copy.deepcopy(_event(f"rest-{name}"))
    event["headers"] = {**event["headers"], **headers}
    event["body"] = None if body is None else json.dumps(body, ensure_ascii=False)
    event["queryStringParameters"] = query
    return event


def frame(connection_id: str, fields: Any, name: str = "message") -> dict[str, Any]:
    """A frame from a connection."""
    event = copy.deepcopy(_event(f"ws-{name}"))
    event["requestContext"]["connectionId"] = connection_id
    event["body"] = json.dumps(fields, ensure_ascii=False)
    return event


def connect(connection_id: str, query: dict[str, str]) -> dict[str, Any]:
    """A client opens a connection."""
    event = copy.deepcopy(_event("ws-connect"))
    event["requestContext"]["connectionId"] = connection_id
    event["headers"] = {}
    event["queryStringParameters"] = query
    return event


def disconnect(connection_id: str) -> dict[str, Any]:
    """A connection has ended."""
    event = copy.deepcopy(_event("ws-disconnect"))
    event["requestContext"]["connectionId"] = connection_id
    return event


def timers(*bodies: dict[str, Any]) -> dict[str, Any]:
    """A batch from the timer queue."""
    event = copy.deepcopy(_event("sqs-ring"))
    record = event["Records"][0]
    event["Records"] = [
        {**record, "messageId": f"timer-{number}", "body": json.dumps(body)} for number, body in enumerate(bodies)
    ]
    return event


def changes(*images: dict[str, Any], name: str = "INSERT") -> dict[str, Any]:
    """A batch from the stream of the messages table: these items were written."""
    event = copy.deepcopy(_event("stream-stored"))
    record = event["Records"][0]
    event["Records"] = [
        {
            **record,
            "eventName": name,
            "dynamodb": {
                **record["dynamodb"],
                "Keys": {key: image[key] for key in record["dynamodb"]["Keys"] if key in image},
                "NewImage": image,
            },
        }
        for image in images
    ]
    return event
