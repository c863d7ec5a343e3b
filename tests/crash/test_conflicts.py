"""DynamoDB refuses a write while another transaction holds the item. The write is tried again, and done once."""

import itertools

from botocore.awsrequest import AWSResponse

from navietakie.aws.tables.calls import calls
from navietakie.aws.tables.messages import messages
from tests.crash.writes import WRITES, Write, for_each, outcome, stage, take_step
from tests.fakes.wire import Asked, Carry, conflict
from tests.worlds.wire import World

WRITE_REQUESTS = ("dynamodb.TransactWriteItems", "dynamodb.UpdateItem")


def contended(world: World, times: int) -> list[str]:
    """The next so many writes meet another transaction. The list grows with every request."""
    requests: list[str] = []
    left = itertools.count()

    def way(asked: Asked, carry: Carry) -> AWSResponse:
        requests.append(asked.name)
        return conflict(asked) if asked.name in WRITE_REQUESTS and next(left) < times else carry()

    world.wire.way = way
    return requests


@for_each(*WRITES)
def test_a_conflict_is_tried_again_and_written_once(world: World, write: Write) -> None:
    stage(world, "whole")
    write(world, "whole")
    whole = outcome(world, "whole")
    stage(world, "contended")
    requests = contended(world, 3)
    write(world, "contended")
    assert sum(name in WRITE_REQUESTS for name in requests) == 4
    assert outcome(world, "contended") == whole


def test_a_call_takes_its_step_after_a_conflict(world: World) -> None:
    stage(world, "ride")
    for number, step in enumerate(("driver initiate", "passenger accept", "driver end"), 1):
        contended(world, 2)
        take_step(world, "ride", *step.split())
        call = calls().latest("ride")
        assert call is not None
        assert call.version == number
    assert messages().head("ride").seq == 2
