"""What `make prove` plans, and what its report says; the rides themselves are driven on the running stack."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from clients import prove
from clients.command import Failed, whole
from clients.deployment import Deployment
from clients.proving.history import Booking, Event, Heard, History
from clients.proving.measures import Measures, quantile
from clients.proving.plan import plan_of
from clients.proving.report import Proof, dollars

NOTHING = {"driver": {"delivered": 0, "read": 0}, "passenger": {"delivered": 0, "read": 0}}


def proof(*broken: str, frames: tuple[Event, ...] = (), unread: tuple[str, ...] = ()) -> Proof:
    measures = Measures()
    measures.spans["ack"] += [0.01, 0.02, 0.5]
    measures.acknowledged |= {0: 2, 3: 1}
    measures.errors["booking_closed"] += 2
    measures.operations["message by WebSocket"] += 3
    return Proof(
        parameters={"rides": 1},
        measures=measures,
        seconds=4.0,
        connected_minutes=1.0,
        messages=3,
        calls=0,
        redactions=0,
        reconnects=0,
        rides_judged=1,
        steps_done=3,
        steps_planned=3,
        broken=broken,
        frames=frames,
        unread=unread,
    )


def test_a_seed_repeats_the_plan_and_another_makes_another() -> None:
    assert plan_of(1, 1, 50, 60) == plan_of(1, 1, 50, 60)
    assert plan_of(1, 1, 50, 60) != plan_of(2, 1, 50, 60) != plan_of(2, 2, 50, 60)


def test_every_ride_has_everything_in_it() -> None:
    deeds = Counter(step.deed for step in plan_of(7, 1, 50, 60))
    assert sum(count for deed, count in deeds.items() if deed.startswith("say")) == 50
    assert all(deeds[deed] >= 1 for deed in ("call", "cut", "redact"))
    assert deeds["close"] + deeds["mute"] == 1


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.95, 4), (0.25, 1)])
def test_a_quantile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert quantile([4, 1, 3, 2], share) == expected


def test_a_kept_promise_is_told_with_its_figures(tmp_path: Path) -> None:
    it = proof()
    assert it.kept
    assert it.times() == {"ack": {"count": 3, "p50": 20.0, "p95": 500.0, "p99": 500.0}}
    page = it.write(tmp_path)[1].read_text()
    for text in ("Every promise was kept", "booking_closed", "<svg", "message by WebSocket"):
        assert text in page


def test_a_broken_promise_is_named_with_its_frames_and_nothing_in_it_is_markup(tmp_path: Path) -> None:
    frame = {"type": "message", "message": {"seq": 7, "message": "<script>"}}
    heard = Heard(at=1, booking="prove-1", client="prove-1-driver", frame=frame)
    it = proof("prove-1: seq 7 is <gone>", frames=(heard,))
    assert not it.kept
    page = it.write(tmp_path)[1].read_text()
    assert "seq 7 is &lt;gone&gt;" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_what_could_not_be_judged_is_not_proven() -> None:
    assert not proof(unread=("prove-1",)).kept


def test_a_proof_that_was_stopped_says_how_far_it_had_got() -> None:
    assert replace(proof(), steps_planned=9).verdict().startswith("3 of 9 steps were done; ")


def test_the_price_is_that_of_the_operations_and_minutes() -> None:
    assert dollars({}, 0) == 0
    assert dollars({"message by WebSocket": 2}, 0) == 2 * dollars({"message by WebSocket": 1}, 0) > 0
    assert dollars({}, 4_000_000) == pytest.approx(1.0)


def test_it_says_first_what_it_will_do_and_does_nothing_unless_told_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Deployment("local", "http://localhost:1", "ws://localhost:1", "none")
    monkeypatch.setattr(Deployment, "find", lambda environment: found)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    for name in ("ENV", "YES", "RIDES", "MINUTES", "MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SystemExit, match="YES=1"):
        prove.main(["--rides", "5", "--seed", "3"])
    said = capsys.readouterr().out
    assert "5 rides at once, with 10 WebSockets" in said
    assert "$" in said
    assert "make prove ENV=local RIDES=5 MINUTES=1 MESSAGES=20 SEED=3" in said


@pytest.mark.parametrize("text", ["0", "-1", "x", "", "2001", "٣"])
def test_a_number_that_is_none_is_said_so(text: str) -> None:
    with pytest.raises(Failed, match="RIDES is a whole number from 1 to 2,000"):
        whole({"rides": text}, "rides", 1, 2_000)


def test_what_led_to_a_broken_promise_are_the_events_that_have_to_do_with_it() -> None:
    booking = Booking(messages=[], calls=[], head_seq=0, epoch=None, receipts=NOTHING)
    events: list[Event] = [
        Heard(at=at, booking="prove-1", client="prove-1-driver", frame={"type": "message", "seq": at}) for at in (7, 9)
    ]
    history = History(seed=1, events=events, bookings={"prove-1": booking})
    assert prove._led_to("prove-1: seq 7 is lost", history) == events[:1]
