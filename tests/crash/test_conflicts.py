"""DynamoDB turns a write away while another transaction holds the item, as no emulator does: tried again, done once."""

import itertools

import pytest
from botocore.awsrequest import AWSResponse

from navietakie.tables.calls import calls
from navietakie.tables.messages import messages
from tests.crash.conftest import Ground
from tests.crash.test_crashes import (
    Write,
    by_rest,
    by_socket,
    close,
    outcome,
    receipt_by_rest,
    receipt_by_socket,
    stage,
)
from tests.crash.test_lost_answers import take_step
from tests.fakes.wire import Asked, Carry, conflict

WRITES = ("dynamodb.TransactWriteItems", "dynamodb.UpdateItem")


def contended(ground: Ground, times: int) -> list[str]:
    """The next so many writes meet another transaction; the list grows with every request."""
    requests: list[str] = []
    left = itertools.count()

    def way(asked: Asked, carry: Carry) -> AWSResponse:
        requests.append(asked.name)
        return conflict(asked) if asked.name in WRITES and next(left) < times else carry()

    ground.wire.way = way
    return requests


@pytest.mark.parametrize(
    "write", [by_rest, by_socket, close, receipt_by_rest, receipt_by_socket], ids=lambda write: write.__name__
)
def test_a_conflict_is_tried_again_and_written_once(ground: Ground, write: Write) -> None:
    stage(ground, "whole")
    write(ground, "whole")
    whole = outcome(ground, "whole")
    stage(ground, "contended")
    requests = contended(ground, 3)
    write(ground, "contended")
    assert sum(name in WRITES for name in requests) == 4
    assert outcome(ground, "contended") == whole


def test_a_call_takes_its_step_after_a_conflict(ground: Ground) -> None:
    stage(ground, "ride")
    for number, step in enumerate(("driver initiate", "passenger accept", "driver end"), 1):
        contended(ground, 2)
        take_step(ground, "ride", *step.split())
        call = calls().live("ride")
        assert call is not None
        assert call.version == number
    assert messages().head("ride").seq == 2
