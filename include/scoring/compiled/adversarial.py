"""Rows that find differences: gaps, unseen categories, extremes, and the values at which trees decide."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from include.scoring.compiled.document import Document, NumberColumn, Tree, Trees

_FLOAT32_MAX = float(np.finfo(np.float32).max)
# The last three of the first line are no whole 32-bit floats, or no whole 64-bit ones.
_NUMBERS = (0.0, -0.0, 1.0, -1.0, 0.5, 16_777_217.0, 9_007_199_254_740_993.0, 1e16)
_EXTREMES = (5e-324, 1e-300, 1e308, -1e308, _FLOAT32_MAX, np.nextafter(_FLOAT32_MAX, math.inf), 1.01 * _FLOAT32_MAX)
_TEXTS = ("", " ", "nan", "None", "?", "ü", "\x00", "unseen " * 100)
_MIXED_ROWS = 300
_THRESHOLDS = 100  # of each feature, evenly chosen


def make_rows(
    frame: pd.DataFrame, kinds: Mapping[str, str], special: Mapping[str, Sequence[float]], infinite: bool
) -> pd.DataFrame:
    """Adversarial rows in the columns of ``frame``, some of whose values they use. The same input makes the same rows.

    ``kinds`` are "number" or text. Each column takes each value in turn, in an ordinary row and in an empty one; then
    come rows of everything mixed that is not extreme. ``special`` are further numbers for a column.
    """
    random = np.random.default_rng(7)
    rows: list[dict[str, Any]] = [{name: math.nan if kind == "number" else None for name, kind in kinds.items()}]
    if len(frame):
        rows.append(dict(zip(kinds, frame[list(kinds)].iloc[len(frame) // 2].tolist(), strict=True)))
    bases = list(rows)
    mild: dict[str, list[Any]] = {}
    for name, kind in kinds.items():
        seen = frame[name].dropna().drop_duplicates()
        known = seen.sample(min(len(seen), 30), random_state=1).tolist()
        if kind == "number":
            mild[name] = [math.nan, *_NUMBERS, *special.get(name, ()), *map(float, known)]
        else:
            mild[name] = [None, *_TEXTS, *known, *(str(text).swapcase() for text in known[:3])]
        rows += [{**base, name: value} for base in bases for value in mild[name]]
    mixed = {name: random.integers(len(values), size=_MIXED_ROWS).tolist() for name, values in mild.items()}
    rows += [{name: mild[name][mixed[name][row]] for name in kinds} for row in range(_MIXED_ROWS)]
    # Last and by value: many models refuse these, and refused rows are found faster where they stand together.
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    harsh = [*_EXTREMES, *((math.inf, -math.inf) if infinite else ())]
    # Every value somewhere, and some in every column: each refused row costs two calls of the scikit-learn model.
    turns = max(3, -(-len(harsh) // max(1, len(numbers))))
    chosen = [
        (harsh[(place * turns + turn) % len(harsh)], name)
        for place, name in enumerate(numbers)
        for turn in range(turns)
    ]
    rows += [{**bases[-1], name: value} for value, name in sorted(chosen)]
    return pd.DataFrame(
        {
            name: pd.Series([row[name] for row in rows], dtype=np.float64 if kind == "number" else object)
            for name, kind in kinds.items()
        }
    )


def find_thresholds(document: Document, decode_tree: Any) -> dict[int, list[float]]:
    """By feature, values at the thresholds of the trees and next to them, also as 32-bit floats."""
    if not isinstance(document.model, Trees):
        return {}
    found: dict[int, set[float]] = {}
    for raw in document.model.trees:
        tree: Tree = decode_tree(raw)
        for column, threshold in zip(tree.feature, tree.threshold, strict=True):
            if column >= 0 and threshold is not None:
                chosen = document.columns[column]
                # Behind a step the value that meets the threshold would have to be searched for.
                if isinstance(chosen, NumberColumn) and not chosen.steps:
                    found.setdefault(chosen.feature, set()).add(threshold)
    return {feature: _surround(np.array(sorted(values))) for feature, values in found.items()}


def _surround(thresholds: NDArray[np.float64]) -> list[float]:
    chosen = thresholds[np.unique(np.linspace(0, len(thresholds) - 1, _THRESHOLDS).astype(int))]
    with np.errstate(over="ignore"):
        single = chosen.astype(np.float32)
    around = [np.nextafter(chosen, np.inf), np.nextafter(chosen, -np.inf)]
    around += [np.nextafter(single, np.float32(end)).astype(np.float64) for end in (np.inf, -np.inf)]
    values = np.concatenate([chosen, single.astype(np.float64), *around])
    return [float(value) for value in values[np.isfinite(values)]]
