"""DynamoDB itself: the one client, its time-outs, and its failures in our words."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import BotoCoreError, ClientError

from navietakie.aws import clients
from navietakie.aws.tables.keys import Item
from navietakie.domain.errors import unavailable
from navietakie.warm import cached

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PASSING: Final = frozenset(
    {
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ResourceNotFoundException",  # the table itself: it is being restored, under its old name
        "ServiceUnavailable",
        "ThrottlingException",
        "ThrottlingError",
        "TransactionInProgressException",
    }
)
CONDITION_FAILED: Final = "ConditionalCheckFailed"


@cached
def client() -> "DynamoDBClient":
    """The client of this process, made at first use and kept for the warm invocations.

    A request is over after 12 s at the most: three times 1 s to connect and 2 s to be answered, and 3 s of pauses.
    """
    return clients.client("dynamodb", connect_timeout=1, read_timeout=2, attempts=3)


class ConditionFailed(Exception):
    """The condition of a write did not hold. Nothing was written.

    `item` is what was there (empty: nothing, or DynamoDB did not say).
    """

    def __init__(self, item: Item) -> None:
        super().__init__("a condition did not hold")
        self.item = item


class TransactionRefused(Exception):
    """Conditions of a transaction did not hold. Nothing was written.

    `found` has what was there by the names of the writes whose conditions failed (empty: nothing), and no others.
    """

    def __init__(self, found: Mapping[str, Item]) -> None:
        super().__init__(f"conditions did not hold: {', '.join(found)}")
        self.found = found


class Contended(Exception):
    """Another transaction was busy with one of the items, or one was throttled. Nothing was written; try again later.

    `retried`: it was not the first try, and an earlier one, whose answer did not come, may have written all the same.
    """

    def __init__(self, *, retried: bool = False) -> None:
        super().__init__("another transaction was busy with one of the items, or one was throttled")
        self.retried = retried


def transact(client: "DynamoDBClient", writes: Mapping[str, Item], token: str | None = None) -> None:
    """Makes all of these writes, each under a name, or none. Raises TransactionRefused, Contended or `unavailable`.

    A repeat with the same `token` within ten minutes succeeds without writing again (DynamoDB's ClientRequestToken).
    botocore sends one with all tries of this call: a lost answer is no second write.
    """
    named = {} if token is None else {"ClientRequestToken": token}
    with translated(tuple(writes)):
        client.transact_write_items(TransactItems=cast(Any, list(writes.values())), **cast(Any, named))


@contextmanager
def translated(names: Sequence[str] = ()) -> Generator[None]:
    """Turns DynamoDB's failures into ConditionFailed, Contended or the Refusal `unavailable`.

    In a transaction of writes with these `names` it is TransactionRefused. Others are our own mistakes, and pass.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "TransactionCanceledException":
            raise _cancelled(error, names) from error
        if code == "ConditionalCheckFailedException":
            raise ConditionFailed(cast(Item, error.response.get("Item") or {})) from error
        if code == "TransactionConflictException":
            raise Contended from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _PASSING or status >= 500:
            raise unavailable("The database") from error
        raise
    except BotoCoreError as error:
        raise unavailable("The database") from error


def _cancelled(error: ClientError, names: Sequence[str]) -> Exception:
    reasons = cast(list[dict[str, Any]], error.response.get("CancellationReasons") or [])
    codes = {reason.get("Code") for reason in reasons}
    if CONDITION_FAILED in codes:
        named = zip(names, reasons, strict=True)
        return TransactionRefused(
            {name: it.get("Item") or {} for name, it in named if it.get("Code") == CONDITION_FAILED}
        )
    if codes & {"TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"}:
        return Contended(retried=error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0)
    return error
