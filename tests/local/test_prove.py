"""What `make prove` plans, and what its report says. The rides themselves are tested on the running stack."""

import json
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import jwt
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber

from clients import prove
from clients.command import Failed, whole
from clients.deployment import Deployment
from clients.proving import deployed
from clients.proving.deployed import FUNCTIONS, cold_starts
from clients.proving.history import Booking, Event, Heard, History, Rested
from clients.proving.keys import Keys, minting
from clients.proving.measures import Measures, quantile
from clients.proving.plan import plan_of
from clients.proving.processes import Process, Samples, descriptors_of, growth, running, sorted_out
from clients.proving.report import Proof, describe, dollars
from local.stack import ROOT, Stack
from navietakie.doors.identity import AUDIENCE

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


def test_the_same_seed_makes_the_same_plan_and_another_seed_another() -> None:
    assert plan_of(1, 1, 50, 60) == plan_of(1, 1, 50, 60)
    assert plan_of(1, 1, 50, 60) != plan_of(2, 1, 50, 60) != plan_of(2, 2, 50, 60)


def test_every_ride_has_messages_a_call_a_cut_a_redaction_and_an_order() -> None:
    deeds = Counter(step.deed for step in plan_of(7, 1, 50, 60))
    assert sum(count for deed, count in deeds.items() if deed.startswith("say")) == 50
    assert all(deeds[deed] >= 1 for deed in ("call", "cut", "redact"))
    assert deeds["close"] + deeds["mute"] == 1


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2), (0.95, 4), (0.25, 1)])
def test_a_quantile_is_a_value_that_was_measured(share: float, expected: float) -> None:
    assert quantile([4, 1, 3, 2], share) == expected


def test_the_report_of_a_kept_promise_has_the_figures(tmp_path: Path) -> None:
    it = proof()
    assert it.kept
    assert it.times() == {"ack": {"count": 3, "p50": 20.0, "p95": 500.0, "p99": 500.0}}
    page = it.write(tmp_path)[1].read_text()
    for text in ("Every promise was kept", "booking_closed", "<svg", "message by WebSocket"):
        assert text in page


def test_the_report_of_a_broken_promise_shows_its_events_and_escapes_them(tmp_path: Path) -> None:
    frame = {"type": "message", "message": {"seq": 7, "message": "<script>"}}
    heard = Heard(at=1, booking="prove-1", client="prove-1-driver", frame=frame)
    it = proof("prove-1: seq 7 is <gone>", frames=(heard,))
    assert not it.kept
    page = it.write(tmp_path)[1].read_text()
    assert "seq 7 is &lt;gone&gt;" in page
    assert "&lt;script&gt;" in page
    assert "<script>" not in page


def test_a_ride_that_could_not_be_judged_is_not_proven() -> None:
    assert not proof(unread=("prove-1",)).kept


def test_a_stopped_proof_says_how_many_steps_were_done() -> None:
    assert replace(proof(), steps_planned=9).verdict().startswith("3 of 9 steps were done; ")


def test_the_price_adds_up_operations_and_connected_minutes() -> None:
    assert dollars({}, 0) == 0
    assert dollars({"message by WebSocket": 2}, 0) == 2 * dollars({"message by WebSocket": 1}, 0) > 0
    assert dollars({}, 4_000_000) == pytest.approx(1.0)


