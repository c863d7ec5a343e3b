"""How a call was, as a device measured it: a log line and metrics. It is stored in no table and sent to nobody."""

from typing import Annotated

from aws_lambda_powertools.metrics import MetricUnit
from pydantic import Field

from navietakie.domain.call import Call
from navietakie.domain.message import Fields, Side
from navietakie.observability import count, logger, measure

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Report(Fields):
    """What a device measured in a call. It leaves out what it does not know.

    `setup_ms` is the time from the answer to the first connection between the devices: without it there was none.
    `lost` and `received` count packets.
    """

    setup_ms: Amount | None = None
    relayed: bool | None = None
    rtt_ms: Amount | None = None
    jitter_ms: Amount | None = None
    lost: Amount | None = None
    received: Amount | None = None
    seconds: Amount | None = None


def log_report(call: Call, by: Side, report: Report) -> None:
    """Logs a report, and counts it by whether the call was relayed."""
    measured = report.model_dump(exclude_none=True)
    logger.info("a call was reported on", extra={"call_id": call.call_id, "side": by, "report": measured})
    failed = call.answered_at is not None and report.setup_ms is None and not report.received
    count("CallReports")
    count("CallSetupsFailed", int(failed))
    packets = (report.lost or 0) + (report.received or 0)
    measure(
        "relayed",
        "unknown" if report.relayed is None else str(report.relayed).lower(),
        {
            "CallsReported": (1, MetricUnit.Count),
            "CallSetupTime": (report.setup_ms, MetricUnit.Milliseconds),
            "CallRoundTrip": (report.rtt_ms, MetricUnit.Milliseconds),
            "CallJitter": (report.jitter_ms, MetricUnit.Milliseconds),
            "CallLoss": (100 * (report.lost or 0) / packets if packets else None, MetricUnit.Percent),
        },
    )
