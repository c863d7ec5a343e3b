"""The doors of a function: REST, WebSocket, direct invocation and queue. Parse in, one call, answer out.

What a client sends is checked here as far as every route has it in common: its size in bytes, its JSON, who it is.
Whatever goes wrong inside leaves through here as the contract's error, and is logged without a word of its content.
"""

import json
import re
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from navietakie import aws, identity, instants, requests, rest
from navietakie.errors import Refusal, invalid
from navietakie.frames import encode, error_frame
from navietakie.message import ClientId, Fields
from navietakie.observability import count, flush, logger
from navietakie.parsing import json_object, refuse_depth
from navietakie.requests import Request, SocketRequest
from navietakie.rest import Event
from navietakie.tables.connections import Connection, connections

Answer = tuple[int, Mapping[str, Any]]
"""An HTTP status and the body."""

SPARE_SECONDS: Final = 2.0
"""What is kept of the function's time for the answer."""
PATIENCE_SECONDS: Final = 10.0
"""How long a request may go on trying."""
SENT_BYTES: Final = 128 * 1024
"""API Gateway lets in no longer message over a WebSocket (its quotas)."""

Route = Callable[[Request], Answer]
SocketRoute = Callable[[SocketRequest], None]
EventRoute = Callable[[Event, int], Mapping[str, Any]]
"""Takes the whole event and the time: for `$connect` and `$disconnect`."""
QueueRoute = Callable[[Mapping[str, Any], bool, float], None]
"""Takes what one message of the queue says, whether it was received before, and the deadline (monotonic)."""


class _Envelope(Fields):
    id: ClientId | None = None
    action: str


def serve(
    event: Event,
    context: Any,
    *,
    rest: Mapping[str, Route] | None = None,
    socket: Mapping[str, SocketRoute] | None = None,
    direct: Mapping[str, Route] | None = None,
    lifecycle: Mapping[str, EventRoute] | None = None,
    queue: QueueRoute | None = None,
) -> Any:
    """Answers one invocation.

    `rest` is keyed by method and path, `socket` by action, `direct` by `function_type`, `lifecycle` by route key.
    """
    event = opened(event)
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
            route = route_key(event)
            logger.append_keys(connection_id=request_context["connectionId"])
            if (on_lifecycle := (lifecycle or {}).get(route)) is not None:
                answer, outcome = _lifecycle_door(on_lifecycle, event, now)
            else:
                outcome = _socket_door(socket or {}, event, now, deadline)
                answer = {"statusCode": 200}
        elif "httpMethod" in event:
            route = _rest_route(event, rest or {})
            answer = _rest_door(rest or {}, route, event, now, deadline, request_id)
            outcome = str(answer["statusCode"])
        elif queue is not None and _is_batch(event):
            route, answer = "queue", _queue_door(queue, event, deadline, request_id)
            outcome = f"{len(answer['batchItemFailures'])} failed"
        else:
            route = "direct"
            answer = _direct_door(direct or {}, event, now, deadline, request_id)
            outcome = str(answer["statusCode"])
        return answer
    finally:
        elapsed = round((time.monotonic() - started) * 1_000, 1)
        logger.info("served", extra={"route": route, "outcome": outcome, "elapsed_ms": elapsed})
        flush()


def opened(event: object) -> Event:
    """The event, empty where it is no object, its request context likewise: a direct invocation may be any JSON."""
    it = cast(Event, event if isinstance(event, Mapping) else {})
    return it if isinstance(it.get("requestContext", {}), Mapping) else {**it, "requestContext": {}}


def _is_batch(event: Event) -> bool:
    records = event.get("Records")
    return isinstance(records, list) and all(
        isinstance(record, Mapping) and {"messageId", "body"} <= cast(Event, record).keys()
        for record in cast(list[Any], records)
    )


def _rest_route(event: Event, routes: Iterable[str]) -> str:
    """Method and path of a request; where its resource is a greedy one (`/{proxy+}`), the path that was asked for."""
    resource, path = str(event.get("resource") or ""), str(event.get("path") or "").rstrip("/")
    paths = {route.partition(" ")[2] for route in routes}
    known = path if resource not in paths and path in paths else resource or path
    return f"{event['httpMethod']} {known}"


def _rest_door(
    routes: Mapping[str, Route], route: str, event: Event, now: int, deadline: float, request_id: str
) -> dict[str, Any]:
    headers: dict[str, str] = {}
    extra: dict[str, str] = {}
    try:
        headers = rest.headers_of(event)
        if route.startswith("OPTIONS "):
            return rest.answer(204, None, headers, request_id, rest.preflight(routes, route.partition(" ")[2]))
        handle = routes.get(route)
        if handle is None:
            raise Refusal("not_found", "There is no such resource")
        bearer = identity.of_rest(headers)
        fields = rest.query_of(event) if event["httpMethod"] == "GET" else json_object(rest.body_of(event))
        status, body = handle(Request(fields, now, deadline, event, headers, bearer))
    except Exception as error:
        refusal = _refusal_of(error)
        status, body = refusal.status, rest.error_body(refusal, request_id)
        if refusal.retry_after_seconds is not None:
            extra["Retry-After"] = str(refusal.retry_after_seconds)
    return rest.answer(status, body, headers, request_id, extra)


