"""Logs and metrics. A log line holds ids, codes and counts: never a token, a message's text or a query string."""

from collections.abc import Mapping
from typing import Final

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

NAMESPACE: Final = "NavieTakie"

logger = Logger()
_metrics = Metrics(namespace=NAMESPACE)


def count(name: str, value: float = 1) -> None:
    """Adds `value` to the metric `name` of this invocation; 0 adds nothing."""
    if value:
        _metrics.add_metric(name=name, unit=MetricUnit.Count, value=value)


def count_by(name: str, dimension: str, value: str) -> None:
    """Counts one in the metric `name`, kept apart for each value of `dimension`."""
    with single_metric(name=name, unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        metric.add_dimension(name=dimension, value=value)


def measure(dimension: str, value: str, measured: Mapping[str, tuple[float | None, MetricUnit]]) -> None:
    """Puts what was measured into metrics, kept apart for each value of `dimension`; None was not measured."""
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension(name=dimension, value=value)
    for name, (figure, unit) in measured.items():
        if figure is not None:
            metrics.add_metric(name=name, unit=unit, value=figure)
    metrics.flush_metrics()


def flush() -> None:
    """Prints what was counted, in CloudWatch's embedded metric format, and forgets it."""
    if _metrics.metric_set:
        _metrics.flush_metrics()
