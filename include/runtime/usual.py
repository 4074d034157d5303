"""What is usual: the median of what the last runs took, their spread, and how many rows they had. Imports no numpy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from statistics import median

from include.runtime.history import FitRecord, list_fits
from include.settings import Settings

# More of the past than this says little about today, and fewer runs than that give no median worth the name.
NEWEST_RUNS = 20
ENOUGH_RUNS = 3
# Runs whose rows differ by less than this factor are alike: time is about linear in the rows.
SIMILAR_ROWS = 1.25
# A normal distribution's standard deviation is this many median absolute deviations.
_DEVIATIONS = 1.4826


@dataclass(frozen=True)
class Usual:
    """``seconds`` is the median of ``runs`` runs of ``rows_low`` to ``rows_high`` rows (0 where rows mean nothing);
    ``spread`` is the robust standard deviation in seconds (1.4826 × median absolute deviation)."""

    seconds: float
    spread: float
    runs: int
    rows_low: int
    rows_high: int

    def describe(self) -> str:
        """Such as "42.0 s ± 1.3 s in 12 runs of 98,000 to 120,000 rows"."""
        text = f"{self.seconds:.1f} s ± {self.spread:.1f} s in {self.runs} run{'s' if self.runs != 1 else ''}"
        if not self.rows_high:
            return text
        rows = f"{self.rows_low:,}" if self.rows_low == self.rows_high else f"{self.rows_low:,} to {self.rows_high:,}"
        return f"{text} of {rows} rows"


def measure_usual(runs: Iterable[tuple[int, float]]) -> Usual | None:
    """What is usual of runs given as (rows, seconds), rows 0 where unknown; None without any."""
    given = list(runs)
    if not given:
        return None
    seconds = [taken for _, taken in given]
    middle = median(seconds)
    spread = _DEVIATIONS * median(abs(taken - middle) for taken in seconds)
    rows = [count for count, _ in given]
    return Usual(middle, spread, len(given), min(rows), max(rows))


def choose_similar(runs: list[tuple[int, float]], rows: int | None) -> list[tuple[int, float]]:
    """Of runs, oldest first, the newest with about as many rows as ``rows``; the newest few where too few are alike."""
    if rows is None:
        return runs[-NEWEST_RUNS:]
    alike = [run for run in runs if run[0] and rows / SIMILAR_ROWS <= run[0] <= rows * SIMILAR_ROWS]
    return alike[-NEWEST_RUNS:] if len(alike) >= ENOUGH_RUNS else runs[-ENOUGH_RUNS:]


def read_usual_fit(
    settings: Settings, pipeline_name: str, candidate: str, *, rung: str | None = None, rows: int | None = None
) -> Usual | None:
    """What a fit of the candidate usually takes, load to evaluation in wall seconds; None before the first.

    ``rows`` asks for fits of about as many rows (within a quarter), or, where fewer than three are, for the last three:
    then ``rows_low`` and ``rows_high`` say how far off they are. For a figure at exactly so many rows, and its
    interval, ask ``include.runtime.forecast``.
    """
    fits = list_fits(settings, pipeline_name, candidate=candidate, rung=rung)
    return measure_usual(choose_similar([(fit.rows, fit.wall_seconds) for fit in fits], rows))


def read_usual_training(settings: Settings, pipeline_name: str, *, rows: int | None = None) -> Usual | None:
    """The same of all candidates of a training together: from the first one's beginning to the last one's end."""
    trainings: dict[str, list[FitRecord]] = {}
    for fit in list_fits(settings, pipeline_name):
        trainings.setdefault(fit.dag_run or fit.mlflow_run_id, []).append(fit)
    taken = [(max(fit.rows for fit in fits), _span(fits)) for fits in trainings.values()]
    return measure_usual(choose_similar(taken, rows))


def _span(fits: list[FitRecord]) -> float:
    ends = [datetime.fromisoformat(fit.finished_at).timestamp() for fit in fits]
    begins = [end - fit.wall_seconds for end, fit in zip(ends, fits, strict=True)]
    return max(ends) - min(begins)
