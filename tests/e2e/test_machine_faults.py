"""Faults of the machine under a running stack: what is lost, and what is said."""

import json
import os
import random
import resource
import signal
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from local.embedded import LOCK
from local.stack import Stack
from tests.e2e.talking import ask
from tests.running import Run, running, start

BOOKING = "faults"
LOST = "What was stored since the start is lost"


class Senders:
    """Four senders at once, each one message after the other. `acknowledged`: the messages with a successful answer.

    If `patient`, they try again with the same id when an answer says so, as clients do.
    """

    def __init__(self, stack: Stack, name: str, each: int, *, patient: bool = False) -> None:
        self._patient = patient
        self.acknowledged: list[str] = []
        self.statuses: list[int] = []
        self.news = threading.Condition()
        self._threads = [threading.Thread(target=self._send, args=(stack, f"{name}-{n}", each)) for n in range(4)]

    def _send(self, stack: Stack, name: str, each: int) -> None:
        with httpx.Client(timeout=60) as client:
            for n in range(each):
                text = f"{name}-{n}"
                # From `system`, which has no rate limit.
                fields = {"booking_code": BOOKING, "message": text, "sender": "system", "client_message_id": text}
                try:
                    while not self._noted(text, client.post(f"{stack.url}/api/v1/send_message", json=fields)):
                        time.sleep(0.2)
                except httpx.TransportError:  # the front door is closed
                    return

    def _noted(self, text: str, answer: httpx.Response) -> bool:
        """Whether it has succeeded, or is not tried again."""
        with self.news:
            self.statuses.append(answer.status_code)
            if answer.is_success:
                self.acknowledged.append(text)
            self.news.notify_all()
            return answer.is_success or not self._patient

    @contextmanager
    def working(self) -> Generator[None]:
        """Sends the messages, from the first to the last."""
        for each in self._threads:
            each.start()
        try:
            yield
        finally:
            for each in self._threads:
                each.join()

    def hear(self, count: int) -> None:
        """Returns when so many answers have come."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.statuses) >= count, 120)

    def wait(self, count: int) -> None:
        """Returns when so many messages are acknowledged."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.acknowledged) >= count, 120)


def stored(stack: Stack) -> list[str]:
    """The texts of the booking in order. Checks that the sequence has no hole."""
    messages: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        query = {"booking_code": BOOKING, "order": "asc", "limit": "100", **({"cursor": cursor} if cursor else {})}
        while (answer := httpx.get(f"{stack.url}/api/v1/get_message", params=query, timeout=60)).status_code in (
            503,
            504,
        ):
            time.sleep(0.2)  # a busy machine did not start the function in time
        page = answer.json()
        messages += page["messages"]
        cursor = page["next_cursor"]
    assert [message["seq"] for message in messages] == list(range(1, len(messages) + 1))
    return [message["message"] for message in messages]


def photo(stack: Stack, text: str) -> str:
    """Uploads a photo, and sends a message that names it. Returns its id; its bytes are the text."""
    party = {"booking_code": BOOKING, "sender": "driver"}
    attach = {"content_type": "image/png", "bytes": len(text)}
    form = ask(stack, None, "POST", "send_message", **party, attach=attach).json()
    upload, id = form["upload"], form["attachment"]["id"]
    files = {"file": ("photo", text.encode(), "image/png")}
    assert httpx.post(upload["url"], data=upload["fields"], files=files, timeout=60).status_code == 204
    metadata = {"attachment": {"id": id}}
    answer = ask(stack, None, "POST", "send_message", **party, message=text, metadata=metadata)
    assert answer.status_code == 201, answer.text
    return id


def embedded(run: Run) -> int:
    """The process of the embedded AWS."""
    return json.loads((run.home / LOCK).read_text())["pid"]


def family(pid: int) -> list[int]:
    """A process, and those that it has started."""
    children = [each.read_text().split() for each in Path(f"/proc/{pid}/task").glob("*/children")]
    return [pid, *(each for line in children for child in line for each in family(int(child)))]


@contextmanager
def full_disk(run: Run) -> Generator[None]:
    """No process of the stack may write to a file, as on a full disk."""

    def limit(to: int) -> None:
        for each in {*family(run.process.pid), *family(embedded(run))}:
            with suppress(ProcessLookupError):
                resource.prlimit(each, resource.RLIMIT_FSIZE, (to, hard))

    hard = resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE)[1]
    limit(0)
    try:
        yield
    finally:
        limit(hard)


on_linux = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="Linux alone limits another process")


@pytest.fixture(scope="module")
def saved(stopped_home: Path) -> list[str]:
    """What is in the booking after a clean stop."""
    with running(stopped_home) as (run, stack):
        senders = Senders(stack, "saved", 5)
        with senders.working():
            pass
        texts = stored(stack)
        assert sorted(texts) == sorted(senders.acknowledged)
        assert run.stop() == 0
        assert LOST not in run.said()
    return texts


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_embedded_aws_killed_under_load_loses_only_what_came_since_the_start_and_says_so(
    stopped_home: Path, saved: list[str], seed: int
) -> None:
    with running(stopped_home) as (run, stack):
        assert stored(stack) == saved
        senders = Senders(stack, f"lost-{seed}", 1_000)
        with senders.working():
            senders.wait(random.Random(seed).randint(1, 80))
            os.kill(embedded(run), signal.SIGKILL)
        assert run.process.wait(60) == 1
        assert set(senders.statuses) <= {201, 503}
        assert "The embedded AWS has stopped by itself" in run.said()
        assert LOST in run.said()
    with running(stopped_home) as (_, stack):
        assert stored(stack) == saved


