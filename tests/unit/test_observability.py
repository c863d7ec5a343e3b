"""What is counted, as CloudWatch reads it from the output (its embedded metric format)."""

import json
from typing import Any

import pytest
from aws_lambda_powertools.metrics import MetricUnit

from navietakie import observability


@pytest.fixture(autouse=True)
def nothing_counted() -> None:
    observability.flush()


def printed(capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the one line says: the description of its metrics, and its values."""
    [line] = capsys.readouterr().out.splitlines()
    values = json.loads(line)
    [described] = values.pop("_aws")["CloudWatchMetrics"]
    return described, values


def test_counts_of_an_invocation_are_printed_once_and_zero_is_no_count(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    observability.count("Posts")
    observability.count("Posts", 2)
    observability.count("Failures", 0)
    observability.flush()
    described, values = printed(capsys)
    assert (described["Namespace"], described["Metrics"]) == ("NavieTakie", [{"Name": "Posts", "Unit": "Count"}])
    assert sum(values["Posts"]) == 3
    observability.flush()
    assert capsys.readouterr().out == ""


def test_a_count_by_a_dimension_is_one_of_its_value(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    observability.count_by("Ended", "reason", "hung_up")
    described, values = printed(capsys)
    assert (described["Namespace"], described["Metrics"]) == ("NavieTakie", [{"Name": "Ended", "Unit": "Count"}])
    assert (values["Ended"], values["reason"]) == ([1], "hung_up")
    assert "reason" in described["Dimensions"][0]


def test_what_was_not_measured_is_in_no_metric(capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    of = {"Loss": (0.5, MetricUnit.Percent), "Delay": (None, MetricUnit.Milliseconds), "Jitter": (0, MetricUnit.Count)}
    observability.measure("network", "wifi", of)
    described, values = printed(capsys)
    units = {it["Name"]: it["Unit"] for it in described["Metrics"]}
    assert (described["Namespace"], units) == ("NavieTakie", {"Loss": "Percent", "Jitter": "Count"})
    assert (values["Loss"], values["Jitter"], values["network"]) == ([0.5], [0], "wifi")
    assert "network" in described["Dimensions"][0]
