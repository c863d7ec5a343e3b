"""One invocation: which door it came through, how long it may take, and a log line of how it went.

What a client sends is checked at its door as far as every route has it in common: its size in bytes, its JSON, who it
is. Whatever goes wrong inside leaves through the door as the contract's error, and is logged without its content.
"""

import time
from collections.abc import Collection, Mapping
from typing import Any, Final, cast

from navietakie import beside
from navietakie.doors import direct as direct_door
from navietakie.doors import lambda_event
from navietakie.doors import queue as queue_door
from navietakie.doors import rest as rest_door
from navietakie.doors import stream as stream_door
from navietakie.doors import websocket as websocket_door
from navietakie.doors.budget import NO_BUDGET, Budget
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.doors.queue import QueueRoute
from navietakie.doors.rest import Route
from navietakie.doors.stream import StreamRoute
from navietakie.doors.websocket import LifecycleRoute, SocketRoute
from navietakie.observability import flush, logger
from navietakie.warm import seed_after_restore

SPARE_SECONDS: Final = 2.0
"""What is kept of the function's time for the answer."""
PATIENCE_SECONDS: Final = 10.0
"""How long a request may go on trying."""

seed_after_restore()  # said while the module is loaded, which is before a snapshot is taken


def serve(
    event: LambdaEvent,
    context: Any,
    *,
    rest: Mapping[str, Route] | None = None,
    socket: Mapping[str, SocketRoute] | None = None,
    direct: Mapping[str, Route] | None = None,
    lifecycle: Mapping[str, LifecycleRoute] | None = None,
    queue: QueueRoute | None = None,
    stream: StreamRoute | None = None,
    repeatable: Collection[str] = (),
    budget: Budget = NO_BUDGET,
) -> Any:
    """Answers one invocation.

    `rest` is keyed by method and path, `socket` by action, `direct` by `function_type`, `lifecycle` by route key.
    The query parameters that are `repeatable` may be given several times.
    `budget` is taken from by requests and frames; a `$connect` takes from it itself, once it knows who comes.
    """
    event = lambda_event.normalized(event)
    started = time.monotonic()
    now = time.time_ns() // 1_000
    remaining = getattr(context, "get_remaining_time_in_millis", lambda: 30_000)() / 1_000
    deadline = started + max(0.5, min(PATIENCE_SECONDS, remaining - SPARE_SECONDS))
    request_context = cast(Mapping[str, Any], event.get("requestContext", {}))
    request_id = str(request_context.get("requestId") or getattr(context, "aws_request_id", None) or "none")
    logger.clear_state()
    logger.append_keys(request_id=request_id)
    route, outcome = "unknown", "internal"
    try:
        if "connectionId" in request_context:
            route = websocket_door.route_key(event)
            logger.append_keys(connection_id=request_context["connectionId"])
            if (on_lifecycle := (lifecycle or {}).get(route)) is not None:
                response, outcome = websocket_door.respond_lifecycle(on_lifecycle, event, now)
            else:
                outcome = websocket_door.respond(socket or {}, budget, event, now, deadline)
                response = {"statusCode": 200}
        elif "httpMethod" in event:
            route = rest_door.route_of(event, rest or {})
            response = rest_door.respond(rest or {}, repeatable, budget, route, event, now, deadline, request_id)
            outcome = str(response["statusCode"])
        elif queue is not None and queue_door.is_batch(event):
            route, response = "queue", queue_door.respond(queue, event, deadline, request_id)
            outcome = f"{len(response['batchItemFailures'])} failed"
        elif stream is not None and stream_door.is_batch(event):
            route = "stream"
            stream_door.respond(stream, event, now, deadline)
            response, outcome = None, "ok"
        else:
            route = "direct"
            response = direct_door.respond(direct or {}, event, now, deadline, request_id)
            outcome = str(response["statusCode"])
        return response
    finally:
        beside.settle()
        elapsed = round((time.monotonic() - started) * 1_000, 1)
        logger.info("served", extra={"route": route, "outcome": outcome, "elapsed_ms": elapsed})
        flush()
