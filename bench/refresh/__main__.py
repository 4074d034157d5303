"""Measure a refresh through the three DAGs beside the same work in plain Python: ``python -m bench.refresh``.

For each executor a system of its own: month by month, first through Airflow (the file is renamed into the landing
folder, then nothing but the endpoint is asked), then in one warm Python process, on the same machine with the same
servers running. The first two months warm both and are not counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from bench import system
from bench.memory import PeakMemory, measure_system
from bench.refresh.timeline import CHAIN, Seconds, measure_chain, measure_work
from bench.results import Measured, find_versions, read_load, write_results
from bench.system import BY_AIRFLOW, BY_PYTHON, RunningSystem, write_pair
from include.data.names import landing_folder
from include.pipelines.flight_delays.landing import read_flights, write_month
from include.settings import PROJECT_ROOT

FIGURE = "refresh_orchestration"
_EXECUTORS = ("stock", "warm")
# Whatever is imported at its first use is, after two, in the fitting processes of plain Python too.
_WARM_UP = 2


@dataclass(frozen=True)
class Round:
    """One month: through Airflow, the wall seconds in plain Python, and those of its steps that Airflow has too."""

    airflow: Seconds
    python_wall: float
    work: dict[str, float]


def _refresh_through_airflow(running: RunningSystem, month: Path) -> Seconds:
    landed = running.land(BY_AIRFLOW, month)
    served = running.wait_until_served(BY_AIRFLOW, month.stem)
    running.wait_until_idle()
    runs = {}
    for dag, _ in CHAIN:
        run = running.api.list_runs(f"{BY_AIRFLOW}.{dag}", limit=1)[0]
        runs[dag] = (run, running.api.list_tasks(run["dag_id"], run["dag_run_id"]))
    return measure_chain(landed, served, runs)


class PlainPython:
    """The process that does the same work step by step."""

    def __init__(self, running: RunningSystem) -> None:
        self._running = running
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.refresh.plain", BY_PYTHON],
            env=dict(running.env),
            cwd=PROJECT_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(running.site.logs_folder / "plain.log").open("wb"),
            text=True,
        )

    def refresh(self, month: Path) -> tuple[float, dict[str, float]]:
        """Wall seconds to the answer of the endpoint, and the seconds of the steps that it waits for."""
        assert self._process.stdin is not None and self._process.stdout is not None
        folder = landing_folder(self._running.site.settings, self._running.get_pipeline(BY_PYTHON))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / month.name).write_bytes(month.read_bytes())
        began = time.time()
        self._process.stdin.write(f"{month.stem}\n")
        self._process.stdin.flush()
        served = self._running.wait_until_served(BY_PYTHON, month.stem, self._check_alive)
        line = self._process.stdout.readline()
        return served - began, measure_work(json.loads(line), served)

    def _check_alive(self) -> None:
        if self._process.poll() is not None:
            said = (self._running.site.logs_folder / "plain.log").read_text()
            # At its end a library tells at length what it did not free.
            raise SystemExit(said.partition("nanobind: leaked")[0][-2000:])

    def end(self) -> None:
        """Let it go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


@contextmanager
def _run_plain(running: RunningSystem) -> Iterator[PlainPython]:
    # Its files are taken in by hand: Airflow must not work on them too.
    for dag, _ in CHAIN:
        running.pause(f"{BY_PYTHON}.{dag}")
    plain = PlainPython(running)
    try:
        yield plain
    finally:
        plain.end()


def _show(number: int, executor: str, seen: Round) -> None:
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in seen.airflow.parts.items())
    work = sum(seen.work.values())
    print(
        f"{executor:5} round {number}: {seen.airflow.wall:.2f} s ({parts}); plain Python {seen.python_wall:.2f} s, "
        f"{work:.2f} s of it in the chain's steps; longest waits {_list_longest(seen.airflow.waits)}",
        flush=True,
    )


def _list_longest(waits: Mapping[str, float]) -> str:
    longest = sorted(waits.items(), key=lambda wait: -wait[1])[:3]
    return ", ".join(f"{seconds:.2f} before {name}" for name, seconds in longest)


def _show_tasks(executor: str, rounds: Sequence[Round]) -> None:
    print(f"{executor}: seconds in each task of the chain, and of the same step in plain Python (medians)")
    for name in rounds[0].work:
        ours = median(seen.airflow.tasks[name] for seen in rounds if name in seen.airflow.tasks)
        print(f"  {name:22} {ours:6.2f} {median(seen.work[name] for seen in rounds):6.2f}")


def measure_executor(executor: str, months: Sequence[Path]) -> tuple[list[Round], float]:
    """Every month after the warm-up but the last, and the peak memory in MB, looked at during the last."""
    rounds = []
    with system.start(executor, write_pair) as running, _run_plain(running) as plain:
        for number, month in enumerate(months[:-1]):
            seen = Round(_refresh_through_airflow(running, month), *plain.refresh(month))
            if number >= _WARM_UP:
                rounds.append(seen)
                _show(number - _WARM_UP + 1, executor, seen)
        _show_tasks(executor, rounds)
        # Looking costs CPU time itself, so this refresh is not one of those that are timed.
        memory = PeakMemory(partial(measure_system, running.site))
        memory.start()
        _refresh_through_airflow(running, months[-1])
        return rounds, memory.end()


def make_rows(executor: str, rounds: Sequence[Round], peak_mb: float) -> list[Measured]:
    """The wall time beside plain Python's, and the orchestration in it."""

    def middle(values: Iterable[float]) -> float:
        return median(list(values))

    work = middle(sum(seen.work.values()) for seen in rounds)
    parts = {
        name: middle(seen.airflow.parts[name] for seen in rounds) for name in ("notice", "next_dag", "between_tasks")
    }
    parts["in_tasks_beyond_work"] = middle(seen.airflow.parts["in_tasks"] - sum(seen.work.values()) for seen in rounds)
    name = f"{executor} executor"
    return [
        Measured(
            measure=f"a refresh from its file's rename to the endpoint's answer, three DAGs, {name}",
            value=middle(seen.airflow.wall for seen in rounds),
            unit="s",
            peer="the same steps in plain Python: one warm process, and one for each of the fits side by side",
            peer_value=middle(seen.python_wall for seen in rounds),
            ratio_is="ours ÷ peer",
            peak_mb=peak_mb,
            parts={"work": work, **parts},
        ),
        Measured(
            measure=f"orchestration in it: wall time minus plain Python's wall time, {name}",
            value=middle(seen.airflow.wall - seen.python_wall for seen in rounds),
            unit="s",
            peer="none: it is what plain Python does not have",
            peak_mb=peak_mb,
            target="≤ 5 s",
            parts=parts,
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``bench/results/refresh_orchestration.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.refresh", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 10))
    parser.add_argument("--executors", nargs="+", default=_EXECUTORS, choices=_EXECUTORS)
    chosen = parser.parse_args(arguments)
    load = read_load()
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory() as folder:
        flights = read_flights()
        # After those that are timed one more, to look at memory.
        months = [write_month(month, Path(folder), flights) for month in range(1, _WARM_UP + chosen.rounds + 2)]
        for executor in chosen.executors:
            rows += make_rows(executor, *measure_executor(executor, months))
    versions = find_versions("apache-airflow", "mlflow", "great-expectations", "scikit-learn")
    write_results(FIGURE, rows, load, versions)


if __name__ == "__main__":
    main()
