"""How much CPU does a new container's first request take, if the start made things ready, and if it did not?

While Lambda starts a container, it gives it whole cores. A request gets only the share that its memory pays for. So a
second of CPU saved in a request is worth several seconds of CPU in the start.
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.cold_start import built, compiled, installed
from benchmarks.gateway import gateway, pin
from benchmarks.report import Bars, Goal, Report, progress
from benchmarks.warm_path import ANSWERS, Context, environment, rest_event

READY, UNREADY, PLAIN = (
    "NavieTakie, ready at the start",
    "the same, nothing made at the start",
    "and botocore's models as they come",
)
ROUNDS = 11


def answer_once() -> None:
    """Plays a container: prints the seconds of CPU of its start, and those of its first request."""
    pin(0)
    with contextlib.redirect_stdout(io.StringIO()):
        from send_message.app import handler

        begun = time.process_time()
        answer = handler(rest_event(), Context())
        took = time.process_time() - begun
    assert answer["statusCode"] == 201, answer
    print(begun, took)


def main() -> None:
    report = Report(
        "first-answer",
        "How much CPU does a new container's first message take?",
        ("container", "until it has started, ms", "its first message, ms", "start and message, ms"),
    )
    taken: dict[str, list[tuple[float, float]]] = {READY: [], UNREADY: [], PLAIN: []}
    with gateway(core=1, answers=ANSWERS) as port, TemporaryDirectory() as folder:
        trimmed = built(Path(folder, "trimmed"), "host")
        whole = compiled(installed(Path(folder, "bare")), Path(folder, "whole"))
        variables = environment(port)
        for _ in progress(range(ROUNDS), "first answer, rounds"):
            for name, layer, starts in (
                (READY, trimmed, "on-demand"),
                (UNREADY, trimmed, ""),
                (PLAIN, whole, ""),
            ):
                done = subprocess.run(
                    [sys.executable, "-B", "-m", "benchmarks.first_answer", "once"],
                    env=os.environ | variables | {"PYTHONPATH": str(layer), "AWS_LAMBDA_INITIALIZATION_TYPE": starts},
                    stdout=subprocess.PIPE,
                    text=True,
                    check=True,
                )
                start, first = map(float, done.stdout.split()[-2:])
                taken[name].append((start, first))
    starts = {name: statistics.median(start for start, _ in times) for name, times in taken.items()}
    firsts = {name: statistics.median(first for _, first in times) for name, times in taken.items()}
    sums = {name: statistics.median(map(sum, times)) for name, times in taken.items()}
    ratio = statistics.median(mine / other for (_, mine), (_, other) in zip(taken[READY], taken[PLAIN], strict=True))
    report.rows = [(name, starts[name] * 1e3, firsts[name] * 1e3, sums[name] * 1e3) for name in taken]
    report.goals = [
        Goal("first message of a container, of that with nothing ready and no model trimmed", "≤", 0.2, ratio)
    ]
    report.bars = [
        Bars("the first message", " ms", [(name, first * 1e3) for name, first in firsts.items()]),
        Bars("start and first message", " ms", [(name, both * 1e3) for name, both in sums.items()]),
    ]
    report.notes = [
        "send_message as built for Lambda, a message by REST with a token to two receivers; AWS answers at once.",
        "Each in a fresh Python, in turns; medians, and the ratio is the median over the turns.",
    ]
    report.publish()


if __name__ == "__main__":
    answer_once() if len(sys.argv) > 1 else main()
