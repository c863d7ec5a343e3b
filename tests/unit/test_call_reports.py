"""What a device measured in a call: which figures operators get of it, and what is refused."""

from typing import Any

import pytest
from aws_lambda_powertools.metrics import MetricUnit

from make_call import reporting
from make_call.reporting import Report, log_report
from navietakie.domain import instants
from navietakie.domain.call import Act, begun, moved
from navietakie.domain.errors import Refusal

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
RANG = moved(
    begun(None, "driver", "phone", booking_code="ride-1", now=NOW, ring_seconds=45, entropy="a" * 18),
    Act("reject", "passenger", "tablet"),
    NOW,
)
TALKED = RANG.model_copy(update={"answered_at": instants.to_text(NOW)})


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What was counted, by its name; under `relayed` how, and what was measured."""
    found = dict[str, Any]()
    monkeypatch.setattr(reporting, "count", lambda name, value=1: found.update({name: value}))
    monkeypatch.setattr(reporting, "measure", lambda by, value, measured: found.update({by: (value, measured)}))
    return found


def test_every_figure_is_counted_in_its_unit_by_whether_the_call_was_relayed(counted: dict[str, Any]) -> None:
    report = {"setup_ms": 640, "relayed": True, "rtt_ms": 42.5, "jitter_ms": 3, "lost": 1, "received": 3, "seconds": 9}
    log_report(TALKED, "driver", Report.parse(report))
    measured = {
        "CallsReported": (1, MetricUnit.Count),
        "CallSetupTime": (640, MetricUnit.Milliseconds),
        "CallRoundTrip": (42.5, MetricUnit.Milliseconds),
        "CallJitter": (3, MetricUnit.Milliseconds),
        "CallLoss": (25, MetricUnit.Percent),
    }
    assert counted == {"CallReports": 1, "CallSetupsFailed": 0, "relayed": ("true", measured)}


def test_the_log_has_what_was_measured_and_nothing_else(
    counted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr(reporting.logger, "info", lambda _, *, extra: said.append(extra))
    log_report(TALKED, "driver", Report.parse({"setup_ms": 640}))
    assert said == [{"call_id": TALKED.call_id, "side": "driver", "report": {"setup_ms": 640}}]


@pytest.mark.parametrize(("relayed", "kept_apart"), [(True, "true"), (False, "false"), (None, "unknown")])
def test_what_is_not_known_is_not_counted(counted: dict[str, Any], relayed: bool | None, kept_apart: str) -> None:
    log_report(TALKED, "driver", Report.parse({"relayed": relayed}))
    by, measured = counted["relayed"]
    assert by == kept_apart
    assert {name for name, (figure, _) in measured.items() if figure is not None} == {"CallsReported"}


@pytest.mark.parametrize(
    ("call", "report", "failed"),
    [
        (TALKED, {}, 1),
        (TALKED, {"received": 0}, 1),
        (TALKED, {"lost": 5}, 1),
        (TALKED, {"received": 1}, 0),
        (TALKED, {"setup_ms": 0}, 0),
        (RANG, {}, 0),
    ],
)
def test_a_call_that_was_answered_and_never_connected_its_devices_has_failed(
    counted: dict[str, Any], call: Any, report: dict[str, Any], failed: int
) -> None:
    log_report(call, "driver", Report.parse(report))
    assert counted["CallSetupsFailed"] == failed


@pytest.mark.parametrize(
    ("report", "loss"),
    [({"lost": 5}, 100), ({"received": 5}, 0), ({"lost": 0, "received": 0}, None), ({"lost": 1, "received": 9}, 10)],
)
def test_loss_is_the_share_of_the_packets_in_percent(
    counted: dict[str, Any], report: dict[str, Any], loss: float | None
) -> None:
    log_report(TALKED, "driver", Report.parse(report))
    assert counted["relayed"][1]["CallLoss"][0] == loss


@pytest.mark.parametrize("field", ["setup_ms", "rtt_ms", "jitter_ms", "lost", "received", "seconds"])
def test_a_figure_is_a_number_and_not_below_zero(field: str) -> None:
    for good in (0, 0.5, 10**9):
        assert getattr(Report.parse({field: good}), field) == good
    for bad in (-0.1, "1", True, float("nan"), float("inf")):
        with pytest.raises(Refusal):
            Report.parse({field: bad})
