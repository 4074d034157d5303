"""Measure what callers notice of swaps: windows of load in which one follows the other, beside the same without any.

The windows take turns. In one with swaps the pointer is replaced as soon as the replacement before is followed, to its
very end, so that a model is being loaded, tried and swapped in for much of it. The two models differ.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench.endpoint.bodies import write_bodies
from bench.endpoint.model import agree, package_model, train_model, train_smaller
from bench.endpoint.plans import deploy, plan_tollgate, point_at
from bench.endpoint.servers import Running, ask, read_predictions, read_version, start, wait_for_answer
from bench.endpoint.wrk import Load, prepare_wrk, run_load
from bench.results import Measured, find_versions, read_load, write_results
from include.settings import load_settings

FIGURE = "endpoint_swap_failed"
_CALLERS = 8
_VERSIONS = ("1", "2")
# Of the second model; the first has a hundred, as declared.
_TREES = 90
_LEAST_SWAPS = 20
_LOOK_SECONDS = 0.05
_FOLLOW_SECONDS = 30.0


@dataclass(frozen=True)
class Round:
    """The same load without swaps and with them. ``swaps`` are those that were followed while the load went on."""

    before: Load
    during: Load
    swaps: int


def swap_again(home: Path, pipeline: str, running: Running) -> str:
    """Point at the other version, wait until it is served, and name it. Ends the bench when that takes too long."""
    served = read_version(running.port)["version"]
    wanted = next(version for version in _VERSIONS if version != served)
    point_at(home, pipeline, wanted)
    deadline = time.monotonic() + _FOLLOW_SECONDS
    while read_version(running.port)["version"] != wanted:
        if time.monotonic() > deadline:
            raise SystemExit(f"Version {wanted} was not served within {_FOLLOW_SECONDS:.0f} s; see {running.log}")
        time.sleep(_LOOK_SECONDS)
    return wanted


def check_versions(
    swap: Callable[[], str], running: Running, body: str, expected: Mapping[str, Sequence[float]]
) -> None:
    """Ends the bench unless each version answers as its own model, and so differently from the other."""
    if agree(*expected.values()):
        raise SystemExit("The two models answer alike: nobody could tell whether a swap took place.")
    for _ in expected:
        version = swap()
        answers = read_predictions(ask(running.port, body)[1])
        if not agree(answers, expected[version]):
            raise SystemExit(f"Version {version} answers {answers}, its model {expected[version]}")


def swap_until_end(window: Future[Load], swap: Callable[[], object]) -> int:
    """Swap until the load ends. How often it was done by then: the last swap may end after it, and does not count."""
    done = 0
    while True:
        swap()
        if window.done():
            return done
        done += 1


def measure_swaps(rounds: int, seconds: int, folder: Path) -> list[Round]:
    """In each round a window of load without swaps and one with them, of ``seconds`` each."""
    program = prepare_wrk()
    trained = train_model(load_settings({"TOLLGATE_HOME": str(folder / "home")}))
    models = dict(zip(_VERSIONS, (trained, train_smaller(trained, _TREES)), strict=True))
    name, home = trained.pipeline.name, folder / "served"
    deploy(home, name, {version: package_model(model, folder / version) for version, model in models.items()})
    bodies = write_bodies(trained.requests, 1, folder / "bodies.txt")
    body = bodies.read_text().splitlines()[0]
    seen = []
    with start(plan_tollgate("tollgate", name, home), folder / "logs") as running, ThreadPoolExecutor(1) as pool:
        wait_for_answer(running, body)
        swap = partial(swap_again, home, name, running)
        check_versions(swap, running, body, {version: model.predict(body) for version, model in models.items()})
        load = partial(run_load, program, running.port, bodies, _CALLERS, count_unnamed=True)
        load(1)
        for number in range(rounds):
            before = load(seconds)
            window = pool.submit(load, seconds)
            swaps = swap_until_end(window, swap)
            during = window.result()
            seen.append(Round(before, during, swaps))
            print(
                f"round {number + 1}: {swaps} swaps, p99 {before.p99_ms:.2f} ms before, {during.p99_ms:.2f} ms during, "
                f"{during.failed} of {during.requests} failed",
                flush=True,
            )
    return seen


def check_rounds(rounds: Sequence[Round]) -> None:
    """Ends the bench when there were too few swaps to say anything, or an answer did not name who gave it."""
    swaps = sum(each.swaps for each in rounds)
    if swaps < _LEAST_SWAPS:
        raise SystemExit(f"Only {swaps} swaps took place under load, of at least {_LEAST_SWAPS}: make it last longer.")
    unnamed = sum(each.before.unnamed + each.during.unnamed for each in rounds)
    if unnamed:
        raise SystemExit(f"{unnamed} answers did not name the version that gave them.")


def make_rows(rounds: Sequence[Round]) -> list[Measured]:
    """Failed requests of all rounds, and the 99th percentiles."""
    swaps = sum(each.swaps for each in rounds)
    return [
        Measured(
            measure=f"failed requests during {swaps} swaps between two models under load, 8 callers of one row",
            value=sum(each.during.failed for each in rounds),
            unit="requests",
            peer=f"of {sum(each.during.requests for each in rounds):,} requests",
            target=f"0 in at least {_LEAST_SWAPS} swaps",
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
    parser.add_argument("--seconds", type=int, default=4)
    chosen = parser.parse_args(arguments)
    load = read_load()
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        rounds = measure_swaps(chosen.rounds, chosen.seconds, Path(folder))
    check_rounds(rounds)
    write_results(FIGURE, make_rows(rounds), load, find_versions("uvicorn"))


if __name__ == "__main__":
    main()
