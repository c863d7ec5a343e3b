"""When posts are made: on a network of receivers with known delays, whose time passes only while the batch polls."""

import random
import select
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from navietakie.wire import connections_api
from navietakie.wire.connections_api import ConnectionsApi, Outcome
from navietakie.wire.exchange import HttpResponse, Stale, Steps
from navietakie.wire.sigv4 import SigningKeys

type Behaviour = float | OSError | tuple[float, int]
"""What one request comes to: 200 after so many seconds, an error at once, or a status after so many seconds."""
NEVER = float("inf")


class Network:
    """Receivers and their clock; it stands in for the endpoint, for `time` and for `select` of the module.

    `made` has each request: when it began, for whom, and whether on a connection of its own.
    """

    POLLIN = select.POLLIN

    def __init__(
        self, behaviour: Callable[[str, int], Behaviour], *, idle: int = 0, look_up: float = 0.0, moves: bool = False
    ) -> None:
        self.now = 1_000.0
        self.idle = idle
        self.look_up = look_up
        """How long every connection waits before it can even begin."""
        self.moves = moves
        """Whether connections try a second address, so that they change their descriptor."""
        self.made: list[tuple[float, str, bool]] = []
        self.closed_idle = 0
        self.given_up: list[float] = []
        self.lines: dict[int, Line] = {}
        self.all_steps: list[Steps] = []
        """Kept, so that no exchange is closed only because nobody refers to it any more."""
        self._behaviour = behaviour

    def connection(self) -> "Line":
        return Line(self)

    def close_idle(self) -> None:
        self.closed_idle += 1

    def monotonic(self) -> float:
        return self.now

    def strftime(self, *_: Any) -> str:
        return "20260131T080000Z"

    def gmtime(self) -> None:
        pass

    def poll(self) -> "Poll":
        return Poll(self)

    def behaviour_of_next(self, receiver: str) -> Behaviour:
        return self._behaviour(receiver, len(self.times(receiver)) - 1)

    def times(self, receiver: str) -> list[float]:
        """When requests to one receiver began, in seconds since the start of the batch."""
        return [round(at - 1_000.0, 6) for at, it, _ in self.made if it == receiver]

    def starts(self) -> list[float]:
        """When the requests began, each time once."""
        return sorted({round(at - 1_000.0, 6) for at, _, _ in self.made})

    def begun_by(self, seconds: float) -> int:
        return sum(round(at - 1_000.0, 6) <= seconds for at, _, _ in self.made)


class Line:
    """A connection of the network."""

    def __init__(self, network: Network, *, alone: bool = False) -> None:
        self._network = network
        self._alone = alone
        self._number = -1
        self.answers_at = NEVER

    def fileno(self) -> int:
        return self._number

    def exchange(self, request: bytes) -> Steps:
        self._network.all_steps.append(steps := self._steps(request))
        return steps

    def _open(self) -> None:
        self._number = 100 + len(self._network.lines)
        self._network.lines[self._number] = self

    def _steps(self, request: bytes) -> Steps:
        network = self._network
        network.now += network.look_up
        self._open()
        receiver = request.partition(b"@connections/")[2].partition(b" ")[0].decode()
        network.made.append((network.now, receiver, self._alone))
        behaviour = network.behaviour_of_next(receiver)
        if isinstance(behaviour, OSError):
            raise behaviour
        delay, status = behaviour if isinstance(behaviour, tuple) else (behaviour, 200)
        try:
            if network.moves:
                self.answers_at = network.now
                yield select.POLLIN
                self._open()
            self.answers_at = network.now + delay
            while network.now < self.answers_at:
                yield select.POLLIN
        except GeneratorExit:
            network.given_up.append(round(network.now - 1_000.0, 6))
            raise
        return HttpResponse(status, b"", b"", whole=True)


