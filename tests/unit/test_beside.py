"""Work that runs beside other work. Before a handler returns, it waits for it."""

import threading
from typing import Any

import pytest

from navietakie import beside
from navietakie.doors.serve import serve
from tests.fakes import invocations


def test_its_result_is_waited_for() -> None:
    go = threading.Event()
    begun = beside.start(lambda: go.wait(10))
    assert not begun.done()
    go.set()
    assert begun.result()


def test_what_it_raises_is_raised_where_its_result_is_asked_for() -> None:
    begun = beside.start(lambda: {}["missing"])
    beside.settle()
    with pytest.raises(KeyError, match="missing"):
        begun.result()


def test_there_is_one_thread_and_what_is_started_later_runs_later() -> None:
    go, done = threading.Event(), list[str]()
    beside.start(lambda: go.wait(10) and done.append("first"))
    beside.start(lambda: done.append("second"))
    threading.Timer(0.05, go.set).start()
    beside.settle()
    assert done == ["first", "second"]


def test_nothing_runs_any_more_when_a_handler_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "local")
    monkeypatch.setenv("AUTH_MODE", "none")
    done: list[bool] = []
    main_is_through = threading.Event()

    def handle(_: Any) -> Any:
        beside.start(lambda: done.append(main_is_through.wait(10)))
        threading.Timer(0.05, main_is_through.set).start()
        raise KeyError("whatever else goes wrong")

    event = invocations.rest("send_message", {"booking_code": "test", "sender": "driver", "message": "Hello"})
    answer = serve(event, invocations.Context(), rest={"POST /api/v1/send_message": handle})
    assert (answer["statusCode"], done) == (500, [True])