def test_it_announces_what_it_will_do_and_does_nothing_without_consent(
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
def test_a_number_out_of_bounds_is_refused_with_the_bounds(text: str) -> None:
    with pytest.raises(Failed, match="RIDES is a whole number from 1 to 2,000"):
        whole({"rides": text}, "rides", 1, 2_000)


def test_a_broken_promise_is_shown_with_the_events_that_name_the_same_id_or_sequence() -> None:
    booking = Booking(messages=[], calls=[], head_seq=0, epoch=None, receipts=NOTHING)
    who: Any = {"booking": "prove-1", "client": "prove-1-driver"}
    heard: list[Event] = [
        Heard(at=at, **who, frame={"type": "message", "message": {"seq": at, "client_message_id": f"driver-m-{at}"}})
        for at in (7, 9, 70)
    ]
    rested = Rested(at=99, **who, floor=0, messages=({"seq": 7, "message": "driver-m-7"},), receipts={}, call=None)
    history = History(seed=1, events=[*heard, rested], bookings={"prove-1": booking})
    assert prove.events_about("prove-1: seq 7 is lost", history) == heard[:1]
    assert prove.events_about("prove-1: seq 3 and 4 both hold ('driver', 'driver-m-9')", history) == heard[1:2]
    assert prove.events_about("prove-1: prove-1-driver rests with nothing", history) == [*heard, rested]
    assert describe(rested)["messages"] == [7]


def test_a_token_is_kept_until_it_is_dropped_and_then_renewed() -> None:
    made = iter("abc")
    keys = Keys(lambda role: f"{role}-{next(made)}")
    assert [keys.of("driver"), keys.of("driver"), keys.of("passenger")] == ["driver-a", "driver-a", "passenger-b"]
    keys.drop("driver")
    keys.drop("driver")
    assert (keys.of("driver"), keys.renewed) == ("driver-c", 1)


def test_a_deployment_without_tokens_gets_none() -> None:
    keys = Keys(None)
    assert keys.of("driver") is None
    keys.drop("driver")
    assert keys.renewed == 0


@pytest.mark.parametrize(("seconds", "life"), [(300, 100), (6, 15)])
def test_a_token_expires_several_times_in_a_ride_unless_the_ride_is_short(seconds: float, life: int) -> None:
    minted = jwt.decode(minting("s" * 64, "prove-1", seconds)("driver"), "s" * 64, ["HS256"], audience=AUDIENCE)
    assert minted["exp"] - minted["iat"] == life


def test_every_kind_of_order_is_in_the_plans() -> None:
    ordered = {step.deed for ride in range(30) for step in plan_of(7, ride, 5, 60) if step.who == "system"}
    assert ordered == {"close", "mute", "revoke"}


MB = 2**20
AWS, WORKER, OTHER = 20, 21, 22


def a_stack(folder: Path) -> Stack:
    (folder / "embedded.lock").write_text(json.dumps({"pid": AWS, "port": 1}))
    return Stack(
        home=str(folder),
        url="http://localhost:1",
        websocket_url="ws://localhost:1/ws",
        aws="http://127.0.0.1:2",
        region="us-east-1",
        auth_mode="none",
        rest_api="r",
        websocket_api="w",
        stage="local",
        outputs={},
        pid=10,
    )


def test_the_processes_of_a_stack_are_told_apart(tmp_path: Path) -> None:
    worker = "python /x/ministack-lambda-navietakie-websocket-local-1/_worker.py"
    processes = [Process(10, 1, MB, "run"), Process(AWS, 10, MB, "aws"), Process(WORKER, AWS, MB, worker)]
    processes += [Process(OTHER, AWS, MB, "rm -rf"), Process(23, 1, MB, worker)]
    names, workers = sorted_out(a_stack(tmp_path), processes)
    assert names == {10: "front door", AWS: "embedded AWS", WORKER: "functions", os.getpid(): "the proof itself"}
    assert workers == {WORKER}


def test_this_very_process_is_among_those_that_run_with_its_memory_and_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")  # what a terminal is wide is no limit of a command
    (own,) = (it for it in running() if it.pid == os.getpid())
    assert own.rss > 10 * MB
    assert len(own.command) > 20
    if Path("/proc").exists():
        assert (descriptors_of(own.pid) or 0) > 2
    assert descriptors_of(2**31 - 1) is None


def test_a_process_of_a_function_that_was_not_there_at_first_is_a_cold_start() -> None:
    samples = Samples()
    for at, workers in enumerate([{1, 2}, {1, 2, 3}, {3, 4}]):
        samples.take(at, dict.fromkeys(workers, "functions"), [Process(it, 0, MB, "") for it in workers], workers)
    assert samples.started == 2
    assert samples.totals()["functions"]["rss"] == [(0, 2 * MB), (1, 3 * MB), (2, 2 * MB)]


def test_growth_ignores_the_warm_up() -> None:
    assert growth([(at, value) for at, value in enumerate([9, 9, 1, 3, 5, 5, 5, 5, 4, 8])]) == (2, 6)
    assert growth([(0, 1)]) is None


def test_the_report_draws_what_the_processes_held(tmp_path: Path) -> None:
    samples = Samples()
    for at in range(10):
        samples.take(
            at, {1: "front door", 2: "functions"}, [Process(1, 0, 50 * MB, ""), Process(2, 0, 9 * MB, "")], {2}
        )
    it = replace(proof(), samples=samples, cold_starts=3, renewed=4, runs={"release": "abc-1"})
    as_json, page = (file.read_text() for file in it.write(tmp_path))
    assert json.loads(as_json)["processes"]["front door"]["rss"][9] == [9, 50 * MB]
    assert json.loads(as_json)["versions"]["release"] == "abc-1"
    assert "<td>front door</td><td>MB</td><td>50</td><td>50</td><td>+0</td>" in page
    assert page.count("<svg") >= 4
    assert "<td>Cold starts seen</td><td>3</td>" in page


def test_cold_starts_of_an_account_are_counted_in_its_functions_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    logs: Any = boto3.client("logs", aws_access_key_id="a", aws_secret_access_key="b")
    monkeypatch.setattr(boto3, "client", lambda service: {"logs": logs}[service])
    line = {"message": "REPORT RequestId: 1 Init Duration: 300.00 ms"}
    with Stubber(logs) as stub:
        for name in FUNCTIONS:
            asked = {
                "logGroupName": f"/aws/lambda/navietakie-{name}-staging",
                "startTime": 5_000,
                "filterPattern": '"Init Duration"',
            }
            stub.add_response("filter_log_events", {"events": [line], "nextToken": "2"}, asked)
            stub.add_response("filter_log_events", {"events": [line, line]}, {**asked, "nextToken": "2"})
        assert cold_starts("staging", 5.0) == 12
        stub.add_client_error("filter_log_events", "AccessDeniedException")
        assert cold_starts("staging", 5.0) is None


def test_the_locked_versions_are_reported_even_if_the_local_stack_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def failing(service: str, **_: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:2")

    monkeypatch.setattr(boto3, "client", failing)
    monkeypatch.setattr(deployed, "aws_of", lambda *_: {})
    told = deployed.what_runs("local", tmp_path)
    assert told["release"].startswith("unknown: ")
    assert re.fullmatch(r"MiniStack \d+\.\d+\.\d+", told["embedded AWS"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", told["boto3 in the layer"])


def test_every_log_group_that_is_searched_belongs_to_a_function_of_the_template() -> None:
    template = (ROOT / "template.yaml").read_text()
    assert all(f"/aws/lambda/navietakie-{name}-${{Environment}}" in template for name in FUNCTIONS)
