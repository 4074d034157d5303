"""Measure how long our endpoint takes from its start to its first answer, and its memory after real work."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from bench.endpoint.bodies import write_bodies
from bench.endpoint.model import make_model
from bench.endpoint.plans import deploy, plan_tollgate
from bench.endpoint.servers import start, wait_for_answer
from bench.endpoint.spent import measure_peak
from bench.endpoint.wrk import prepare_wrk, run_load
from bench.results import Measured, find_versions, read_load, write_results
from include.settings import load_settings

FIGURE = "endpoint_start_seconds"
_WORK_SECONDS = 2


def measure_starts(rounds: int, folder: Path) -> tuple[list[float], list[float]]:
    """Seconds to the first answer, and MB after small and large requests, of each start."""
    program = prepare_wrk()
    model = make_model(load_settings({"TOLLGATE_HOME": str(folder / "home")}), folder / "models")
    bodies = {rows: write_bodies(model.requests, rows, folder / f"{rows}.txt") for rows in (1, 10_000)}
    first = bodies[1].read_text().splitlines()[0]
    seconds, sizes = [], []
    for number in range(rounds):
        home = folder / f"start-{number}"
        # A home of its own: the native code is made anew each time, as on a machine that never served.
        deploy(home, model.pipeline.name, model.folder, "1")
        began = time.monotonic()
        with start(plan_tollgate("tollgate", model.pipeline.name, home), folder / "logs") as running:
            wait_for_answer(running, first)
            seconds.append(time.monotonic() - began)
            for path in bodies.values():
                run_load(program, running.port, path, 8, _WORK_SECONDS)
            sizes.append(measure_peak(running.pid))
            print(f"start {number + 1}: {seconds[-1]:.2f} s, {sizes[-1]:.0f} MB", flush=True)
    return seconds, sizes


def make_rows(seconds: Sequence[float], sizes: Sequence[float]) -> list[Measured]:
    """The time, and the memory."""
    return [
        Measured(
            measure="the endpoint's process from its start to its first answer, native code compiled on the way",
            value=median(seconds),
            unit="s",
            peer="",
            target="≤ 2 s",
        ),
        Measured(
            measure="peak resident memory (VmHWM) of the endpoint after requests of 1 and of 10,000 rows, 8 callers",
            value=max(sizes),
            unit="MB",
            peer="",
            peak_mb=max(sizes),
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
        rows = make_rows(*measure_starts(chosen.rounds, Path(folder)))
    write_results(FIGURE, rows, load, find_versions("uvicorn"))


if __name__ == "__main__":
    main()
