"""How log lines are shown, and how a worker's lines get into the file."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import logs
from local.stack import ROOT, Stack


def test_a_structured_line_is_shown_with_its_message_and_other_fields() -> None:
    line = {"level": "INFO", "message": "served", "service": "navietakie-send-message", "seq": 3, "detail": None}
    assert logs.readable(json.dumps(line)) == "INFO    served seq=3"


def test_an_exception_is_shown_below_its_line() -> None:
    line = {"level": "ERROR", "message": "failed", "exception": "Traceback …\nValueError"}
    assert logs.readable(json.dumps(line)) == "ERROR   failed\nTraceback …\nValueError"


def test_metrics_are_not_shown() -> None:
    assert logs.readable(json.dumps({"_aws": {"CloudWatchMetrics": []}, "Served": 1})) == ""


def test_other_lines_are_shown_as_they_are() -> None:
    assert logs.readable("plain") == "plain"
    assert logs.readable("[1, 2]") == "[1, 2]"


def test_a_workers_lines_get_into_the_file_with_its_name(tmp_path: Path) -> None:
    file = logs.file_in(tmp_path)
    code = "import sys; print('one', file=sys.stderr); sys.stderr.write('tw'); sys.stderr.write('o\\n')"
    worker = {
        "PYTHONPATH": str(ROOT / "local" / "worker"),
        "_LAMBDA_FUNCTION_ARN": "arn",
        "AWS_LAMBDA_FUNCTION_NAME": "navietakie-send-message-local",
        "NAVIETAKIE_FUNCTION_LOG": str(file),
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run([sys.executable, "-c", code], env=worker, capture_output=True, text=True)
    assert done.stderr == "one\ntwo\n"
    assert file.read_text() == "navietakie-send-message-local\tone\nnavietakie-send-message-local\ttwo\n"

    async def first_line() -> str:
        return await anext(logs.follow(tmp_path))

    assert asyncio.run(first_line()).endswith(" send-message one")


def test_the_lines_of_a_new_start_are_shown_too(tmp_path: Path) -> None:
    file = logs.file_in(tmp_path)
    file.write_text("navietakie-get-message-local\ta long line of the last run\n")

    async def last_line() -> str:
        lines = logs.follow(tmp_path)
        await anext(lines)
        file.write_text("navietakie-get-message-local\tnew\n")
        return await asyncio.wait_for(anext(lines), 30)

    assert asyncio.run(last_line()).endswith(" get-message  new")


def test_make_logs_says_that_it_waits_for_a_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Stack, "read", lambda: None)
    monkeypatch.setattr(logs, "HOME", tmp_path)
    with pytest.raises(FileNotFoundError):
        asyncio.run(logs.show())
    assert capsys.readouterr().err == "Nothing runs; waiting for `make run`\n"
