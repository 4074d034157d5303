"""Measure what capturing costs: CPU of a request, from the first request until all that was captured is Parquet.

Three endpoints of one worker, alike but for the share that they capture, take turns: there and back, so that what
drifts evenly meets all alike. CPU is that of a whole process tree over the whole run, the same wall time for each; what
a converter that ended had used is its worker's, who waited for it.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from bench.endpoint.bodies import write_bodies
from bench.endpoint.measure import measure_window
from bench.endpoint.model import NO_CAPTURE, Trained, package_model, train_model
from bench.endpoint.plans import deploy, plan_tollgate
from bench.endpoint.servers import Plan, Running, read_version, start, wait_for_answer
from bench.endpoint.spent import count_cpu, list_tree, measure_peak, read_cpu, share_cpu
from bench.endpoint.wrk import Load, prepare_wrk
from bench.memory import PeakMemory
from bench.results import Measured, find_versions, read_load, write_results
from include.captured import list_captured, locate_captured
from include.declaration.delivery import DataCapture
from include.serving.capture.folder import list_segments
from include.serving.capture.segment import read_segment
from include.settings import load_settings

FIGURE = "endpoint_capture_cpu"
OFF, DEFAULT, ALL = "off", "default", "all"
_DECLARED = DataCapture()
_CAPTURES = {OFF: NO_CAPTURE, DEFAULT: _DECLARED, ALL: DataCapture(initial_sampling_percentage=100.0)}
_CALLERS = 8
# A segment is closed after a minute, also while others have their turn, and starting a converter costs the same for few
# requests as for many. From the beginning of one turn to the end of the next are at most four windows: of this length
# they fit into the minute, and a segment holds two turns. Under a load that never rests it holds more, so the figure
# errs against us.
_WINDOW_SECONDS = 14
_MORE_THAN_ROTATE = 30.0
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds of a request, and MB at most, the converter's included."""

    cpu_ms: float
    peak_mb: float


def _plan(kind: str, trained: Trained, folder: Path) -> Plan:
    model = package_model(trained, folder / "models" / kind, _CAPTURES[kind])
    deploy(folder / kind, trained.pipeline.name, {"1": model})
    return plan_tollgate(kind, trained.pipeline.name, folder / kind)


def holds_records(captured: Path) -> bool:
    """Whether anything captured is not Parquet yet."""
    try:
        return any(map(read_segment, list_segments(captured)))
    except FileNotFoundError:  # converted while it was looked at
        return True


def wait_until_converted(running: Running, captured: Path) -> None:
    """Wait until nothing is left to convert and the converter is gone. Ends the bench when that takes too long."""
    deadline = time.monotonic() + _DECLARED.rotate_seconds + _MORE_THAN_ROTATE
    while len(list_tree(running.pid)) > 1 or holds_records(captured):
        if time.monotonic() > deadline:
            raise SystemExit(f"{running.name} does not convert what it captured; see {running.log}")
        time.sleep(_LOOK_SECONDS)


def check_captured(kind: str, captured: Path, facts: Mapping[str, object], answered: int) -> None:
    """Ends the bench unless the endpoint captured its share of what it ``answered``, and all that is Parquet."""
    rows = sum(pq.ParquetFile(path).metadata.num_rows for path in list_captured(captured))
    share = _CAPTURES[kind].initial_sampling_percentage if _CAPTURES[kind].enable_capture else 0.0
    fits = math.isclose(rows, answered * share / 100, rel_tol=0.1)
    if not fits or facts["captured"] != rows or facts["not_captured"]:
        raise SystemExit(f"{kind}: {rows} rows of Parquet for {answered} requests at {share:g} %, and it says {facts}")


def measure_capture(seconds: int, rounds: int, folder: Path) -> dict[str, Cost]:
    """``rounds`` times there and back, with windows of ``seconds``; then wait until all is Parquet."""
    program = prepare_wrk()
    trained = train_model(load_settings({"TOLLGATE_HOME": str(folder / "home")}))
    bodies = write_bodies(trained.requests, 1, folder / "bodies.txt")
    captured = {
        kind: locate_captured(load_settings({"TOLLGATE_HOME": str(folder / kind)}), trained.pipeline.name)
        for kind in _CAPTURES
    }
    loads: dict[str, list[Load]] = {kind: [] for kind in _CAPTURES}
    with contextlib.ExitStack() as stack:
        plans = [_plan(kind, trained, folder) for kind in _CAPTURES]
        running = {plan.name: stack.enter_context(start(plan, folder / "logs")) for plan in plans}
        for server in running.values():
            wait_for_answer(server, bodies.read_text().splitlines()[0])
        memory = {kind: PeakMemory(partial(measure_peak, server.pid)) for kind, server in running.items()}
        for each in memory.values():
            each.start()
        before = {kind: read_cpu(server.pid) for kind, server in running.items()}
        for kind in [*_CAPTURES, *reversed(_CAPTURES)] * rounds:
            window = measure_window(program, running[kind], bodies, _CALLERS, seconds)
            loads[kind].append(window.load)
            print(f"{kind:8} {window.cpu_ms:.4f} CPU ms, {window.load.rate:,.0f}/s", flush=True)
        for kind, server in running.items():
            wait_until_converted(server, captured[kind])
        used = {kind: count_cpu(before[kind], read_cpu(server.pid)) for kind, server in running.items()}
        peaks = {kind: each.end() for kind, each in memory.items()}
        for kind, server in running.items():
            answered = sum(load.requests for load in loads[kind])
            check_captured(kind, captured[kind], read_version(server.port)["capture"], answered)
    return {
        kind: Cost(
            share_cpu(used[kind], sum(load.requests for load in seen), _CALLERS * len(seen)),
            peaks[kind],
        )
        for kind, seen in loads.items()
    }


def make_rows(costs: Mapping[str, Cost]) -> list[Measured]:
    """The declared default, which the bar is for, and every request captured."""
    default = f"captured at the default sampling of {_DECLARED.initial_sampling_percentage:g} %"
    wordings = {DEFAULT: (default, "ratio ≤ 1.05"), ALL: ("captured every time (100 %; no bar)", "")}
    return [
        Measured(
            measure=f"CPU of a raw one-row request, {how}, the conversion to Parquet included",
            value=costs[kind].cpu_ms,
            unit="CPU ms",
            peer="the same load without capture",
            peer_value=costs[OFF].cpu_ms,
            ratio_is="ours ÷ peer",
            peak_mb=costs[kind].peak_mb,
            peer_peak_mb=costs[OFF].peak_mb,
            target=target,
        )
        for kind, (how, target) in wordings.items()
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``bench/results/endpoint_capture_cpu.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.endpoint.capture", description=__doc__)
    parser.add_argument("--seconds", type=int, default=_WINDOW_SECONDS)
    parser.add_argument("--rounds", type=int, default=2)
    chosen = parser.parse_args(arguments)
    load = read_load()
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        rows = make_rows(measure_capture(chosen.seconds, chosen.rounds, Path(folder)))
    write_results(FIGURE, rows, load, find_versions("uvicorn", "pyarrow"))


if __name__ == "__main__":
    main()
