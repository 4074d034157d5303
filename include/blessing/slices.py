"""Each group of the holdout on its own: one with enough support is judged, one declared required must be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from include.blessing.checks import show
from include.blessing.rows import ScoredRows
from include.contracts import Check
from include.declaration.models import Slice
from include.metrics import DESCRIPTIVE, METRICS, is_lower_better, measure_metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def _name_value(value: Any) -> str:
    if isinstance(value, float):
        return "missing" if math.isnan(value) else f"{value:g}"
    return "missing" if value is None else str(value)


def _group_rows(column: Any) -> dict[str, NDArray[np.intp]]:
    """Positions of the rows of each value, by the value's name, in name order."""
    import numpy as np
    import pandas as pd

    texts = np.array([_name_value(None if pd.isna(value) else value) for value in column.tolist()], dtype=object)
    names, place = np.unique(texts.astype(str), return_inverse=True)
    return {str(name): np.flatnonzero(place == number) for number, name in enumerate(names)}


def _list_shortfalls(piece: Slice, labels: Any) -> list[str]:
    rows, positives = len(labels), int(labels.sum())
    shortfalls = [f"{rows} rows of {piece.min_rows}"] if rows < piece.min_rows else []
    for word, count in (("positive", positives), ("negative", rows - positives)):
        if count < piece.min_per_class:
            shortfalls.append(f"{count} {word} rows of {piece.min_per_class}")
    return shortfalls


def _judge(piece: Slice, name: str, where: str, ours: float, theirs: float | None) -> list[Check]:
    checks = []
    if piece.minimum is not None:
        passed = ours >= piece.minimum
        detail = (
            f"{piece.metric} {show(ours)} {where} is {'not below' if passed else 'below'} the declared minimum "
            f"{piece.minimum:g}."
        )
        title = f"{name} {piece.metric} ≥ {piece.minimum:g}"
        checks.append(Check(title, "slice", "pass" if passed else "fail", ours, piece.minimum, detail=detail))
    if piece.margin is not None and theirs is not None:
        better = (theirs - ours) if is_lower_better(piece.metric) else (ours - theirs)
        title = f"{name} {piece.metric} against the champion"
        if not math.isfinite(better):
            detail = f"{piece.metric} {where} cannot be compared: the champion's is {show(theirs)}."
            checks.append(Check(title, "slice", "error", better, -piece.margin, detail=detail))
        else:
            passed = better >= -piece.margin
            detail = (
                f"{piece.metric} {show(ours)} {where} against the champion's {show(theirs)}: the difference "
                f"{show(better)} (positive is better) is {'within' if passed else 'beyond'} the declared margin "
                f"{piece.margin:g}."
            )
            checks.append(Check(title, "slice", "pass" if passed else "fail", better, -piece.margin, detail=detail))
    if not checks:
        detail = f"{piece.metric} is {show(ours)} {where}; no bound is declared."
        checks.append(Check(f"{name} {piece.metric}", "slice", "pass", ours, detail=detail))
    return checks


def _find_misuse(piece: Slice) -> str | None:
    if piece.metric not in METRICS:
        return f"{piece.metric} is not a metric; there are {', '.join(METRICS)}."
    if piece.minimum is not None and is_lower_better(piece.metric):
        return f"A minimum of {piece.metric}, where lower is better, says nothing; declare a margin."
    if piece.margin is not None and piece.metric in DESCRIPTIVE:
        return f"{piece.metric} is not a metric of which one value is better than another; declare no margin."
    return None


def check_slice(piece: Slice, candidate: ScoredRows, champion: ScoredRows | None) -> list[Check]:
    """The checks of one declared slice: each value of its column, and each required value that did not occur.

    Too little support is ``not_evaluated``, but an ``error`` for a required value. ``champion`` has the same rows.
    """
    misuse = _find_misuse(piece)
    if misuse is None and piece.column not in candidate.requests.columns:
        misuse = f"The predictions have no column {piece.column}."
    if misuse is not None:
        return [Check(f"{piece.column} {piece.metric}", "slice", "error", detail=misuse)]
    groups = _group_rows(candidate.requests[piece.column])
    checks: list[Check] = []
    for value in sorted(set(piece.required) - set(groups)):
        detail = f"The required slice {piece.column} = {value} does not occur in the holdout."
        checks.append(Check(f"{piece.column} = {value}", "slice", "error", detail=detail))
    for value, chosen in groups.items():
        name, where = f"{piece.column} = {value}", f"for {piece.column} = {value} ({len(chosen)} rows)"
        labels = candidate.labels[chosen]
        shortfalls = _list_shortfalls(piece, labels)
        if shortfalls:
            required = value in piece.required
            word = "The required slice" if required else "The slice"
            detail = f"{word} {name} has too few rows to be judged: {', '.join(shortfalls)} needed."
            checks.append(Check(name, "slice", "error" if required else "not_evaluated", detail=detail))
            continue
        ours = measure_metric(piece.metric, labels, candidate.scores[chosen])
        if not math.isfinite(ours):
            detail = f"{piece.metric} {where} is {show(ours)}, so it cannot be judged."
            checks.append(Check(f"{name} {piece.metric}", "slice", "error", ours, detail=detail))
            continue
        theirs = None if champion is None else measure_metric(piece.metric, labels, champion.scores[chosen])
        checks += _judge(piece, name, where, ours, theirs)
    return checks
