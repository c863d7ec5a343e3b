"""Secrets in Secrets Manager, kept for the warm invocations, and fetched again when they are rotated."""

import time
from collections.abc import Callable, Iterator
from typing import Final, Literal

from navietakie import settings
from navietakie.aws import clients
from navietakie.domain.errors import Refusal, unavailable
from navietakie.observability import logger
from navietakie.warm import cached

Stage = Literal["AWSCURRENT", "AWSPREVIOUS"]

REFETCH_SECONDS: Final = 60
"""At most one fetch of a version in this time, however many bad signatures arrive."""
SECRET_TTL_SECONDS: Final = 15 * 60
"""After this a version is fetched again: after two rotations the old secret is soon worth nothing in any container."""


class Secret:
    """A secret that may be rotated: the current version, and the one before it while the rotation spreads.

    `fetch` gets a stage and answers with that version, or None where there is none. Its Refusals pass through until the
    version is known; afterwards what is known stays valid.
    """

    def __init__(self, fetch: Callable[[Stage], str | None], clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock  # not the monotonic one: that may stand still while the function is frozen
        self._current = _Version("AWSCURRENT", fetch, clock)
        self._previous = _Version("AWSPREVIOUS", fetch, clock)

    def current(self) -> str:
        """The version to sign with, fetched 15 minutes ago at most, unless Secrets Manager has not answered since."""
        if version := self._latest():
            return version
        raise Refusal("internal", "A secret is empty")

    def versions(self) -> Iterator[str]:
        """The current version, then the previous one, if any. The previous one is fetched when it is asked for."""
        if current := self._latest():
            yield current
        if previous := self._previous.get():
            yield previous

    def renew(self) -> bool:
        """Fetches the current version again, but at most once a minute; whether it is another now."""
        before = self._current.text
        self._current.renew()
        return self._has_replaced(before)

    def _latest(self) -> str | None:
        before = self._current.text
        text = self._current.get()
        self._has_replaced(before)
        return text

    def _has_replaced(self, before: str | None) -> bool:
        if self._current.text == before:
            return False
        self._previous = _Version("AWSPREVIOUS", self._fetch, self._clock)  # the previous one has changed as well
        return True


class _Version:
    """One version of a secret, as last fetched."""

    def __init__(self, stage: Stage, fetch: Callable[[Stage], str | None], clock: Callable[[], float]) -> None:
        self._stage: Stage = stage
        self._fetch = fetch
        self._clock = clock
        self.text: str | None = None
        self._fetched_at: float | None = None
        self._renewed_at = 0.0
        self._failed_at = 0.0
        self._failed_for = 0.0

    def get(self) -> str | None:
        if self._fetched_at is None:
            self._fetch_first()
        elif abs(self._clock() - self._fetched_at) >= SECRET_TTL_SECONDS:  # abs: the clock may have been set back
            self.renew()
        return self.text

    def renew(self) -> None:
        now = self._clock()
        if abs(now - self._renewed_at) < REFETCH_SECONDS:
            return
        self._renewed_at = now
        try:
            self._refetch()
        except Refusal:
            logger.warning("a secret could not be fetched again")

    def _fetch_first(self) -> None:
        begun = self._clock()
        if abs(begun - self._failed_at) < self._failed_for:
            raise unavailable("A secret")
        try:
            self._refetch()
        except Refusal:
            if self._stage == "AWSPREVIOUS":
                # A failure counts for as long as it took to come: else every bad signature would wait for another.
                self._failed_at = self._clock()
                self._failed_for = self._failed_at - begun
            raise

    def _refetch(self) -> None:
        self.text = self._fetch(self._stage)
        self._fetched_at = self._clock()


@cached
def stored_secret(arn: str) -> Secret:
    """A secret in Secrets Manager, kept for the warm invocations; raises `unavailable` where that does not answer."""
    # In all 7 s at most, because it is also asked at INIT, for which Lambda gives 10 s.
    client = clients.client("secretsmanager", connect_timeout=1, read_timeout=2, attempts=2)

    def fetch(stage: Stage) -> str | None:
        try:
            return client.get_secret_value(SecretId=arn, VersionStage=stage)["SecretString"]
        except clients.AWS_ERRORS as error:
            name = clients.error_name(error)
            if name == "ResourceNotFoundException" and stage == "AWSPREVIOUS":
                return None  # never rotated
            logger.error("a secret could not be fetched", extra={"error_type": name})
            raise unavailable("A secret") from error

    return Secret(fetch)


def ready(arn: str) -> None:
    """Fetches the current version of a secret, but not into a SnapStart snapshot, which is kept for weeks."""
    secret = stored_secret(arn)
    if settings.initialization() != "snap-start":
        secret.current()
