"""The metrics of a binary score, one definition for training and blessing alike; weights make resampling cheap.

Each is exact with ties, agrees with scikit-learn's, and is NaN (never an exception, never left out) where it has no
value: a score or label that is not finite, a single class where two are needed, no rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Weighted = Callable[[Floats], float]

HIGHER_IS_BETTER = ("roc_auc", "average_precision", "accuracy")
LOWER_IS_BETTER = ("brier", "log_loss", "calibration_gap")
# Neither better nor worse by themselves; bounds on them are still useful.
DESCRIPTIVE = ("mean_prediction", "base_rate")
METRICS = (*HIGHER_IS_BETTER, *LOWER_IS_BETTER, *DESCRIPTIVE)


def is_lower_better(metric: str) -> bool:
    """Whether a smaller value of ``metric`` is the better one."""
    return metric in LOWER_IS_BETTER


def _rank_auc(labels: Floats, scores: Floats) -> Weighted:
    import numpy as np

    _, group = np.unique(scores, return_inverse=True)
    count = int(group.max()) + 1

    def measure(weights: Floats) -> float:
        positives = np.bincount(group, weights * labels, count)
        negatives = np.bincount(group, weights * (1.0 - labels), count)
        pairs = float(positives.sum() * negatives.sum())
        below = np.cumsum(negatives) - negatives / 2.0
        return float((positives * below).sum()) / pairs if pairs > 0 else math.nan

    return measure


def _average_precision(labels: Floats, scores: Floats) -> Weighted:
    import numpy as np

    _, group = np.unique(-scores, return_inverse=True)
    count = int(group.max()) + 1

    def measure(weights: Floats) -> float:
        positives = np.bincount(group, weights * labels, count)
        above = np.cumsum(np.bincount(group, weights, count))
        total = float(positives.sum())
        if total <= 0:
            return math.nan
        precision = np.divide(np.cumsum(positives), above, out=np.zeros_like(above), where=above > 0)
        return float((precision * positives).sum()) / total

    return measure


def _mean_of(values: Floats) -> Weighted:
    def measure(weights: Floats) -> float:
        total = float(weights.sum())
        return float((weights * values).sum()) / total if total > 0 else math.nan

    return measure


def _log_losses(labels: Floats, scores: Floats) -> Floats:
    import numpy as np

    if ((scores < 0) | (scores > 1)).any():
        return np.full_like(scores, math.nan)
    smallest = np.finfo(np.float64).eps
    clipped = np.clip(scores, smallest, 1 - smallest)
    losses: Floats = -(labels * np.log(clipped) + (1 - labels) * np.log(1 - clipped))
    return losses


def prepare_metric(metric: str, labels: Floats, scores: Floats) -> Weighted:
    """Return ``measure(weights) -> float`` for these rows; sorting is done once, so each call is linear in the rows.

    ``labels`` are 0.0 or 1.0. Raises KeyError for a metric that is not in METRICS.
    """
    import numpy as np

    if metric not in METRICS:
        raise KeyError(f"{metric!r} is not a metric; there are {', '.join(METRICS)}")
    if len(labels) == 0 or not np.isfinite(scores).all() or not np.isin(labels, (0.0, 1.0)).all():
        return lambda weights: math.nan
    if metric == "roc_auc":
        return _rank_auc(labels, scores)
    if metric == "average_precision":
        return _average_precision(labels, scores)
    if metric == "calibration_gap":
        gap = _mean_of(scores - labels)
        return lambda weights: abs(gap(weights))
    if metric == "accuracy":
        return _mean_of(((scores >= 0.5) == (labels == 1.0)).astype(np.float64))
    if metric == "brier":
        return _mean_of((scores - labels) ** 2)
    if metric == "log_loss":
        return _mean_of(_log_losses(labels, scores))
    return _mean_of(scores if metric == "mean_prediction" else labels)


def measure_metric(metric: str, labels: Floats, scores: Floats) -> float:
    """One metric of these rows, or NaN where it has no value. Raises KeyError for an unknown metric."""
    import numpy as np

    return prepare_metric(metric, labels, scores)(np.ones(len(labels)))


def measure_all(labels: Floats, scores: Floats) -> dict[str, float]:
    """Every metric by name; one without a value is there as NaN."""
    return {metric: measure_metric(metric, labels, scores) for metric in METRICS}
