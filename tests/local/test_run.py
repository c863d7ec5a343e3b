"""`make run` checks its command line before it starts anything."""

import asyncio
import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from local import run
from local.stack import ROOT


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--port", "99999", "PORT is a number up to 65535, not 99999"),
        ("--port", "80x", "PORT is a number up to 65535, not 80x"),
        ("--port", "-1", "PORT is a number up to 65535, not -1"),
        ("--auth-mode", "foo", "AUTH_MODE is none or jwt, not foo"),
        ("--backend-url", "foo", "BACKEND_URL is http://… or https://… without ? and #, not foo"),
        (
            "--backend-url",
            "http://a/?b",
            "BACKEND_URL is http://… or https://… without ? and #, not http://a/?b",
        ),
    ],
)
def test_an_odd_setting_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, text: str, said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["run", "--home", str(tmp_path), f"{option}={text}"])
    with pytest.raises(SystemExit) as end:
        run.main()
    assert end.value.code == said
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_may_not_be_opened_is_refused_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def listen(port: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(run, "listen", listen)
    with pytest.raises(SystemExit, match=r"PORT=80 cannot be opened: .*Permission denied"):
        run.port_number("80")


def test_a_setting_that_the_template_accepts_is_accepted() -> None:
    for url in ("", "http://127.0.0.1:9000", "https://backend.example.com/rides/"):
        assert run.backend_url(url) == url
    assert [run.auth_mode(each) for each in ("", "none", "jwt")] == ["", "none", "jwt"]
    assert run.port_number("0") == 0


def test_a_full_disk_is_named_as_the_reason_in_one_line(tmp_path: Path) -> None:
    # No file may grow: as on a full disk. What it prints goes to a pipe.
    script = 'ulimit -f 0; exec "$0" -m local.run --port 0 --home "$1"'
    ended = subprocess.run(
        ["sh", "-c", script, sys.executable, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1
    assert ended.stdout.strip() == f"Nothing can be written below {tmp_path}: {os.strerror(errno.EFBIG)}"
    assert ended.stderr == ""


def test_a_disk_that_fills_up_is_told_once_and_so_is_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tries = iter([None, errno.ENOSPC, errno.ENOSPC, errno.EACCES, None])

    def write(self: Path, data: bytes) -> int:
        try:
            failure = next(tries)
        except StopIteration:
            raise EOFError from None
        if failure:
            raise OSError(failure, os.strerror(failure))
        return len(data)

    monkeypatch.setattr(Path, "write_bytes", write)
    monkeypatch.setattr(run, "SPACE_SECONDS", 0)
    with pytest.raises(EOFError):
        asyncio.run(run.watch_space(tmp_path))
    first, _, end = capsys.readouterr().out.splitlines()
    assert first == f"Nothing can be written below {tmp_path}: No space left on device."
    assert end == f"There is space below {tmp_path} again"
