"""Memory of the idle system, program by program: ``python -m bench.idle_memory``.

The project's own pipeline, one month landed, its model served; measured once nothing has run for a while.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median

from bench import system
from bench.memory import PeakMemory, measure_programs, measure_system
from bench.results import Measured, find_versions, read_load, write_results
from include.pipelines.flight_delays.landing import write_month

FIGURE = "idle_pss_mb"
_PIPELINE = "flight_delays"
_LOOKS = 5


def measure_executor(executor: str, month: Path, rest: float) -> tuple[dict[str, float], float]:
    """MB of each program at rest (medians of five looks), and the peak while the one month was worked on."""
    with system.start(executor) as running:
        peak = PeakMemory(partial(measure_system, running.site))
        peak.start()
        running.land(_PIPELINE, month)
        running.wait_until_served(_PIPELINE, month.stem)
        running.wait_until_idle()
        highest = peak.end()
        looks = []
        for _ in range(_LOOKS):
            time.sleep(rest / _LOOKS)
            looks.append(measure_programs(running.site))
    return {name: median(look[name] for look in looks) for name in looks[0]}, highest


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``bench/results/idle_pss_mb.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle_memory", description=__doc__)
    parser.add_argument("--rest", type=float, default=30.0, help="seconds of idleness over which it looks")
    rest = parser.parse_args(arguments).rest
    load = read_load()
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        month = write_month(1, Path(folder))
        stock, stock_peak = measure_executor("stock", month, rest)
        warm, warm_peak = measure_executor("warm", month, rest)
    total = {"stock": sum(stock.values()), "warm": sum(warm.values())}
    rows = [
        Measured(
            measure="memory of the idle system, all programs, one model served, warm executor",
            value=total["warm"],
            unit="MB",
            peer="the same with the stock executor",
            peer_value=total["stock"],
            ratio_is="ours ÷ peer",
            peak_mb=warm_peak,
            peer_peak_mb=stock_peak,
            parts=warm,
        ),
        Measured(
            measure="the same, stock executor",
            value=total["stock"],
            unit="MB",
            peer="",
            peak_mb=stock_peak,
            parts=stock,
        ),
    ]
    write_results(FIGURE, rows, load, find_versions("apache-airflow", "mlflow"))


if __name__ == "__main__":
    main()
