"""Measure what callers notice of a swap: twenty of them under load, beside the same load without any.

The windows take turns. In one with swaps, the pointer is replaced as soon as the one before is followed, so that a
model is being loaded, tried and swapped in for much of it.
"""

from __future__ import annotations

import argparse
import http.client
import json
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.endpoint.bodies import write_bodies
from bench.endpoint.model import make_model
from bench.endpoint.plans import deploy, plan_tollgate, point_at
from bench.endpoint.servers import Running, start, wait_for_answer
from bench.endpoint.wrk import Load, prepare_wrk, run_load
from bench.results import Measured, find_versions, read_load, write_results
from include.settings import load_settings

FIGURE = "endpoint_swap_failed"
_CALLERS = 8
_VERSIONS = ("1", "2")
_LOOK_SECONDS = 0.05
_FOLLOW_SECONDS = 30.0


@dataclass(frozen=True)
class Round:
    """The same load without swaps and with them."""

    before: Load
    during: Load
    swaps: int


def read_version(port: int) -> str:
    """The version that the endpoint serves."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/version")
        return str(json.loads(connection.getresponse().read())["version"])
    finally:
        connection.close()


def swap_again(home: Path, pipeline: str, running: Running) -> None:
    """Point at the other version and wait until it is served. Ends the bench when that takes too long."""
    served = read_version(running.port)
    wanted = next(version for version in _VERSIONS if version != served)
    point_at(home, pipeline, wanted)
    deadline = time.monotonic() + _FOLLOW_SECONDS
    while read_version(running.port) != wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"Version {wanted} was not served within {_FOLLOW_SECONDS:.0f} s; see {running.log}")
        time.sleep(_LOOK_SECONDS)


def measure_swaps(rounds: int, swaps: int, seconds: int, folder: Path) -> list[Round]:
    """``swaps`` a round, in a window of load that is at least ``seconds`` long, after one of the same without swaps."""
    program = prepare_wrk()
    model = make_model(load_settings({"TOLLGATE_HOME": str(folder / "home")}), folder / "models")
    name, home = model.pipeline.name, folder / "served"
    bodies = write_bodies(model.requests, 1, folder / "bodies.txt")
    deploy(home, name, model.folder, *_VERSIONS)
    seen = []
    with start(plan_tollgate("tollgate", name, home), folder / "logs") as running, ThreadPoolExecutor(1) as pool:
        wait_for_answer(running, bodies.read_text().splitlines()[0])
        run_load(program, running.port, bodies, _CALLERS, 1)
        for number in range(rounds):
            before = run_load(program, running.port, bodies, _CALLERS, seconds)
            window = pool.submit(run_load, program, running.port, bodies, _CALLERS, seconds)
            done = 0
            while done < swaps and not window.done():
                swap_again(home, name, running)
                done += 1
            seen.append(Round(before, window.result(), done))
            print(
                f"round {number + 1}: {done} swaps, p99 {before.p99_ms:.2f} ms before, {seen[-1].during.p99_ms:.2f} ms "
                f"during, {seen[-1].during.failed} of {seen[-1].during.requests} failed",
                flush=True,
            )
    return seen


def make_rows(rounds: Sequence[Round]) -> list[Measured]:
    """Failed requests of all rounds, and the 99th percentiles."""
    swaps = sum(each.swaps for each in rounds)
    return [
        Measured(
            measure=f"failed requests during {swaps} swaps under load, 8 callers of one row",
            value=sum(each.during.failed for each in rounds),
            unit="requests",
            peer=f"of {sum(each.during.requests for each in rounds):,} requests",
            target="0 in at least 20 swaps",
        ),
        Measured(
            measure="99th percentile while one swap follows the other, 8 callers of one row",
            value=median(each.during.p99_ms for each in rounds),
            unit="ms",
            peer="the same load without swaps",
            peer_value=median(each.before.p99_ms for each in rounds),
            ratio_is="ours ÷ peer",
            target="ratio ≤ 2",
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``bench/results/endpoint_swap_failed.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.endpoint.swaps", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--swaps", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=4)
    chosen = parser.parse_args(arguments)
    load = read_load()
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        rows = make_rows(measure_swaps(chosen.rounds, chosen.swaps, chosen.seconds, Path(folder)))
    write_results(FIGURE, rows, load, find_versions("uvicorn"))


if __name__ == "__main__":
    main()
