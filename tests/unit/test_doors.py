"""What comes through the doors that are no HTTP, who acts in a request, and what is made of an error."""

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from navietakie.aws.tables.connections import Connection
from navietakie.domain import instants
from navietakie.domain.errors import Refusal, unavailable
from navietakie.domain.orders import NO_TOKEN, Rights
from navietakie.doors import direct, failures, queue, requests, stream
from navietakie.doors.identity import Identity
from navietakie.doors.requests import Party, Request, SocketRequest, party_of

NOW = instants.from_text("2026-03-01T10:00:00.000000Z")
BEARER = Identity("driver-7", "ride-1", "driver", 2**40, iat=1_700_000_000)


def letter(name: str, body: str = '{"kind": "ring"}', received: int | None = None) -> dict[str, Any]:
    attributes = {} if received is None else {"attributes": {"ApproximateReceiveCount": str(received)}}
    return {"messageId": name, "body": body, "eventSource": "aws:sqs", **attributes}


@pytest.mark.parametrize(
    ("records", "from_queue", "from_stream"),
    [
        ([letter("1")], True, False),
        ([{"eventSource": "aws:dynamodb"}], False, True),
        ([{"messageId": "1", "body": "{}"}], True, False),
        ([{"messageId": "1"}], False, False),
        ([{"body": "{}"}], False, False),
        (["x"], False, False),
        ([letter("1"), "x"], False, False),
        ("x", False, False),
        (None, False, False),
    ],
)
def test_a_batch_is_told_by_what_its_records_have(records: Any, from_queue: bool, from_stream: bool) -> None:
    event = {"Records": records}
    assert (queue.is_batch(event), stream.is_batch(event)) == (from_queue, from_stream)
    assert not queue.is_batch({})
    assert not stream.is_batch({})


def test_each_letter_of_a_queue_comes_again_by_itself_if_it_fails() -> None:
    handled = list[Any]()

    def handle(timer: Any, again: bool, deadline: float) -> None:
        handled.append((timer["kind"], again, deadline))
        if timer["kind"] == "bad":
            raise unavailable("The database")
        if timer["kind"] == "worse":
            raise ValueError

    letters = [
        letter("1"),
        letter("2", '{"kind": "bad"}', received=1),
        letter("3", '{"kind": "worse"}', received=2),
        letter("4", "no JSON"),
        letter("5", received=3),
    ]
    deadline = time.monotonic() + 60
    answer = queue.respond(handle, {"Records": letters}, deadline, "r1")
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["2", "3", "4"]
    assert handled == [
        ("ring", False, deadline),
        ("bad", False, deadline),
        ("worse", True, deadline),
        ("ring", True, deadline),
    ]


def test_what_its_turn_does_not_reach_in_time_comes_again() -> None:
    handled = list[Any]()
    answer = queue.respond(lambda *what: handled.append(what), {"Records": [letter("1"), letter("2")]}, 0.0, "r1")
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["1", "2"]
    assert handled == []


def test_no_letter_is_begun_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1.5)
    answer = queue.respond(lambda *_: pytest.fail("begun"), {"Records": [letter("1")]}, 1.5, "r1")
    assert [each["itemIdentifier"] for each in answer["batchItemFailures"]] == ["1"]