class Poll:
    """What `select.poll()` returns: time goes on to the next answer, or by the whole time-out."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._registered = set[int]()
        self._polls = 0

    def register(self, descriptor: int, events: int) -> None:
        assert events == select.POLLIN
        self._registered.add(descriptor)

    def unregister(self, descriptor: int) -> None:
        self._registered.remove(descriptor)

    def poll(self, milliseconds: float) -> list[tuple[int, int]]:
        network = self._network
        assert milliseconds >= 0
        self._polls += 1
        assert self._polls < 10_000, "it polls for ever"
        lines = {it: network.lines[it] for it in self._registered}
        # A descriptor that its connection has left is closed, which `poll` reports at once.
        answers = {it: line.answers_at if line.fileno() == it else network.now for it, line in lines.items()}
        until = network.now + milliseconds / 1_000
        network.now = max(network.now, min([until, *answers.values()]))
        return [(it, select.POLLIN) for it, at in answers.items() if at <= network.now]


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Outcome]]:
    """Posts one frame to each connection id over a network."""
    poster = ConnectionsApi("http://127.0.0.1:1/s", "us-east-1", lambda: SigningKeys("A", "s"))

    def post(network: Network, *connection_ids: str) -> list[Outcome]:
        for name in ("time", "select"):
            monkeypatch.setattr(connections_api, name, network)
        monkeypatch.setattr(connections_api, "HttpConnection", lambda _: Line(network, alone=True))
        monkeypatch.setattr(poster, "_endpoint", network)
        return poster.post([(connection_id, b"{}") for connection_id in connection_ids])

    return post


@pytest.fixture(params=["shortest", "longest"])
def pause(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """Half of the first pause before another try, in seconds: the shortest and the longest that chance gives."""
    longest = request.param == "longest"
    monkeypatch.setattr(random, "uniform", lambda least, most: most if longest else least)
    return 0.1 if longest else 0.02


def some(count: int) -> list[str]:
    return [f"c{number}" for number in range(count)]


Post = Callable[..., list[Outcome]]


def test_quick_receivers_are_posted_to_four_at_a_time(post: Post) -> None:
    network = Network(lambda *_: 0.001)
    assert post(network, *some(10)) == ["delivered"] * 10
    assert [network.begun_by(at) for at in (0.0, 0.001, 0.002)] == [4, 8, 10]


def test_as_many_as_there_are_kept_connections_are_posted_to_at_once(post: Post) -> None:
    network = Network(lambda *_: 0.001, idle=7)
    post(network, *some(10))
    assert network.begun_by(0.0) == 7


def test_while_no_answer_comes_for_two_milliseconds_twice_as_many_are_under_way_up_to_64(post: Post) -> None:
    network = Network(lambda *_: 1.0)
    assert post(network, *some(100)) == ["delivered"] * 100
    begun = [network.begun_by(at) for at in (0.001999, 0.002, 0.004, 0.006, 0.008, 0.5, 1.0)]
    assert begun == [4, 8, 16, 32, 64, 64, 68]


def test_a_receiver_that_answers_within_two_milliseconds_makes_no_more_be_under_way(post: Post) -> None:
    network = Network(lambda *_: 0.0019)
    post(network, *some(40))
    assert len(network.starts()) == 10


def test_a_post_without_an_answer_is_given_up_after_two_seconds_and_tried_again_until_three(
    post: Post, pause: float
) -> None:
    network = Network(lambda *_: NEVER)
    assert post(network, "a") == ["failed"]
    assert network.times("a") == [0.0, pytest.approx(2.0 + 2 * pause)]
    assert network.given_up == [2.0, 3.0]
    assert round(network.now - 1_000.0, 6) == 3.0


def test_an_answer_within_two_seconds_counts_and_a_later_one_does_not(post: Post) -> None:
    network = Network(lambda receiver, _: 1.999 if receiver == "a" else 2.001)
    assert post(network, "a", "b") == ["delivered", "failed"]


def test_a_receiver_that_fails_is_asked_three_times_with_pauses_that_double(post: Post, pause: float) -> None:
    network = Network(lambda *_: (0.0, 503))
    assert post(network, "a") == ["failed"]
    assert network.times("a") == pytest.approx([0.0, 2 * pause, 6 * pause])
    assert network.given_up == []


def test_the_pauses_of_many_that_fail_at_once_differ(post: Post) -> None:
    network = Network(lambda receiver, number: (0.0, 200 if number else 503))
    assert post(network, *some(30)) == ["delivered"] * 30
    again = [network.times(it)[1] for it in some(30)]
    assert len(set(again)) > 20
    assert 0.04 <= min(again) < 0.08 < max(again) <= 0.2


def test_a_try_again_waits_for_its_pause_alone(post: Post, pause: float) -> None:
    """The others are posted to meanwhile, and the batch ends with the last answer, not with the budget."""
    network = Network(lambda receiver, number: (0.001, 200) if receiver != "a" or number else (0.0, 429))
    assert post(network, "a", *some(20)) == ["delivered"] * 21
    assert network.times("a") == pytest.approx([0.0, 2 * pause])
    assert max(network.times(it)[0] for it in some(20)) < 0.01
    assert round(network.now - 1_000.0, 6) == pytest.approx(2 * pause + 0.001)


def test_a_kept_connection_that_broke_costs_no_try_and_no_time(post: Post) -> None:
    network = Network(lambda _, number: Stale("broke") if number == 0 else 0.0)
    assert post(network, "a") == ["delivered"]
    assert network.made == [(1_000.0, "a", False), (1_000.0, "a", True)]
    assert network.closed_idle == 1


def test_a_connection_of_its_own_that_breaks_counts_as_a_try(post: Post, pause: float) -> None:
    network = Network(lambda *_: ConnectionResetError("reset"))
    assert post(network, "a") == ["failed"]
    assert network.times("a") == pytest.approx([0.0, 2 * pause, 6 * pause])
    assert network.closed_idle == 0


def test_a_time_out_closes_the_kept_connections(post: Post) -> None:
    network = Network(lambda *_: NEVER)
    post(network, "a")
    assert network.closed_idle == 2


def test_what_has_no_turn_within_three_seconds_fails_without_a_request(
    post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    network = Network(lambda *_: NEVER)
    caplog.set_level("WARNING", "navietakie")
    assert post(network, *some(200)) == ["failed"] * 200
    assert "refused" not in caplog.text
    assert round(network.now - 1_000.0, 6) == 3.0
    assert len(network.made) == 128  # 64 at once, and 64 more after two seconds
    assert all(later - earlier < 2.01 for earlier, later in pairwise(network.starts()))


def test_look_ups_that_take_the_time_of_the_first_posts_end_with_the_budget(post: Post) -> None:
    network = Network(lambda *_: NEVER, look_up=0.7)
    assert post(network, *some(9)) == ["failed"] * 9
    assert round(network.now - 1_000.0, 6) <= 3.7


def test_a_connection_that_tries_another_address_is_followed(post: Post) -> None:
    network = Network(lambda *_: 0.01, moves=True)
    assert post(network, *some(3)) == ["delivered"] * 3
    assert round(network.now - 1_000.0, 6) == 0.01


@pytest.mark.parametrize(
    ("status", "expected"),
    [(199, "failed"), (200, "delivered"), (299, "delivered"), (300, "failed"), (409, "failed"), (410, "gone")],
)
def test_what_a_status_means(post: Post, status: int, expected: Outcome) -> None:
    network = Network(lambda *_: (0.0, status))
    assert post(network, "a") == [expected]
    assert network.times("a") == [0.0]


def test_a_receiver_without_an_answer_is_no_refusal_in_the_log(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING", "navietakie")
    post(Network(lambda *_: ConnectionResetError("reset")), "a")
    post(Network(lambda *_: (0.0, 503)), "a")
    assert "refused" not in caplog.text
    post(Network(lambda *_: (0.0, 403)), "a")
    assert "refused" in caplog.text
