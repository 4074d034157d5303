"""Measure how well fits are foretold: ``python -m bench.forecast [--keep FILE]``.

Twelve trainings on the real months of flights, each with one month more, every candidate fitted in each. From the
fourth on, the processor time of a fit is foretold from the earlier ones alone and compared with what it then took.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.forecast.history import measure_year
from bench.results import Measured, find_versions, read_load, write_results
from include.contracts import pack
from include.runtime.expectation import Point
from include.runtime.history import FitRecord
from include.runtime.scaling import foretell
from include.settings import load_settings

FIGURE = "forecast_median_error"
FIRST = 3
# What takes less is noise, whoever foretells it: the candidate that only counts is fitted in milliseconds.
_LEAST_SECONDS = 0.1


@dataclass(frozen=True)
class Told:
    """One month's fit: what it took in CPU seconds, what was foretold, and what a simple proportion would have said."""

    candidate: str
    partition: str
    actual: float
    value: float
    inside: bool
    proportion: float

    @property
    def error(self) -> float:
        """Absolute error of the forecast in percent of what it took."""
        return 100 * abs(self.value / self.actual - 1)

    @property
    def proportion_error(self) -> float:
        """The same of last month's time in proportion to the rows."""
        return 100 * abs(self.proportion / self.actual - 1)


def foretell_year(records: Sequence[FitRecord]) -> list[Told]:
    """Every fit from the fourth training on, foretold from the earlier ones of its candidate."""
    told = []
    for candidate in dict.fromkeys(record.candidate for record in records):
        fits = [record for record in records if record.candidate == candidate]
        if median(fit.fit_cpu_seconds for fit in fits) < _LEAST_SECONDS:
            continue
        points = [Point(fit.rows, fit.fit_cpu_seconds) for fit in fits]
        for place in range(FIRST, len(fits)):
            now, last = points[place], points[place - 1]
            forecast = foretell(points[:place], now.rows, "fit_cpu_seconds")
            if forecast is None:
                raise SystemExit(f"no forecast for {candidate} in {fits[place].partition}")
            inside = forecast.low <= now.value <= forecast.high
            proportion = last.value * now.rows / last.rows
            told.append(Told(candidate, fits[place].partition, now.value, forecast.value, inside, proportion))
    return told


def make_rows(told: Sequence[Told]) -> list[Measured]:
    """The median error of all, its worst, and how many outcomes lay in the interval."""
    peer = "the month before, in proportion to the rows"
    by_candidate: dict[str, list[Told]] = {}
    for each in told:
        by_candidate.setdefault(each.candidate, []).append(each)
    parts = {f"{name} median": median(each.error for each in fits) for name, fits in by_candidate.items()}
    parts |= {f"{name} worst": max(each.error for each in fits) for name, fits in by_candidate.items()}
    what = (
        f"forecast of a fit's CPU seconds from the fourth month on, {len(told)} fits of {len(by_candidate)} candidates"
    )
    return [
        Measured(
            measure=f"{what}: median error",
            value=median(each.error for each in told),
            unit="%",
            peer=peer,
            peer_value=median(each.proportion_error for each in told),
            ratio_is="ours ÷ peer",
            target="≤ 15 %",
            parts=parts,
        ),
        Measured(
            measure="the same: worst error",
            value=max(each.error for each in told),
            unit="%",
            peer=peer,
            peer_value=max(each.proportion_error for each in told),
            ratio_is="ours ÷ peer",
        ),
        Measured(
            measure="the same: outcomes within the interval that nine of ten should be in",
            value=100 * sum(each.inside for each in told) / len(told),
            unit="%",
            peer="",
        ),
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``bench/results/forecast_median_error.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.forecast", description=__doc__)
    parser.add_argument("--keep", type=Path, help="where to write the year's records, one JSON line each")
    keep = parser.parse_args(arguments).keep
    # Great Expectations logs two hundred lines about its own functions when it is imported.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    load = read_load()
    records = []
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        settings = load_settings({"TOLLGATE_HOME": f"{folder}/home"})
        for record in measure_year(settings, Path(folder) / "months"):
            records.append(record)
            print(
                f"{record.partition} {record.candidate:14} {record.rows:8,} rows {record.fit_cpu_seconds:7.2f} CPU s "
                f"{record.peak_mb:6.0f} MB",
                flush=True,
            )
    if keep is not None:
        keep.write_text("".join(json.dumps(pack(record)) + "\n" for record in records))
    told = foretell_year(records)
    for each in told:
        print(
            f"{each.partition} {each.candidate:14} took {each.actual:6.2f}, foretold {each.value:6.2f} CPU s, "
            f"{each.error:5.1f} % off, {'in' if each.inside else 'out of'} the interval",
            flush=True,
        )
    write_results(FIGURE, make_rows(told), load, find_versions("scikit-learn", "scipy", "numpy"))


if __name__ == "__main__":
    main()
