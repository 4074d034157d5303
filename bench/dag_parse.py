"""Parsing the project's DAGs against parsing one empty DAG: ``python -m bench.dag_parse``.

Each parse is a process of its own, the variants take turns. ``whole`` is the CPU of the process, Airflow's own imports
included; ``files`` is the wall time of filling the DagBag alone, which is what the DAG processor pays.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.results import Measured, find_versions, read_load, write_results
from include.settings import PROJECT_ROOT

FIGURE = "dag_parse_vs_empty"
_LOAD = """
import json, resource, sys, time
from airflow.dag_processing.dagbag import DagBag
started = time.perf_counter()
bag = DagBag(sys.argv[1])
files = time.perf_counter() - started
assert not bag.import_errors, bag.import_errors
used = resource.getrusage(resource.RUSAGE_SELF)
print("RESULT" + json.dumps({"dags": len(bag.dags), "files": files, "whole": used.ru_utime + used.ru_stime,
                             "peak_mb": used.ru_maxrss / 1024}))
"""
_EMPTY = "from airflow.sdk import DAG\n\nwith DAG('empty', schedule=None):\n    pass\n"
_VARIANT = (
    "from include.pipelines.flight_delays.pipeline import PIPELINE as FLIGHTS\n"
    "from include.declaration import LocalTarget\n"
    "_DEPLOYMENT = FLIGHTS.deployment.model_copy(update={{'target': LocalTarget(port_offset={number})}})\n"
    "PIPELINE = FLIGHTS.model_copy(update={{'name': 'flights_{number}', 'deployment': _DEPLOYMENT}})\n"
)


def _load(folder: Path, home: Path, pipelines: Path) -> dict[str, float]:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT_ROOT / "plugins"),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "ERROR",
        "PYTHONPATH": str(PROJECT_ROOT),
        "TOLLGATE_HOME": str(home),
        "TOLLGATE_PIPELINES": str(pipelines),
    }
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(folder)], env=environment, capture_output=True, text=True, check=True
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    found: dict[str, float] = json.loads(line.removeprefix("RESULT"))
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and write ``bench/results/dag_parse_vs_empty.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.dag_parse")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(argv).rounds
    load = read_load()
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        empty = home / "empty"
        empty.mkdir()
        (empty / "empty.py").write_text(_EMPTY)
        many = home / "pipelines"
        for number in range(30):
            folder = many / f"flights_{number}"
            folder.mkdir(parents=True)
            (folder / "__init__.py").write_text("")
            (folder / "pipeline.py").write_text(_VARIANT.format(number=number))
        own = PROJECT_ROOT / "include" / "pipelines"
        variants = {"empty": (empty, own), "one": (PROJECT_ROOT / "dags", own), "thirty": (PROJECT_ROOT / "dags", many)}
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
        for number in range(rounds):
            for name, (dags, pipelines) in variants.items():
                seen[name].append(_load(dags, home, pipelines))
            print(f"round {number + 1} of {rounds}", flush=True)

    def middle(name: str, key: str) -> float:
        return statistics.median(run[key] for run in seen[name])

    rows = [
        Measured(
            measure="CPU of a process that parses the project's DAGs",
            value=middle("one", "whole"),
            unit="CPU s",
            peer="the same with one empty DAG",
            peer_value=middle("empty", "whole"),
            ratio_is="ours ÷ peer",
            peak_mb=middle("one", "peak_mb"),
            peer_peak_mb=middle("empty", "peak_mb"),
            target="ratio ≤ 1.3",
        ),
        Measured(
            measure=f"wall time of filling the DagBag with 30 pipelines ({middle('thirty', 'dags'):.0f} DAGs)",
            value=middle("thirty", "files"),
            unit="s",
            peer="one empty DAG",
            peer_value=middle("empty", "files"),
            ratio_is="ours ÷ peer",
            peak_mb=middle("thirty", "peak_mb"),
            peer_peak_mb=middle("empty", "peak_mb"),
            target="≤ 1 s",
        ),
    ]
    write_results(FIGURE, rows, load, find_versions("apache-airflow"))


if __name__ == "__main__":
    main()
