"""Secrets in Secrets Manager, kept for the warm invocations, and fetched again when they are rotated."""

import time
from collections.abc import Callable
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from navietakie.aws import clients
from navietakie.domain.errors import Refusal, unavailable
from navietakie.observability import logger
from navietakie.warm import kept

REFETCH_SECONDS: Final = 60
"""At most one fetch in this time, however many bad signatures arrive."""
SECRET_TTL_SECONDS: Final = 15 * 60
"""After this a secret is fetched again: after two rotations the old secret is soon worth nothing in any container."""


class Secret:
    """A secret that may be rotated: the current version, and the one before it while the rotation spreads.

    `fetch` gets a stage (`AWSCURRENT` or `AWSPREVIOUS`) and answers with that version, or None where there is none. Its
    Refusals pass through until a version is known; afterwards the known versions stay valid.
    """

    def __init__(self, fetch: Callable[[str], str | None], clock: Callable[[], float] = time.time) -> None:
        self._fetch = fetch
        self._clock = clock  # not the monotonic one: that may stand still while the function is frozen
        self._versions: list[str] = []
        self._fetched_at = 0.0
        self._renewed_at = 0.0

    def versions(self) -> list[str]:
        """The current version and the previous one, if any: as last fetched.

        They were fetched at most 15 minutes ago, unless Secrets Manager has not answered since.
        """
        if not self._versions:
            self._refetch()
        elif self._clock() - self._fetched_at >= SECRET_TTL_SECONDS:
            self.renew()
        return self._versions

    def renew(self) -> bool:
        """Fetches again, but at most once a minute; whether there are other versions now."""
        now, before = self._clock(), self._versions
        if abs(now - self._renewed_at) < REFETCH_SECONDS:
            return False
        self._renewed_at = now
        try:
            self._refetch()
        except Refusal:
            logger.warning("a secret could not be fetched again")
        return self._versions != before

    def _refetch(self) -> None:
        stages = (self._fetch(stage) for stage in ("AWSCURRENT", "AWSPREVIOUS"))
        self._versions = [version for version in stages if version]
        self._fetched_at = self._clock()


@kept
def stored_secret(arn: str) -> Secret:
    """A secret in Secrets Manager, kept for the warm invocations; raises `unavailable` where that does not answer."""
    client = clients.client("secretsmanager", connect_timeout=1, read_timeout=2, attempts=3)

    def fetch(stage: str) -> str | None:
        try:
            return client.get_secret_value(SecretId=arn, VersionStage=stage)["SecretString"]
        except (ClientError, BotoCoreError) as error:
            name = clients.name_of(error)
            if name == "ResourceNotFoundException" and stage == "AWSPREVIOUS":
                return None  # never rotated
            logger.error("a secret could not be fetched", extra={"error_type": name})
            raise unavailable("A secret") from error

    return Secret(fetch)
