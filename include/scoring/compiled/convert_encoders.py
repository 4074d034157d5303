"""Fitted encoders to tables, by asking them.

An encoder is asked for its answer to every category it knows, to a missing one and to an unknown one, rather than read:
its rules about rare, dropped and unknown categories are then in the answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import issparse

from include.scoring.compiled.convert_parts import SomeColumn, TextColumn, refuse_conversion, write_number
from include.scoring.compiled.document import CategoryColumn, read_number


def convert_one_hot(encoder: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    """One column for each category, but for those that the encoder puts together or drops."""
    rare = getattr(encoder, "infrequent_categories_", [None] * len(columns))
    dropped = [None] * len(columns) if encoder.drop_idx_ is None else encoder.drop_idx_
    widths = [
        len(known) - (0 if few is None else len(few) - 1) - (drop is not None)
        for known, few, drop in zip(encoder.categories_, rare, dropped, strict=True)
    ]
    return _tabulate(encoder, columns, widths)


def convert_ordinal(encoder: Any, columns: Sequence[SomeColumn]) -> list[SomeColumn]:
    """One column of codes for each column."""
    return _tabulate(encoder, columns, [1] * len(columns))


def _tabulate(encoder: Any, columns: Sequence[SomeColumn], widths: Sequence[int]) -> list[SomeColumn]:
    """Ask the encoder about every category; ``widths`` are how many columns it makes of each of ``columns``."""
    questions = [_list_questions(column, known) for column, known in zip(columns, encoder.categories_, strict=True)]
    rows = max(len(asked) for _, asked in questions)
    frame = pd.DataFrame(
        {
            place: pd.Series(
                [*asked, *[asked[-1]] * (rows - len(asked))],
                dtype=object if isinstance(column, TextColumn) else np.float64,
            )
            for place, (column, (_, asked)) in enumerate(zip(columns, questions, strict=True))
        }
    )
    if hasattr(encoder, "feature_names_in_"):
        frame.columns = pd.Index(encoder.feature_names_in_)
    try:
        answers = encoder.transform(frame if hasattr(encoder, "feature_names_in_") else frame.to_numpy())
    except ValueError as error:
        name = type(encoder).__name__
        raise refuse_conversion(f"its {name} refuses a category that training did not have") from error
    table = np.asarray(answers.toarray() if issparse(answers) else answers, dtype=np.float64)
    if table.shape[1] != sum(widths):
        raise refuse_conversion(f"its {type(encoder).__name__} makes another number of columns than its categories do")
    parts = np.split(table, np.cumsum(widths)[:-1], axis=1)
    return [
        _make_category(column, keys, answer.tolist())
        for column, (keys, _), part in zip(columns, questions, parts, strict=True)
        for answer in part.T
    ]


def _list_questions(column: SomeColumn, known: NDArray[Any]) -> tuple[list[Any], list[Any]]:
    """The keys of a column, and what an encoder gets to see for each, for a missing value and for an unknown one."""
    if isinstance(column, CategoryColumn):
        # Encoded before: the keys stay, and what is encoded now are their numbers.
        return column.keys, [read_number(value) for value in [*column.values, column.missing, column.unknown]]
    present = [key for key in known.tolist() if key is not None and key == key]
    if isinstance(column, TextColumn):
        unknown = "?" * (1 + max((len(key) for key in present), default=0))
        return present, [*present, column.fill, unknown]
    keys = [float(key) for key in present]
    return keys, [*keys, math.nan, max(keys, default=0.0) + 0.5]


def _make_category(column: SomeColumn, keys: list[Any], answers: list[float]) -> CategoryColumn:
    """One output column; what has the answer to an unknown category need not be listed."""
    missing, unknown = answers[len(keys)], answers[len(keys) + 1]
    listed = [
        (key, value)
        for key, value in zip(keys, answers, strict=False)
        if not (value == unknown or (math.isnan(value) and math.isnan(unknown)))
    ]
    return CategoryColumn(
        feature=column.feature,
        keys=[key for key, _ in listed],
        values=[write_number(value) for _, value in listed],
        missing=write_number(missing),
        unknown=write_number(unknown),
        steps=() if isinstance(column, TextColumn) else column.steps,
    )
