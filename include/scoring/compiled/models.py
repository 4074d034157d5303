"""The models that have a compiled form: a matrix in, probabilities out, and the refusals that scikit-learn makes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import mul
from struct import Struct
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from include.errors import TerminalError
from include.scoring.compiled.document import Trees
from include.scoring.compiled.trees import Matrix


class SumsTrees(Protocol):
    """What adds up the trees of a model."""

    def sum_row(self, values: Sequence[float]) -> float:
        """The sum of one row's leaves."""

    def sum_rows(self, matrix: Matrix) -> Matrix:
        """The sums of many rows' leaves."""


class ScoresColumns(Protocol):
    """A model: its matrix in, probabilities out. Raises TerminalError for a row that it does not take."""

    def score_row(self, values: list[float]) -> float:
        """The probability of one row."""

    def score_rows(self, matrix: Matrix) -> NDArray[np.float64]:
        """The probabilities of many rows."""


class ConstantModel:
    """The same for every row."""

    def __init__(self, probability: float) -> None:
        self._probability = probability

    def score_row(self, values: list[float]) -> float:
        """The probability of one row."""
        del values
        return self._probability

    def score_rows(self, matrix: Matrix) -> NDArray[np.float64]:
        """The probabilities of many rows."""
        return np.full(len(matrix), self._probability)


class LinearModel:
    """Logistic regression."""

    def __init__(self, weights: tuple[float, ...], intercept: float) -> None:
        self._weights = weights
        self._array = np.array(weights, dtype=np.float64)
        self._intercept = intercept

    def score_row(self, values: list[float]) -> float:
        """The probability of one row."""
        total = sum(map(mul, values, self._weights), self._intercept)
        if total - total != 0.0:
            _check_finite(values)
        return _logistic(total)

    def score_rows(self, matrix: Matrix) -> NDArray[np.float64]:
        """The probabilities of many rows."""
        with np.errstate(all="ignore"):
            totals = matrix @ self._array + self._intercept
        if not np.isfinite(totals).all():
            _check_finite(matrix.ravel().tolist())
        return _logistic_array(totals)


class TreeModel:
    """A tree, a forest or boosted trees."""

    def __init__(self, model: Trees, width: int, walk: SumsTrees) -> None:
        self._walk = walk
        self._divisor = model.divisor
        self._logistic = model.logistic
        self._takes_missing = model.takes_missing
        self._single = model.single_precision
        self._floats = Struct(f"={width}f")

    def score_row(self, values: list[float]) -> float:
        """The probability of one row."""
        if self._single:
            values = self._round(values)
        total = self._walk.sum_row(values) / self._divisor
        return _logistic(total) if self._logistic else total

    def score_rows(self, matrix: Matrix) -> NDArray[np.float64]:
        """The probabilities of many rows."""
        if self._single:
            with np.errstate(over="ignore"):
                matrix = matrix.astype(np.float32).astype(np.float64)
            if np.isinf(matrix).any() or not (self._takes_missing or np.isfinite(matrix).all()):
                raise _refuse_row()
        totals = self._walk.sum_rows(matrix) / self._divisor
        return _logistic_array(totals) if self._logistic else totals

    def _round(self, values: list[float]) -> list[float]:
        """As 32-bit floats, which is how scikit-learn's forests see a row, and what they refuse."""
        try:
            rounded = list(self._floats.unpack(self._floats.pack(*values)))
        except OverflowError:
            raise _refuse_row() from None
        total = sum(rounded)
        if total - total != 0.0 and any(math.isinf(v) or (v != v and not self._takes_missing) for v in rounded):
            raise _refuse_row()
        return rounded


def _check_finite(values: Iterable[float]) -> None:
    if not all(map(math.isfinite, values)):
        raise _refuse_row()


def _logistic(value: float) -> float:
    if value >= 0.0:
        return 1.0 / (1.0 + math.exp(-value))
    # exp of a large positive number overflows.
    raised = math.exp(value)
    return raised / (1.0 + raised)


def _logistic_array(values: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-values))


def _refuse_row() -> TerminalError:
    return TerminalError(
        "The model does not take this row: a number of it is missing, or too large, for this kind of model.",
        next_step="Send every number the model needs, or train a model that fills missing ones.",
    )
