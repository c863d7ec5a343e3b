"""The doors of make_call: what a party does to a call, what its devices say to each other, the log, and timers."""

import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

from make_call import ice, reporting
from make_call.announcing import Announcing, NewSignal
from make_call.answers import MadeCall, call_ack
from make_call.calling import Calling, CallLogPage, LogQuery, NewAct, SocketAct, calling_side
from make_call.reporting import Report
from make_call.timing import Timing
from navietakie import settings, warm
from navietakie.aws import publishing
from navietakie.aws.tables.calls import calls
from navietakie.aws.tables.connections import Connection, connections
from navietakie.aws.tables.messages import messages
from navietakie.aws.timers import timers
from navietakie.broadcast import Broadcast
from navietakie.domain.rate_limit import RateLimit
from navietakie.doors import identity, requests
from navietakie.doors.budget import Allowances, Budget
from navietakie.doors.lambda_event import LambdaEvent
from navietakie.doors.requests import Party, Request, SocketRequest
from navietakie.doors.serve import serve
from navietakie.observability import logger

REST_DEVICE: Final = "rest"
"""Stands for a side's device that does not say which one it is."""
TIMER_SECONDS: Final = 2.0
"""How long a timer may go on trying; it comes again anyway."""

repeats = Allowances()
budget = Budget({"POST /api/v1/make_call": 2, "GET /api/v1/calls": 1, "call": 2, "signal": 1})
warm.ready(requests.ready, identity.ready, timers, publishing.ready)


def handler(event: LambdaEvent, context: Any) -> Any:
    """The Lambda handler."""
    return serve(
        event,
        context,
        rest={"POST /api/v1/make_call": post, "GET /api/v1/calls": get},
        socket={"call": on_call, "signal": on_signal},
        direct={"make_call": post},
        budget=budget,
        queue=on_timer,
    )


def post(request: Request) -> tuple[int, MadeCall]:
    """Does what a party asks of a call."""
    return 200, carry_out(request, request.party(), NewAct.parse(request.fields), REST_DEVICE, request.broadcast())


def get(request: Request) -> tuple[int, CallLogPage]:
    """A page of the call log."""
    booking_code, query = request.booking_code(), LogQuery.parse(request.fields)
    request.check_rights(messages().head(booking_code).rights)
    return 200, calling(request.broadcast()).log(booking_code, query, request.deadline)


def on_call(request: SocketRequest) -> None:
    """Does what a connection asks of a call, and answers it with an `ack`."""
    own, broadcast = request.connection, request.broadcast()
    new = NewAct.parse({**request.fields, "action": SocketAct.parse(request.fields).call_action})
    made = carry_out(request, request.party, new, own.device_id or own.connection_id, broadcast, origin=own)
    broadcast.to_connection(own, call_ack(request, made), request.now)


def on_signal(request: SocketRequest) -> None:
    """Passes a device's signal on to the other side of a live call."""
    party, broadcast, new = request.party, request.broadcast(), NewSignal.parse(request.fields)
    side = calling_side(party.sender)
    call = calling(broadcast).signalled(party.booking_code, new.call_id, side, party.iat, request.deadline)
    Announcing(broadcast, timers).signal(call, side, new.data, request.now)


def on_timer(timer: Mapping[str, Any], again: bool, deadline: float) -> None:
    """Acts on a timer."""
    logger.append_keys(**{name: timer.get(name) for name in ("kind", "booking_code", "call_id", "event")})
    broadcast = requests.broadcast({})
    until = min(deadline, time.monotonic() + TIMER_SECONDS)
    Timing(calling(broadcast), connections(), broadcast.poster).on(timer, until, again=again)


def calling(broadcast: Broadcast) -> Calling:
    """The service, wired to the configured tables."""
    return Calling(
        calls=calls(),
        history=messages(),
        announcing=Announcing(broadcast, timers),
        timers=timers,
        clock=wall_clock,
        entropy=lambda: secrets.token_hex(9),
        ring_seconds=min(180, max(5, int(settings.number("RING_TIMEOUT_SECONDS", 45)))),
        retention_days=settings.retention_days(),
        call_rate=RateLimit(settings.number("CALL_RATE", 6) / 60, int(settings.number("CALL_BURST", 3)), "calls"),
        repeats=repeats,
        gather=broadcast.gather,
    )


def carry_out(
    request: Request | SocketRequest,
    party: Party,
    new: NewAct,
    device: str,
    broadcast: Broadcast,
    origin: Connection | None = None,
) -> MadeCall:
    """Does what was asked for; the answer. `device` stands for the side's device that does not say which one it is."""
    side, booking_code, deadline = calling_side(party.sender), party.booking_code, request.deadline
    service = calling(broadcast)
    if new.action == "report":
        service.rights(booking_code, side, party.iat)
        call = service.ended(booking_code, new.call_id or "", deadline)
        reporting.log_report(call, side, new.report or Report())
        return {"call": call}
    # ICE servers come first: without them nothing is stored.
    talks = new.action in ("initiate", "accept", "ice")
    policy, servers = ice.policy(), ice.configured(booking_code, request.now) if talks else []
    if new.action == "ice":
        call = service.live_in_open_booking(booking_code, new.call_id or "", side, party.iat, deadline)
        return {"call": call, "ice_servers": servers, "ice_transport_policy": policy}
    acted = service.act(
        booking_code,
        side,
        new.device_id or device,
        new.action,
        call_id=new.call_id,
        client_call_id=new.client_call_id,
        iat=party.iat,
        deadline=deadline,
        origin=origin,
    )
    call, reached = acted.call, acted.reached
    logger.append_keys(call_id=call.call_id, call_state=call.state, call_version=call.version, reached=reached)
    return {
        "call": call,
        "ice_servers": servers if acted.may_talk else [],
        "ice_transport_policy": policy,
        "reached": reached,
    }


def wall_clock() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1_000