def _direct_door(
    routes: Mapping[str, Route], event: Event, now: int, deadline: float, request_id: str
) -> dict[str, Any]:
    try:
        refuse_depth(event)
        fields = json_object(encode(event).decode())
        handle = routes.get(str(fields.get("function_type")))
        if handle is None:
            raise invalid("function_type", f"must be {' or '.join(routes)}" if routes else "is for other functions")
        status, body = handle(Request(fields, now, deadline, event))
    except UnicodeEncodeError:
        status, body = 400, rest.error_body(invalid("body", "holds a lone surrogate"), request_id)
    except Exception as error:
        refusal = _refusal_of(error)
        status, body = refusal.status, rest.error_body(refusal, request_id)
    return {"statusCode": status, "body": body}


def _lifecycle_door(handle: EventRoute, event: Event, now: int) -> tuple[dict[str, Any], str]:
    """API Gateway shows a client the status of a refused `$connect`, and nothing of its body."""
    try:
        answer = dict(handle(event, now))
        return answer, str(answer["statusCode"])
    except Exception as error:
        refusal = _refusal_of(error)
        return {"statusCode": refusal.status}, refusal.code


def _queue_door(handle: QueueRoute, event: Event, deadline: float, request_id: str) -> Mapping[str, Any]:
    """Messages that fail, or whose turn does not come in time, come again, alone (Lambda's ReportBatchItemFailures).

    Those that can never succeed fail too: they end in the dead-letter queue, where somebody sees them.
    """
    from aws_lambda_powertools.utilities import batch  # 150 ms of a cold start, which no other door needs

    def handle_record(record: Mapping[str, Any]) -> None:
        logger.clear_state()
        logger.append_keys(request_id=request_id, queue_message_id=record["messageId"])
        try:
            if time.monotonic() >= deadline:
                raise Refusal("unavailable", "No time was left for this message of the queue")
            again = int(record.get("attributes", {}).get("ApproximateReceiveCount", "1")) > 1
            handle(json_object(record["body"]), again, deadline)
        except Exception as error:
            logger.warning("a message of the queue has to come again", extra={"reason": _refusal_of(error).code})
            raise

    processor = batch.BatchProcessor(event_type=batch.EventType.SQS, raise_on_entire_batch_failure=False)
    with processor(cast(list[dict[Any, Any]], event["Records"]), handle_record):
        processor.process()
    return cast(Mapping[str, Any], processor.response())


def _socket_door(routes: Mapping[str, SocketRoute], event: Event, now: int, deadline: float) -> str:
    connection_id = str(event["requestContext"]["connectionId"])
    connection: Connection | None = None
    try:
        connection = connections().get(connection_id)
        if connection is None:
            raise Refusal("not_found", "This connection is not known: connect again")
        logger.append_keys(booking_code=connection.booking_code)
        if connection.token_expired(now):
            raise Refusal("token_expired", "The token has expired: connect again with a new one")
        if event.get("isBase64Encoded"):
            raise Refusal("invalid_request", "Frames are JSON text, not binary")
        fields = json_object(str(event.get("body") or ""))
        envelope = _Envelope.parse(fields)
        handle = routes.get(envelope.action)
        if handle is None:
            raise invalid("action", "is not known")
        logger.append_keys(action=envelope.action)
        request = SocketRequest(connection, fields, envelope.id, now, deadline, event)
        request.party()
        handle(request)
        return "ok"
    except Exception as error:
        refusal = _refusal_of(error)
    booking_code = connection.booking_code if connection else None
    answer = error_frame(refusal, booking_code, instants.to_text(now), frame_id(event))
    api = requests.poster(event)
    api.post([(connection_id, encode(answer))])
    if refusal.code == "not_found" and connection is None:
        api.close(connection_id)
    return refusal.code


def route_key(event: Event) -> str:
    """The route of a WebSocket event. A frame is a frame, even if its action is `$connect` or `$disconnect`."""
    context = cast(Mapping[str, Any], event.get("requestContext", {}))
    key = str(context.get("routeKey"))
    return "$default" if context.get("eventType") == "MESSAGE" and key.startswith("$") else key


def frame_id(event: Event) -> str | None:
    """The id of a client's frame, which an `error` repeats whatever else is wrong; None where it is not to be read."""
    text = str(event.get("body") or "")
    try:
        frame = json.loads(text if len(text) <= SENT_BYTES else "")
    except (ValueError, RecursionError):
        return None
    given = cast(Event, frame).get("id") if isinstance(frame, dict) else None
    return given if isinstance(given, str) and re.fullmatch(r"[ -~]{1,64}", given) else None


def _refusal_of(error: Exception) -> Refusal:
    """What a client is told of an error. One that is not the client's fault is logged and counted.

    Counted, because Lambda and API Gateway see nothing wrong with a frame whose answer is an `error` frame. A Refusal's
    words are ours and are logged: after a `$connect` the log is the only place that names a missing setting. Of any
    other exception it says where but not what: the text may quote a message.
    """
    if isinstance(error, Refusal):
        if error.status >= 500:
            cause = aws.name_of(error.__cause__ or error)
            logger.error("%s: %s", error.code, error.message, extra={"error_type": cause})
            count("Failures")
        return error
    trace = [f"{at.filename}:{at.lineno} {at.name}" for at in traceback.extract_tb(error.__traceback__)]
    logger.error("unexpected error", extra={"error_type": aws.name_of(error), "trace": trace})
    count("Failures")
    return Refusal("internal", "Something went wrong here; it is not your request's fault")
