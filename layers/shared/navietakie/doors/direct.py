"""Direct invocation: `aws lambda invoke` with a plain payload. IAM guards this door, so it asks for no token."""

import json
from collections.abc import Mapping
from typing import TypedDict

from navietakie.domain.errors import invalid
from navietakie.domain.frames import encode
from navietakie.domain.parsing import json_object, refuse_depth
from navietakie.doors.failures import refusal_of
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.doors.requests import Request
from navietakie.doors.rest import Route, error_body


class DirectResponse(TypedDict):
    """What the function returns to whoever invoked it."""

    statusCode: int
    body: object


def respond(
    routes: Mapping[str, Route], event: LambdaEvent, now: int, deadline: float, request_id: str
) -> DirectResponse:
    try:
        refuse_depth(event)
        fields = json_object(encode(event).decode())
        handle = routes.get(str(fields.get("function_type")))
        if handle is None:
            raise invalid("function_type", f"must be {' or '.join(routes)}" if routes else "is for other functions")
        status, body = handle(Request(fields, now, deadline, event))
    except UnicodeEncodeError:
        status, body = 400, error_body(invalid("body", "holds a lone surrogate"), request_id)
    except Exception as error:
        refusal = refusal_of(error)
        status, body = refusal.status, error_body(refusal, request_id)
    return {"statusCode": status, "body": json.loads(encode(body))}  # Lambda's own encoder knows no models
