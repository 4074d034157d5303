"""Measure how long our endpoint takes from its start to its first answer, and how much memory it has at most.

Looking at memory costs CPU time itself, so the start whose memory is looked at is not one of those that are timed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench.endpoint.bodies import write_bodies
from bench.endpoint.model import package_model, train_model
from bench.endpoint.plans import deploy, plan_tollgate
from bench.endpoint.servers import Plan, start, wait_for_answer
from bench.endpoint.spent import measure_peak
from bench.endpoint.wrk import prepare_wrk, run_load
from bench.memory import PeakMemory
from bench.results import Measured, find_versions, read_load, write_results
from include.settings import load_settings

FIGURE = "endpoint_start_seconds"
_WORK_SECONDS = 3
# The compiler is there for a fifth of a second.
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Starts:
    """Seconds of each timed start, and of another one the MB at most until its first answer and in all."""

    seconds: Sequence[float]
    first_mb: float
    peak_mb: float


def measure_starts(rounds: int, folder: Path) -> Starts:
    """Time ``rounds`` starts, then look at the memory of one that also answers small and large requests."""
    program = prepare_wrk()
    trained = train_model(load_settings({"TOLLGATE_HOME": str(folder / "home")}))
    model, name, logs = package_model(trained, folder / "model"), trained.pipeline.name, folder / "logs"
    bodies = {rows: write_bodies(trained.requests, rows, folder / f"{rows}.txt") for rows in (1, 10_000)}
    first = bodies[1].read_text().splitlines()[0]

    def plan_start(number: int) -> Plan:
        # A home of its own: the native code is made anew each time, as on a machine that never served.
        home = folder / f"start-{number}"
        deploy(home, name, {"1": model})
        return plan_tollgate("tollgate", name, home)

    seconds = []
    for number in range(rounds):
        plan = plan_start(number)
        began = time.monotonic()
        with start(plan, logs) as running:
            wait_for_answer(running, first)
            seconds.append(time.monotonic() - began)
        print(f"start {number + 1}: {seconds[-1]:.2f} s", flush=True)
    with start(plan_start(rounds), logs) as running:
        memory = PeakMemory(partial(measure_peak, running.pid), _LOOK_SECONDS)
        memory.start()
        wait_for_answer(running, first)
        first_mb = memory.end()
        for path in bodies.values():
            run_load(program, running.port, path, 8, _WORK_SECONDS)
        return Starts(seconds, first_mb, max(first_mb, measure_peak(running.pid)))


def make_rows(starts: Starts) -> list[Measured]:
    """The time, and the memory."""
    return [
        Measured(
            measure="the endpoint's process from its start to its first answer, native code compiled on the way",
            value=median(starts.seconds),
            unit="s",
            peer="",
            peak_mb=starts.first_mb,
            target="≤ 2 s",
        ),
        Measured(
            measure="peak resident memory (VmHWM) of the endpoint, from its start, the compiler's processes included, "
            "through requests of 1 and of 10,000 rows, 8 callers",
            value=starts.peak_mb,
            unit="MB",
            peer="",
            peak_mb=starts.peak_mb,
            target="≤ 150 MB",
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``bench/results/endpoint_start_seconds.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.endpoint.start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args(arguments)
    load = read_load()
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        rows = make_rows(measure_starts(chosen.rounds, Path(folder)))
    write_results(FIGURE, rows, load, find_versions("uvicorn"))


if __name__ == "__main__":
    main()
