"""`make stop` leaves nothing that `make run` has started, even if `make run` itself was killed."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local import stop
from local.embedded import LOCK

HOLDER = """
import fcntl, json, os, signal, sys
lock = open(sys.argv[1], "a+")
fcntl.flock(lock, fcntl.LOCK_EX)
lock.write(json.dumps({"pid": os.getpid(), "port": 0}) if lock.name.endswith("embedded.lock") else str(os.getpid()))
lock.flush()
print("held", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("left", [["run.lock"], ["run.lock", LOCK], [LOCK]], ids=", ".join)
def test_every_process_that_holds_a_lock_of_the_folder_is_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], left: list[str]
) -> None:
    for lock in ("run.lock", LOCK):  # as earlier runs leave them
        (tmp_path / lock).touch()
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path / lock], stdout=subprocess.PIPE) for lock in left
    ]
    try:
        assert [each.stdout and each.stdout.readline() for each in holders] == [b"held\n"] * len(left)
        stop.main(tmp_path)
        assert [each.wait(30) for each in holders] == [-signal.SIGTERM] * len(left)
    finally:
        for each in holders:
            each.kill()
            each.wait()
    assert capsys.readouterr().out == "Stopped\n"
    stop.main(tmp_path)
    assert capsys.readouterr().out == "Nothing runs here\n"


def test_in_a_new_folder_there_is_nothing_to_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stop.main(tmp_path)
    assert capsys.readouterr().out == "Nothing runs here\n"
