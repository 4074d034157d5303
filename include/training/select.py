"""The best candidate by one declared figure; a figure that is not a number never wins."""

from __future__ import annotations

import math
from collections.abc import Sequence

from include.contracts import TrainedModel
from include.errors import TrainingDataInvalid
from include.metrics import is_lower_better


def select_best(models: Sequence[TrainedModel], metric: str) -> TrainedModel:
    """The candidate with the best finite ``metric`` on the holdout; of equals the one declared first.

    Raises TrainingDataInvalid, naming each candidate's figure, when none is finite.
    """
    finite = [model for model in models if math.isfinite(model.metrics.get(metric, math.nan))]
    if not finite:
        figures = ", ".join(f"{model.candidate}: {model.metrics.get(metric, 'missing')}" for model in models) or "none"
        raise TrainingDataInvalid(
            f"No candidate has a finite {metric} on the holdout ({figures}).",
            next_step="Look at the holdout: it needs rows of both classes, and predictions that are numbers.",
            measure=metric,
            candidates=[model.candidate for model in models],
        )
    sign = -1.0 if is_lower_better(metric) else 1.0
    return max(finite, key=lambda model: sign * model.metrics[metric])
