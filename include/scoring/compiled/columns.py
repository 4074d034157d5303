"""From features to the model's columns, for one row in plain floats and for many in numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.scoring.compiled.document import Step
from include.scoring.compiled.layout import CategoryGroup, Layout
from include.scoring.compiled.row_expressions import NumberOf, Row

Array = NDArray[Any]
Matrix = NDArray[np.float64]
CellsOf = Callable[[Row], tuple[float, ...]]


def bind_steps(number: NumberOf, steps: Sequence[Step]) -> NumberOf:
    """The function that computes a number and then takes ``steps`` with it."""
    for step in steps:
        number = _bind_step(number, step.operation, step.by)
    return number


def _bind_step(number: NumberOf, operation: str, by: float) -> NumberOf:
    match operation:
        case "fill":
            return lambda row: by if (value := number(row)) != value else value
        case "subtract":
            return lambda row: number(row) - by
        case "divide":
            return lambda row: number(row) / by
        case "multiply":
            return lambda row: number(row) * by
        case "add":
            return lambda row: number(row) + by
        case "at_least":
            return lambda row: by if (value := number(row)) < by else value
        case "at_most":
            return lambda row: by if (value := number(row)) > by else value
        case "is_missing":
            return lambda row: 1.0 if (value := number(row)) != value else 0.0
    raise AssertionError(operation)  # what is stored was checked against the list


def take_steps(values: Array, steps: Sequence[Step]) -> Array:
    """The same for a whole column."""
    for step in steps:
        match step.operation:
            case "fill":
                values = np.where(np.isnan(values), step.by, values)
            case "subtract":
                values = values - step.by
            case "divide":
                values = values / step.by
            case "multiply":
                values = values * step.by
            case "add":
                values = values + step.by
            case "at_least":
                values = np.maximum(values, step.by)
            case "at_most":
                values = np.minimum(values, step.by)
            case "is_missing":
                values = np.isnan(values).astype(np.float64)
    return values


def bind_group(group: CategoryGroup, category: Callable[[Row], Any]) -> CellsOf:
    """The function that gives a row's cells of ``group``; ``category`` reads its text or number."""
    cells = dict(zip(group.keys, map(tuple, group.cells.tolist()), strict=False))
    missing, unknown = map(tuple, group.cells[-2:].tolist())

    def compute(row: Row) -> tuple[float, ...]:
        key = category(row)
        return missing if key is None or key != key else cells.get(key, unknown)

    return compute


def bind_single(group: CategoryGroup, category: Callable[[Row], Any], is_text: bool) -> NumberOf:
    """The same for a group of one column, as a number."""
    cells: dict[Any, float] = dict(zip(group.keys, group.cells[:, 0].tolist(), strict=False))
    missing, unknown = group.cells[-2:, 0].tolist()
    if is_text:
        find = {**cells, None: missing}.get
        return lambda row: find(category(row), unknown)
    return lambda row: missing if (key := category(row)) != key else cells.get(key, unknown)


def build_matrix(layout: Layout, features: Mapping[int, Array], rows: int) -> Matrix:
    """The model's columns of many rows, as ``layout`` has them, from the feature columns by their number."""
    matrix = np.empty((rows, layout.width))
    with np.errstate(all="ignore"):
        for place, column in enumerate(layout.numbers):
            matrix[:, place] = take_steps(features[column.feature], column.steps)
        place = len(layout.numbers)
        for group in layout.groups:
            found = _find_cells(group, take_steps(features[group.feature], group.steps).tolist(), rows)
            matrix[:, place : place + group.width] = group.cells.take(found, axis=0)
            place += group.width
    return matrix


def _find_cells(group: CategoryGroup, categories: Iterable[Any], rows: int) -> NDArray[np.intp]:
    missing = len(group.keys)
    places: dict[Any, int] = {key: place for place, key in enumerate(group.keys)}
    find = {**places, None: missing}.get
    if group.keys and isinstance(group.keys[0], float):
        return np.fromiter(
            (missing if math.isnan(key) else find(key, missing + 1) for key in categories), dtype=np.intp, count=rows
        )
    return np.fromiter((find(key, missing + 1) for key in categories), dtype=np.intp, count=rows)