def test_make_run_killed_under_load_loses_nothing_that_was_acknowledged(stopped_home: Path, saved: list[str]) -> None:
    with running(stopped_home) as (run, stack):
        senders = Senders(stack, "left", 1_000)
        with senders.working():
            senders.wait(random.Random(5).randint(1, 80))
            run.stop(signal.SIGKILL)
    with running(stopped_home) as (run, stack):
        texts = stored(stack)
        # What was stored before anybody could answer is there besides, once.
        assert len(set(texts)) == len(texts)
        assert {*saved, *senders.acknowledged} <= set(texts)
        saved[:] = texts
        assert run.stop() == 0


def test_functions_killed_under_load_delay_messages_and_lose_or_double_none(
    stopped_home: Path, saved: list[str]
) -> None:
    chance = random.Random(6)
    with running(stopped_home) as (run, stack):
        before = stored(stack)
        senders = Senders(stack, "killed", 15, patient=True)
        with senders.working():
            for _ in range(5):
                senders.wait(len(senders.acknowledged) + chance.randint(1, 8))
                for worker in family(embedded(run))[1:]:
                    with suppress(ProcessLookupError):
                        os.kill(worker, signal.SIGKILL)
        assert set(senders.statuses) <= {200, 201, 503}
        assert len(senders.acknowledged) == 60
        texts = stored(stack)
        assert sorted(texts) == sorted([*before, *senders.acknowledged])
        saved[:] = texts
        assert run.stop() == 0


def test_an_embedded_aws_that_hangs_for_ten_seconds_delays_messages_and_loses_none(
    stopped_home: Path, saved: list[str]
) -> None:
    with running(stopped_home) as (run, stack):
        before = stored(stack)
        senders = Senders(stack, "delayed", 15, patient=True)
        with senders.working():
            senders.wait(10)
            os.kill(embedded(run), signal.SIGSTOP)
            time.sleep(10)  # this is the fault
            os.kill(embedded(run), signal.SIGCONT)
        assert set(senders.statuses) <= {200, 201, 503, 504}
        assert len(senders.acknowledged) == 60
        assert sorted(stored(stack)) == sorted([*before, *senders.acknowledged])
        saved[:] = stored(stack)
        assert run.stop() == 0


@on_linux
def test_while_the_disk_is_full_what_runs_goes_on_and_all_that_was_acknowledged_is_saved_later(
    stopped_home: Path, saved: list[str]
) -> None:
    with running(stopped_home) as (run, stack):
        before = stored(stack)
        fields = {"booking_code": BOOKING, "message": "cold", "sender": "system", "client_message_id": "cold"}
        with full_disk(run):
            refused = ask(stack, None, "POST", "send_message", **fields)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "unavailable")
        assert refused.headers["retry-after"] == "1"
        accepted = ask(stack, None, "POST", "send_message", **fields)
        assert (accepted.status_code, accepted.json()["duplicate"]) == (201, False)
        with full_disk(run):
            senders = Senders(stack, "full", 10)
            with senders.working():
                pass
            seen = photo(stack, "photo")
            texts = stored(stack)
        assert set(senders.statuses) == {201}
        assert sorted(texts) == sorted([*before, "cold", *senders.acknowledged, "photo"])
        saved[:] = texts
        assert run.stop() == 0
        assert LOST not in run.said()
    with running(stopped_home) as (_, stack):
        assert stored(stack) == saved
        found = ask(stack, None, "GET", "attachment", booking_code=BOOKING, id=seen).json()
        assert httpx.get(found["url"], timeout=60).content == b"photo"


@on_linux
def test_without_free_descriptors_new_connections_wait_with_a_notice_and_are_served_later(
    stopped_home: Path, saved: list[str]
) -> None:
    with running(stopped_home) as (run, stack):
        assert stored(stack) == saved
        hard = resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE)[1]
        used = len(list(Path(f"/proc/{run.process.pid}/fd").iterdir()))
        resource.prlimit(run.process.pid, resource.RLIMIT_NOFILE, (used + 20, hard))
        taking = [socket.create_connection(("127.0.0.1", urlsplit(stack.url).port or 0)) for _ in range(60)]
        end = time.monotonic() + 60
        while "No more connections can be opened" not in run.said():
            assert time.monotonic() < end, run.said()
            time.sleep(0.1)
        for each in taking:
            each.close()
        assert stored(stack) == saved
        assert "Traceback" not in run.said()
        assert run.stop() == 0


@on_linux
def test_an_embedded_aws_without_free_descriptors_delays_messages_and_loses_none(
    stopped_home: Path, saved: list[str]
) -> None:
    with running(stopped_home) as (run, stack):
        before = stored(stack)
        senders = Senders(stack, "scarce", 15, patient=True)
        pid = embedded(run)
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(list(Path(f"/proc/{pid}/fd").iterdir())), hard))
        with senders.working():
            try:
                senders.hear(4)
            finally:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert {503, 504} & set(senders.statuses)
        assert set(senders.statuses) <= {200, 201, 503, 504}
        assert len(senders.acknowledged) == 60
        assert sorted(stored(stack)) == sorted([*before, *senders.acknowledged])
        saved[:] = stored(stack)
        assert run.stop() == 0


def test_after_a_kill_during_the_first_deploy_the_next_start_works(tmp_path: Path) -> None:
    run = start(tmp_path, "--port", "0")
    end = time.monotonic() + 240
    while "Deploy …" not in run.said():
        assert time.monotonic() < end, run.said()
        time.sleep(0.05)
    end = time.monotonic() + random.Random(4).uniform(1, 10)
    while time.monotonic() < end and run.process.poll() is None:
        time.sleep(0.05)
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    with running(tmp_path) as (_, stack):
        senders = Senders(stack, "after", 1)
        with senders.working():
            pass
        assert len(senders.acknowledged) == 4
