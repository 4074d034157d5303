"""What converting passes from step to step: columns on their way to the model's matrix, and the refusal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Union

from include.errors import CompiledFormRefused
from include.scoring.compiled.document import CategoryColumn, ModelColumn, NumberColumn


@dataclass(frozen=True)
class TextColumn:
    """A category on its way to an encoder; a missing one counts as ``fill``."""

    feature: int
    fill: str | None = None


SomeColumn = Union[NumberColumn, CategoryColumn, TextColumn]


def refuse_conversion(problem: str) -> CompiledFormRefused:
    """The refusal of a model that has no compiled form."""
    return CompiledFormRefused(
        f"The model has no compiled form: {problem}.",
        next_step="The scikit-learn model serves; README lists what can be compiled.",
        reason=problem,
    )


def check_columns(columns: Sequence[SomeColumn]) -> list[ModelColumn]:
    """The columns of a model's matrix, which are all numbers by then. Raises CompiledFormRefused."""
    made = [column for column in columns if isinstance(column, NumberColumn | CategoryColumn)]
    if len(made) != len(columns):
        raise refuse_conversion("a category reaches the estimator as text")
    return made


def write_number(value: float) -> float | None:
    """A number as it is stored: NaN as null."""
    return None if math.isnan(value) else value