def test_a_batch_of_a_stream_comes_again_as_a_whole_in_words_of_ours() -> None:
    changes, seen = [{"eventSource": "aws:dynamodb"}], list[Any]()
    stream.respond(lambda *what: seen.append(what), {"Records": changes}, NOW, 1.5)
    assert seen == [(changes, NOW, 1.5)]
    for error, code in ((unavailable("The topic"), "unavailable"), (ValueError("a secret"), "internal")):

        def fail(*_: Any, error: Exception = error) -> None:
            raise error

        with pytest.raises(Refusal, match="has to come again") as refused:
            stream.respond(fail, {"Records": changes}, NOW, 1.5)
        assert refused.value.code == code
        assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("event", "status", "code", "field"),
    [
        ({"function_type": "other"}, 400, "invalid_request", "function_type"),
        ({}, 400, "invalid_request", "function_type"),
        ({"function_type": "refuse"}, 429, "rate_limited", None),
        ({"function_type": "fail"}, 500, "internal", None),
        ({"function_type": "say", "a": "\ud800"}, 400, "invalid_request", "body"),
        ({"function_type": "say", "a": "x" * 32_768}, 413, "too_large", None),
        ({"function_type": "say", "a": [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}, 400,
         "invalid_request", "body"),
    ],
)  # fmt: skip
def test_a_direct_invocation_gets_the_errors_of_the_contract(
    event: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    def refuse(_: Request) -> Any:
        raise Refusal("rate_limited", "No", retry_after_ms=250)

    def fail(_: Request) -> Any:
        raise ValueError("a secret")

    routes: Any = {"say": lambda request: (201, {"said": request.fields}), "refuse": refuse, "fail": fail}
    answer: Any = direct.respond(routes, event, NOW, 1.5, "r1")
    error = answer["body"]["error"]
    assert (answer["statusCode"], error["code"], error["request_id"]) == (status, code, "r1")
    assert error["details"] == (
        {"retry_after_ms": 250} if code == "rate_limited" else {} if field is None else {"field": field}
    )
    assert "secret" not in json.dumps(answer)


@pytest.mark.parametrize(
    ("known", "told"),
    [(["say", "call"], "must be say or call"), (["say"], "must be say"), ([], "is for other functions")],
)
def test_an_unknown_function_type_is_told_which_there_are(known: list[str], told: str) -> None:
    routes: Any = dict.fromkeys(known)
    answer: Any = direct.respond(routes, {"function_type": "other"}, NOW, 1.5, "r1")
    assert answer["body"]["error"]["message"] == f"function_type: {told}"


def test_an_event_that_is_nested_beyond_measure_is_a_bad_one() -> None:
    event: Any = {"function_type": "say"}
    for _ in range(10_000):
        event = {"function_type": "say", "a": event}
    answer: Any = direct.respond({}, event, NOW, 1.5, "r1")
    assert (answer["statusCode"], answer["body"]["error"]["details"]) == (400, {"field": "body"})


def test_a_direct_invocation_gets_status_and_body() -> None:
    asked = list[Request]()

    def say(request: Request) -> Any:
        asked.append(request)
        return 201, {"said": "ü"}

    event = {"function_type": "say", "a": 1}
    assert direct.respond({"say": say}, event, NOW, 1.5, "r1") == {"statusCode": 201, "body": {"said": "ü"}}
    assert [(it.fields, it.now, it.deadline, it.event) for it in asked] == [(event, NOW, 1.5, event)]


def test_an_error_of_the_client_is_neither_logged_nor_counted_and_one_of_ours_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted, logged = list[str](), list[tuple[Any, ...]]()
    monkeypatch.setattr(failures, "count", counted.append)
    monkeypatch.setattr(failures.logger, "error", lambda *what, **extra: logged.append((what, extra)))
    refusal = Refusal("muted", "No")
    assert failures.refusal_of(refusal) is refusal
    assert (counted, logged) == ([], [])
    ours = unavailable("The database")
    ours.__cause__ = ClientError({"Error": {"Code": "ThrottlingException"}}, "Query")
    assert failures.refusal_of(ours) is ours
    assert (counted, len(logged)) == (["Failures"], 1)
    assert logged[0][1] == {"extra": {"error_type": "ThrottlingException"}}
    try:
        raise ValueError("a secret")
    except ValueError as error:
        made = failures.refusal_of(error)
    assert (made.code, counted) == ("internal", ["Failures", "Failures"])
    assert "secret" not in str(made) + str(logged)
    assert logged[1][1]["extra"]["error_type"] == "ValueError"
    assert "test_doors.py" in logged[1][1]["extra"]["trace"][0]


def test_a_start_makes_the_tables_client_and_the_poster(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    monkeypatch.setattr(requests, "connections", lambda: made.append("table"))
    monkeypatch.setattr(requests, "poster", lambda _: made.append("poster"))
    requests.ready()
    assert made == ["table", "poster"]


def request(fields: dict[str, Any], identity: Identity | None = None) -> Request:
    return Request(fields, NOW, 1.5, {}, identity=identity)


def test_without_tokens_a_request_says_itself_who_acts() -> None:
    fields = {"booking_code": "ride-1", "sender": "driver", "sender_id": "Somebody"}
    assert request(fields).party() == Party("ride-1", "driver", "Somebody", NO_TOKEN)
    assert request({"booking_code": "ride-1"}).booking_code() == "ride-1"
    request(fields).check_rights(Rights(revoked={"driver": instants.to_text(NOW)}))


def test_with_a_token_its_role_and_its_bearer_count() -> None:
    party = request({"booking_code": "ride-1", "sender_id": "Somebody"}, BEARER).party()
    assert party == Party("ride-1", "driver", "driver-7", 1_700_000_000)
    assert request({"booking_code": "ride-1"}, BEARER).booking_code() == "ride-1"
    with pytest.raises(Refusal) as refused:
        request({}, BEARER).check_rights(Rights(revoked={"driver": instants.to_text(NOW)}))
    assert refused.value.code == "unauthorized"


@pytest.mark.parametrize(
    ("fields", "identity", "code", "field"),
    [
        ({"sender": "driver"}, None, "invalid_request", "booking_code"),
        ({"booking_code": "-", "sender": "driver"}, None, "invalid_request", "booking_code"),
        ({"booking_code": "ride-1"}, None, "invalid_request", "sender"),
        ({"booking_code": "ride-1", "sender": "nobody"}, None, "invalid_request", "sender"),
        ({"booking_code": "ride-1", "sender": "driver", "sender_id": ""}, None, "invalid_request", "sender_id"),
        ({"booking_code": "ride-2"}, BEARER, "forbidden", None),
        ({"booking_code": "ride-1", "sender": "passenger"}, BEARER, "forbidden", None),
    ],
)
def test_who_does_not_say_who_acts_or_is_somebody_else_is_refused(
    fields: dict[str, Any], identity: Identity | None, code: str, field: str | None
) -> None:
    with pytest.raises(Refusal) as refused:
        request(fields, identity).party()
    assert (refused.value.code, refused.value.details.get("field")) == (code, field)


def test_a_page_of_another_booking_is_not_the_tokens_to_read() -> None:
    with pytest.raises(Refusal) as refused:
        request({"booking_code": "ride-2"}, BEARER).booking_code()
    assert refused.value.code == "forbidden"


OWN = Connection("c1", "ride-1", "driver", instants.to_text(NOW), 2**40, "driver-7", token_exp=2**40, token_iat=5)


@pytest.mark.parametrize("fields", [{}, {"booking_code": "ride-1", "sender": "driver"}, {"booking_code": None}])
def test_a_frame_is_its_connections(fields: dict[str, Any]) -> None:
    assert party_of(OWN, fields) == Party("ride-1", "driver", "driver-7", 5)


@pytest.mark.parametrize("fields", [{"booking_code": "ride-2"}, {"sender": "passenger"}, {"sender": ""}])
def test_a_frame_that_says_it_is_another_bookings_or_roles_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Refusal) as refused:
        party_of(OWN, fields)
    assert refused.value.code == "forbidden"


def test_a_frame_of_a_revoked_token_is_refused() -> None:
    frame = SocketRequest(OWN, party_of(OWN, {}), {}, "7", NOW, 1.5, {})
    frame.check_rights(Rights(revoked={"passenger": instants.to_text(NOW)}))
    with pytest.raises(Refusal) as refused:
        frame.check_rights(Rights(revoked={"driver": instants.to_text(NOW)}))
    assert refused.value.code == "unauthorized"
    assert frame.addressed() == {"booking_code": "ride-1", "ts": instants.to_text(NOW), "id": "7"}
