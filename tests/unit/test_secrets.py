"""Secrets that are rotated, that fail, and that are kept: when they are fetched, and what counts meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from navietakie import warm
from navietakie.aws import clients, secrets
from navietakie.aws.secrets import Secret
from navietakie.domain.errors import Refusal, unavailable

MINUTE = 60.0


class Manager:
    """Secrets Manager and a clock. `asked`: the stages that were fetched."""

    def __init__(self, current: str | None = "one", previous: str | None = None, now: float = 1_000_000.0) -> None:
        self.stages: dict[str, str | None] = {"AWSCURRENT": current, "AWSPREVIOUS": previous}
        self.now, self.down, self.takes = now, False, 0.0
        self.asked: list[str] = []
        self.secret = Secret(self.fetch, lambda: self.now)

    def fetch(self, stage: str) -> str | None:
        self.asked.append(stage.removeprefix("AWS"))
        self.now += self.takes
        if self.down:
            raise unavailable("A secret")
        return self.stages[stage]

    def rotate(self, text: str) -> None:
        self.stages = {"AWSCURRENT": text, "AWSPREVIOUS": self.stages["AWSCURRENT"]}


@pytest.mark.parametrize("now", [0.0, 1.0, 30.0, 1_000_000.0])
def test_the_first_fetch_waits_for_nothing_whatever_the_clock_says(now: float) -> None:
    manager = Manager(previous="old", now=now)
    assert list(manager.secret.versions()) == ["one", "old"]
    assert manager.asked == ["CURRENT", "PREVIOUS"]


def test_an_empty_secret_is_our_mistake() -> None:
    with pytest.raises(Refusal, match="A secret is empty") as refused:
        Manager("").secret.current()
    assert refused.value.code == "internal"


def test_a_version_is_kept_for_15_minutes() -> None:
    manager = Manager()
    manager.secret.current()
    manager.rotate("two")
    manager.now += 15 * MINUTE - 1
    assert manager.secret.current() == "one"
    manager.now += 1
    assert manager.secret.current() == "two"
    assert manager.asked == ["CURRENT", "CURRENT"]


@pytest.mark.parametrize("step", [-15 * MINUTE, 15 * MINUTE])
def test_a_clock_that_was_set_to_another_time_fetches_it_again(step: float) -> None:
    manager = Manager()
    manager.secret.current()
    manager.now += step
    manager.secret.current()
    assert manager.asked == ["CURRENT", "CURRENT"]


def test_a_bad_signature_fetches_again_at_most_once_a_minute() -> None:
    manager = Manager()
    manager.secret.current()
    assert manager.secret.renew() is False
    manager.rotate("two")
    manager.now += MINUTE - 1
    assert manager.secret.renew() is False
    manager.now += 1
    assert manager.secret.renew() is True
    assert list(manager.secret.versions()) == ["two", "one"]
    assert manager.asked == ["CURRENT", "CURRENT", "CURRENT", "PREVIOUS"]


def test_a_rotation_changes_the_previous_version_too_however_it_is_noticed() -> None:
    manager = Manager(previous="zero")
    assert list(manager.secret.versions()) == ["one", "zero"]
    manager.rotate("two")
    manager.now += 15 * MINUTE
    assert list(manager.secret.versions()) == ["two", "one"]


def test_what_is_known_stays_valid_while_secrets_manager_is_down() -> None:
    manager = Manager()
    manager.secret.current()
    manager.down = True
    manager.now += 20 * MINUTE
    assert manager.secret.current() == "one"


def test_a_current_version_that_is_not_known_is_asked_for_each_time() -> None:
    manager = Manager()
    manager.down, manager.takes = True, 3.0
    for _ in range(2):
        with pytest.raises(Refusal):
            manager.secret.current()
    manager.down = False
    assert manager.secret.current() == "one"
    assert manager.asked == ["CURRENT"] * 3


def test_a_previous_version_that_fails_is_not_asked_for_again_for_as_long_as_it_took() -> None:
    manager = Manager(previous="old")
    manager.secret.current()
    manager.down, manager.takes = True, 3.0
    for waited, asked in ((0.0, 1), (2.9, 1), (0.1, 2)):
        manager.now += waited
        with pytest.raises(Refusal):
            list(manager.secret.versions())
        assert manager.asked.count("PREVIOUS") == asked


class Client:
    """Answers get_secret_value with the next of `answers`."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, str]] = []

    def get_secret_value(self, **request: str) -> Any:
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return {"SecretString": answer}


def failure(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code}}, "GetSecretValue")


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Client]:
    def given(*of: Any) -> Client:
        client = Client(*of)
        monkeypatch.setattr(clients, "client", lambda *_, **__: client)
        warm.forget()
        return client

    return given


def test_each_version_is_asked_for_by_its_stage(answers: Callable[..., Client]) -> None:
    client = answers("two", "one")
    assert list(secrets.stored_secret("arn").versions()) == ["two", "one"]
    stages = ("AWSCURRENT", "AWSPREVIOUS")
    assert client.asked == [{"SecretId": "arn", "VersionStage": stage} for stage in stages]


def test_a_secret_that_was_never_rotated_has_one_version(answers: Callable[..., Client]) -> None:
    answers("one", failure("ResourceNotFoundException"))
    assert list(secrets.stored_secret("arn").versions()) == ["one"]


@pytest.mark.parametrize(
    "of",
    [
        [failure("ResourceNotFoundException")],
        [failure("AccessDeniedException")],
        ["one", failure("AccessDeniedException")],
        ["one", EndpointConnectionError(endpoint_url="x")],
    ],
)
def test_any_other_failure_is_unavailable(of: list[Any], answers: Callable[..., Client]) -> None:
    answers(*of)
    with pytest.raises(Refusal) as refused:
        list(secrets.stored_secret("arn").versions())
    assert refused.value.code == "unavailable"


@pytest.mark.parametrize(("start", "asked"), [("on-demand", 1), ("provisioned-concurrency", 1), ("snap-start", 0)])
def test_a_start_fetches_the_secret_but_not_into_a_snapshot(
    start: str, asked: int, answers: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", start)
    client = answers("one")
    secrets.ready("arn")
    assert len(client.asked) == asked
