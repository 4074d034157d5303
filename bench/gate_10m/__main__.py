"""Measure the gate over 10 million rows: ``python -m bench.gate_10m [--rows N] [--rounds N]``.

Each variant runs in a process of its own, the variants take turns, and a row says what was spent on reading and
checking, and by the whole process with its imports (medians of the rounds).
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.gate_10m.data import write_flights
from bench.gate_10m.rules import RULES
from bench.results import Measured, find_versions, read_load, write_results
from config.side_environments import prepare_python
from include.settings import PROJECT_ROOT

FIGURE = "gate_10m_cpu_vs_gx_pandas"
OURS = "tollgate"
PEERS = {
    "gx_pandas": "Great Expectations on pandas",
    "pandera": "pandera on pandas",
    "raw_duckdb": "hand-written DuckDB SQL (no report, no pages)",
}


@dataclass(frozen=True)
class Spent:
    """One process: CPU and wall seconds of the work, CPU of everything, peak resident memory in MB."""

    cpu: float
    wall: float
    whole_cpu: float
    peak_mb: float


def run_variant(python: str, variant: str, file: Path, folder: Path) -> Spent:
    """Run one variant and read what its process used. Exits when it did not pass every rule."""
    command = [python, "-m", "bench.gate_10m.variants", variant, str(file), str(folder)]
    with (folder / "errors.log").open("w") as errors:
        process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert process.stdout is not None
        lines = process.stdout.read().splitlines()
        # wait4 instead of wait: it says what this one process used.
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode or not lines:
        said = (folder / "errors.log").read_text()[-2000:]
        raise SystemExit(f"{shlex.join(command)} ended with {process.returncode}:\n{said}")
    said = json.loads(lines[-1])
    if said["passed"] != RULES:
        raise SystemExit(f"{variant} passed {said['passed']} of {RULES} rules; the comparison would be unfair")
    return Spent(said["cpu"], said["wall"], used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def make_rows(spent: dict[str, list[Spent]], rows: int) -> list[Measured]:
    """One row for each peer and kind of CPU."""
    peak = {variant: max(each.peak_mb for each in runs) for variant, runs in spent.items()}
    made = []
    for peer, name in PEERS.items():
        for field, what in (("cpu", "reading and checking"), ("whole_cpu", "the whole process with its imports")):
            asked = field == "cpu" and peer == "gx_pandas"
            made.append(
                Measured(
                    measure=f"gate over {rows:,} rows, {what}",
                    value=median(getattr(each, field) for each in spent[OURS]),
                    unit="CPU s",
                    peer=name,
                    peer_value=median(getattr(each, field) for each in spent[peer]),
                    ratio_is="peer ÷ ours",
                    peak_mb=peak[OURS],
                    peer_peak_mb=peak[peer],
                    target="ratio ≥ 3, peak ≤ 1 GB" if asked else "",
                )
            )
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``bench/results/gate_10m_cpu_vs_gx_pandas.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.gate_10m", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    pythons = dict.fromkeys((OURS, *PEERS), sys.executable) | {"pandera": prepare_python("bench")}
    load = read_load()
    spent: dict[str, list[Spent]] = {variant: [] for variant in pythons}
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        file = Path(folder) / "2013-01.parquet"
        write_flights(file, chosen.rows)
        for _ in range(chosen.rounds):
            for variant, python in pythons.items():
                used = run_variant(python, variant, file, Path(folder))
                spent[variant].append(used)
                print(
                    f"{variant:12} {used.cpu:7.2f} CPU s of work, {used.whole_cpu:7.2f} in all, "
                    f"{used.wall:7.2f} s wall, {used.peak_mb:6.0f} MB",
                    flush=True,
                )
    pandera = subprocess.run(
        [pythons["pandera"], "-c", "from importlib.metadata import version; print(version('pandera'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    versions = find_versions("great-expectations", "duckdb", "pandas") | {"pandera": pandera.stdout.strip()}
    write_results(FIGURE, make_rows(spent, chosen.rows), load, versions)


if __name__ == "__main__":
    main()
