"""Labels of historical rows, checked before anything is built on them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.declaration.models import Pipeline
from include.declaration.resolve import resolve_function
from include.errors import TrainingDataInvalid


def make_labels(pipeline: Pipeline, rows: pd.DataFrame) -> NDArray[np.float64]:
    """Return the label of each row: 0.0, 1.0, or NaN for none.

    Raises TrainingDataInvalid when the declared function returns anything else, or not one value per row.
    """
    marked: Any = resolve_function(pipeline, pipeline.label.function)(rows)
    if len(marked) != len(rows) or (isinstance(marked, pd.Series) and not marked.index.equals(rows.index)):
        raise _refuse_labels(
            pipeline, "alignment", f"it gives {len(marked)} labels for {len(rows)} rows, or in another order"
        )
    try:
        labels = pd.Series(marked).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise _refuse_labels(pipeline, "type", f"its labels are not numbers ({error})") from error
    strange = labels[~(np.isnan(labels) | (labels == 0.0) | (labels == 1.0))]
    if len(strange):
        raise _refuse_labels(pipeline, "values", f"{len(strange)} labels are neither 0, 1 nor missing")
    return labels


def check_labels(pipeline: Pipeline, partition: str, labels: NDArray[np.float64]) -> None:
    """Compare one partition's labels with the declaration, so that a wrong month cannot hide among right ones.

    Raises TrainingDataInvalid (facts: ``partition``, ``measure``, ``observed``, ``low``, ``high``) when too many are
    missing, or when the rate of positives among the others is outside its bounds.
    """
    declared = pipeline.label
    missing = float(np.isnan(labels).mean()) if len(labels) else 1.0
    if missing > declared.max_missing_share:
        raise _outside(pipeline, partition, "share of missing labels", missing, 0.0, declared.max_missing_share)
    low, high = declared.base_rate
    known = labels[~np.isnan(labels)]
    rate = float(known.mean()) if len(known) else math.nan
    if not low <= rate <= high:
        raise _outside(pipeline, partition, "base rate", rate, low, high)


def _outside(
    pipeline: Pipeline, partition: str, measure: str, observed: float, low: float, high: float
) -> TrainingDataInvalid:
    return TrainingDataInvalid(
        f"{pipeline.name} {partition}: the {measure} is {observed:.4f}, outside {low:g} to {high:g}.",
        next_step=f"Look at the label's columns in {partition}; land a corrected file, or declare other bounds.",
        pipeline=pipeline.name,
        partition=partition,
        measure=measure,
        observed=observed,
        low=low,
        high=high,
    )


def _refuse_labels(pipeline: Pipeline, measure: str, problem: str) -> TrainingDataInvalid:
    return TrainingDataInvalid(
        f"The label function {pipeline.label.function} of {pipeline.name} cannot be used: {problem}.",
        next_step="Return a Series aligned with the rows that holds 0.0, 1.0 or NaN.",
        pipeline=pipeline.name,
        measure=measure,
    )
