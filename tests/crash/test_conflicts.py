"""DynamoDB turns a write away while another transaction holds the item, as no emulator does: tried again, done once."""

import itertools

from botocore.awsrequest import AWSResponse

from navietakie.aws.tables.calls import calls
from navietakie.aws.tables.messages import messages
from tests.crash.conftest import Ground
from tests.crash.writes import WRITES, Write, for_each, outcome, stage, take_step
from tests.fakes.wire import Asked, Carry, conflict

WRITE_REQUESTS = ("dynamodb.TransactWriteItems", "dynamodb.UpdateItem")


def contended(ground: Ground, times: int) -> list[str]:
    """The next so many writes meet another transaction; the list grows with every request."""
    requests: list[str] = []
    left = itertools.count()

    def way(asked: Asked, carry: Carry) -> AWSResponse:
        requests.append(asked.name)
        return conflict(asked) if asked.name in WRITE_REQUESTS and next(left) < times else carry()

    ground.wire.way = way
    return requests


@for_each(*WRITES)
def test_a_conflict_is_tried_again_and_written_once(ground: Ground, write: Write) -> None:
    stage(ground, "whole")
    write(ground, "whole")
    whole = outcome(ground, "whole")
    stage(ground, "contended")
    requests = contended(ground, 3)
    write(ground, "contended")
    assert sum(name in WRITE_REQUESTS for name in requests) == 4
    assert outcome(ground, "contended") == whole


def test_a_call_takes_its_step_after_a_conflict(ground: Ground) -> None:
    stage(ground, "ride")
    for number, step in enumerate(("driver initiate", "passenger accept", "driver end"), 1):
        contended(ground, 2)
        take_step(ground, "ride", *step.split())
        call = calls().latest("ride")
        assert call is not None
        assert call.version == number
    assert messages().head("ride").seq == 2
