"""The interval of a difference between two models on the same rows, with whole days drawn again.

Rows of one day share its weather and its jams: drawn one by one they look like far more evidence than they are, and
a mere change of the seed then looks significant. A day drawn twice is a weight of two, so nothing is sorted twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from include.blessing.rows import ScoredRows
from include.metrics import is_lower_better, prepare_metric

if TYPE_CHECKING:
    from include.metrics import Floats


class Difference(NamedTuple):
    """Candidate against champion, positive when the candidate is better; ``low`` to ``high`` is the interval."""

    observed: float
    low: float
    high: float
    days: int


def bootstrap_difference(
    candidate: ScoredRows, champion: ScoredRows, metric: str, confidence: float, resamples: int, seed: int
) -> Difference:
    """Percentile interval of the paired difference of ``metric`` at ``confidence``, from ``resamples`` draws of days.

    With a single day, rows are drawn instead. Any draw without a value (one class only) makes the bounds NaN: it is
    never left out. Raises KeyError for an unknown metric.
    """
    import numpy as np

    sign = -1.0 if is_lower_better(metric) else 1.0
    measure_candidate = prepare_metric(metric, candidate.labels, candidate.scores)
    measure_champion = prepare_metric(metric, champion.labels, champion.scores)

    def measure_difference(weights: Floats) -> float:
        return sign * (measure_candidate(weights) - measure_champion(weights))

    rows = len(candidate.labels)
    names, day = np.unique(candidate.days.to_numpy(dtype=str), return_inverse=True)
    cluster, clusters = (day, len(names)) if len(names) > 1 else (np.arange(rows), rows)
    random = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for number in range(resamples):
        counts = np.bincount(random.integers(0, clusters, clusters), minlength=clusters).astype(np.float64)
        draws[number] = measure_difference(counts[cluster])
    # quantile() answers NaN as soon as one draw is NaN.
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(measure_difference(np.ones(rows)), float(low), float(high), len(names))
