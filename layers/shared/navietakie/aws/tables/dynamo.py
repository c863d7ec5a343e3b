"""DynamoDB itself: the one client, its time-outs, and its failures in our words."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

from botocore.exceptions import BotoCoreError, ClientError

from navietakie.aws import clients
from navietakie.domain.errors import unavailable
from navietakie.warm import kept

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


@kept
def client() -> "DynamoDBClient":
    """The client of this process, made at first use and kept for the warm invocations.

    A request is over after 12 s at the most: three times 1 s to connect and 2 s to be answered, and 3 s of pauses.
    """
    return clients.client("dynamodb", connect_timeout=1, read_timeout=2, attempts=3)


class ConditionFailed(Exception):
    """Conditions of a write did not hold. Nothing was written.

    `found` has one entry per item of the transaction: None where its condition held, else the item that was there
    (empty: none, or DynamoDB did not say).
    """

    def __init__(self, found: list[dict[str, Any] | None]) -> None:
        super().__init__("a condition did not hold")
        self.found = found


class Contended(Exception):
    """Another transaction was busy with one of the items, or one was throttled. Nothing was written; try again later.

    `retried`: it was not the first try, and an earlier one, whose answer did not come, may have written all the same.
    """

    def __init__(self, *, retried: bool = False) -> None:
        super().__init__("another transaction was busy with one of the items, or one was throttled")
        self.retried = retried


@contextmanager
def translated() -> Generator[None]:
    """Turns DynamoDB's failures into ConditionFailed, Contended or the Refusal `unavailable`.

    Other errors are our own mistakes, and pass through.
    """
    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        if code == "TransactionCanceledException":
            raise _cancelled(error) from error
        if code == "ConditionalCheckFailedException":
            raise ConditionFailed([cast(dict[str, Any], error.response.get("Item") or {})]) from error
        if code == "TransactionConflictException":
            raise Contended from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _PASSING or status >= 500:
            raise unavailable("The database") from error
        raise
    except BotoCoreError as error:
        raise unavailable("The database") from error


def _cancelled(error: ClientError) -> Exception:
    reasons = cast(list[dict[str, Any]], error.response.get("CancellationReasons") or [])
    codes = {reason.get("Code") for reason in reasons}
    if CONDITION_FAILED in codes:
        return ConditionFailed(
            [reason.get("Item") or {} if reason.get("Code") == CONDITION_FAILED else None for reason in reasons]
        )
    if codes & {"TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"}:
        return Contended(retried=error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0) > 0)
    return error
