"""The best candidate by one declared figure; a figure that is not a number never wins."""

from __future__ import annotations

import math
from collections.abc import Sequence

from include.contracts import TrainedModel
from include.metrics import is_lower_better


def select_best(models: Sequence[TrainedModel], metric: str) -> TrainedModel:
    """The candidate with the best finite ``metric`` on the holdout; of equals the one declared first.

    The first one also when none is finite: its blessing says so and refuses it.
    """
    finite = [model for model in models if math.isfinite(model.metrics.get(metric, math.nan))]
    if not finite:
        return models[0]
    sign = -1.0 if is_lower_better(metric) else 1.0
    return max(finite, key=lambda model: sign * model.metrics[metric])
