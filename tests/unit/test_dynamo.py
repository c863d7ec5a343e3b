"""What DynamoDB's failures become: a condition that failed, a busy item, something that passes, or our mistake."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from navietakie.aws.tables import keys
from navietakie.aws.tables.calls import VersionConflict
from navietakie.aws.tables.dynamo import ConditionFailed, Contended, TransactionRefused, transact, translated
from navietakie.aws.tables.messages import AlreadyStored, HeadMoved, Messages, item_of
from navietakie.domain.conversation import Head
from navietakie.domain.errors import Refusal
from navietakie.domain.message import Message

ITEM = {"booking_code": {"S": "ride-1"}}


def failure(code: str, status: int = 400, retries: int = 0, **more: Any) -> ClientError:
    metadata = {"HTTPStatusCode": status, "RetryAttempts": retries}
    return ClientError({"Error": {"Code": code}, "ResponseMetadata": metadata, **more}, "PutItem")  # type: ignore[typeddict-unknown-key]


def raised(error: Exception, *names: str) -> Exception:
    with pytest.raises(Exception) as caught, translated(names):  # noqa: PT011 - which it is, is what is asked
        raise error
    return caught.value


@pytest.mark.parametrize(
    "code",
    [
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ResourceNotFoundException",
        "ServiceUnavailable",
        "ThrottlingException",
        "ThrottlingError",
        "TransactionInProgressException",
    ],
)
def test_what_passes_by_itself_is_unavailable(code: str) -> None:
    refusal = raised(failure(code))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.retryable) == ("unavailable", True)


def test_any_failure_of_the_server_and_of_the_network_is_unavailable() -> None:
    for error in (failure("Strange", 500), failure("Strange", 503), EndpointConnectionError(endpoint_url="x")):
        refusal = raised(error)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "unavailable"
        assert refusal.__cause__ is error


@pytest.mark.parametrize("error", [failure("ValidationException"), failure("AccessDeniedException", 499), ValueError()])
def test_our_own_mistakes_pass_as_they_are(error: Exception) -> None:
    assert raised(error) is error


def test_a_condition_that_did_not_hold_says_what_was_there() -> None:
    failed = raised(failure("ConditionalCheckFailedException", Item=ITEM))
    assert isinstance(failed, ConditionFailed)
    assert failed.item == ITEM
    failed = raised(failure("ConditionalCheckFailedException"))
    assert isinstance(failed, ConditionFailed)
    assert failed.item == {}


def test_an_item_that_a_transaction_holds_is_busy_at_the_first_try() -> None:
    busy = raised(failure("TransactionConflictException", retries=2))
    assert isinstance(busy, Contended)
    assert not busy.retried


def cancelled(*codes: str, retries: int = 0) -> ClientError:
    reasons = [{"Code": code, **({"Item": ITEM} if code == "ConditionalCheckFailed" else {})} for code in codes]
    return failure("TransactionCanceledException", retries=retries, CancellationReasons=reasons)


def test_a_cancelled_transaction_names_the_writes_whose_conditions_failed() -> None:
    failed = raised(cancelled("None", "ConditionalCheckFailed", "TransactionConflict"), "message", "head", "marker")
    assert isinstance(failed, TransactionRefused)
    assert failed.found == {"head": ITEM}
    assert "head" in str(failed)


@pytest.mark.parametrize("code", ["TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"])
@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_cancelled_transaction_that_met_another_says_whether_it_was_tried_before(code: str, retries: int) -> None:
    busy = raised(cancelled("None", code, retries=retries), "message", "head")
    assert isinstance(busy, Contended)
    assert busy.retried == (retries > 0)


def test_a_transaction_that_was_cancelled_for_what_is_in_it_is_our_mistake() -> None:
    error = cancelled("ValidationError", "None")
    assert raised(error, "message", "head") is error
    error = failure("TransactionCanceledException")
    assert raised(error) is error


def test_a_failure_without_metadata_was_tried_once_and_is_no_failure_of_the_server() -> None:
    bare: Any = {"Error": {"Code": "TransactionCanceledException"}}
    busy = raised(ClientError({**bare, "CancellationReasons": [{"Code": "TransactionConflict"}]}, "PutItem"), "message")
    assert isinstance(busy, Contended)
    assert busy.retried is False
    error = ClientError({"Error": {"Code": "ValidationException"}}, "PutItem")
    assert raised(error) is error


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (lambda: ConditionFailed({}), "a condition did not hold"),
        (lambda: TransactionRefused({"head": {}, "marker": {}}), "conditions did not hold: head, marker"),
        (Contended, "another transaction was busy with one of the items, or one was throttled"),
        (lambda: HeadMoved(None), "the head has moved"),
        (lambda: AlreadyStored(None), "the message is stored already"),
        (lambda: VersionConflict(None), "the call has moved"),
    ],
)
def test_each_of_our_own_failures_says_what_it_is(failure: Callable[[], Exception], said: str) -> None:
    assert str(failure()) == said


def test_a_bound_just_before_a_timestamp_is_above_all_earlier_ones() -> None:
    assert keys.just_before("2026-03-01T10:00:00.000001Z") == "2026-03-01T10:00:00.000001"
    assert keys.just_before("2026-03-01T10:00:00.000001Z") > "2026-03-01T10:00:00.000000Z"
    assert keys.just_before(None) == ":"


@pytest.mark.parametrize(
    ("retries", "there", "stored"), [(0, True, False), (1, False, False), (1, True, True), (2, True, True)]
)
def test_a_transaction_that_met_another_after_a_try_whose_answer_was_lost_is_looked_for(
    retries: int, there: bool, stored: bool
) -> None:
    message = Message(
        message_id="m1",
        booking_code="ride-1",
        seq=1,
        timestamp="2026-03-01T10:00:00.000000Z",
        sender="driver",
        message_type="text",
        message="Hello",
    )

    class Table:
        def transact_write_items(self, **_: Any) -> None:
            raise cancelled("TransactionConflict", "None", retries=retries)

        def get_item(self, **_: Any) -> Any:
            return {"Item": item_of(message, 2**40)} if there else {}

    def store() -> None:
        after = Head(1, message.timestamp, "epoch")
        Messages(Table(), "messages").store(  # type: ignore[arg-type]
            message, before=Head(), after=after, expires_at=2**40, now=0, token="t"
        )

    if stored:
        store()
    else:
        with pytest.raises(Contended):
            store()


def test_keys_that_were_not_read_are_named() -> None:
    one, other = ("ride-1", "2026-03-01T10:00:00.000000Z"), ("ride-1", "2026-03-01T10:00:01.000000Z")

    class Table:
        def batch_get_item(self, **_: Any) -> Any:
            return {"Responses": {}, "UnprocessedKeys": {"messages": {"Keys": [keys.in_booking(*other)]}}}

    assert Messages(Table(), "messages").items_at([one, other]) == ({}, [other])  # type: ignore[arg-type]


def test_a_cancelled_transaction_with_another_number_of_reasons_blames_no_write() -> None:
    assert isinstance(raised(cancelled("None", "ConditionalCheckFailed"), "message"), ValueError)
    assert isinstance(raised(cancelled("ConditionalCheckFailed"), "message", "head"), ValueError)


@pytest.mark.parametrize(("token", "sent"), [(None, {}), ("t1", {"ClientRequestToken": "t1"})])
def test_a_transaction_makes_its_writes_in_order_under_its_token(token: str | None, sent: dict[str, str]) -> None:
    asked = list[dict[str, Any]]()

    class Client:
        def transact_write_items(self, **what: Any) -> None:
            asked.append(what)

    client: Any = Client()
    transact(client, {"message": {"Put": {}}, "head": {"Update": {}}}, token)
    assert asked == [{"TransactItems": [{"Put": {}}, {"Update": {}}], **sent}]


def test_a_transaction_names_its_writes_by_their_order() -> None:
    class Client:
        def transact_write_items(self, **_: Any) -> None:
            raise cancelled("None", "ConditionalCheckFailed")

    client: Any = Client()
    with pytest.raises(TransactionRefused) as refused:
        transact(client, {"message": {}, "head": {}})
    assert set(refused.value.found) == {"head"}
