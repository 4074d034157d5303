"""The columns of a model's matrix in the order in which they are cheapest to fill, grouped by what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from include.errors import CompiledFormRefused
from include.scoring.compiled.document import (
    MAX_CELLS,
    CategoryColumn,
    Document,
    Linear,
    NumberColumn,
    Step,
    read_number,
)

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class CategoryGroup:
    """All columns of one feature's categories: ``keys[i]`` gives row ``i`` of ``cells``; after them stand the row of a
    missing category and that of an unknown one."""

    feature: int
    steps: tuple[Step, ...]
    keys: list[str | float]
    cells: Matrix

    @property
    def width(self) -> int:
        """How many columns it fills."""
        return int(self.cells.shape[1])


@dataclass(frozen=True)
class Layout:
    """Number columns first, then groups, those of one column first. ``order[i]`` is where stored column ``i`` stands;
    ``weights`` belong to the columns as they stand here, for a linear model."""

    numbers: tuple[NumberColumn, ...]
    groups: tuple[CategoryGroup, ...]
    order: tuple[int, ...]
    weights: tuple[float, ...]

    @property
    def width(self) -> int:
        """Columns of the whole matrix."""
        return len(self.numbers) + sum(group.width for group in self.groups)


def arrange_columns(document: Document) -> Layout:
    """Lay the stored columns out. For a linear model, each group becomes one column: its weighted sum, with weight 1.

    Raises CompiledFormRefused when a feature's categories would fill too large a table.
    """
    numbers = [place for place, column in enumerate(document.columns) if isinstance(column, NumberColumn)]
    members: dict[tuple[int, tuple[Step, ...]], list[int]] = {}
    for place, column in enumerate(document.columns):
        if isinstance(column, CategoryColumn):
            members.setdefault((column.feature, column.steps), []).append(place)
    _check_size([[document.columns[place] for place in places] for places in members.values()])  # type: ignore[misc]
    weights = document.model.weights if isinstance(document.model, Linear) else None
    made = []
    for (feature, steps), places in members.items():
        group = _build_group(feature, steps, [document.columns[place] for place in places])  # type: ignore[misc]
        if weights is not None:
            group = _fold(group, [weights[place] for place in places])
        made.append((group, places))
    made.sort(key=lambda pair: pair[0].width)
    order = [0] * len(document.columns)
    for position, place in enumerate([*numbers, *(place for _, places in made for place in places)]):
        order[place] = position
    return Layout(
        numbers=tuple(document.columns[place] for place in numbers),  # type: ignore[misc]
        groups=tuple(group for group, _ in made),
        order=tuple(order),
        weights=(*(weights[place] for place in numbers), *(1.0 for _ in made)) if weights is not None else (),
    )


def _build_group(feature: int, steps: tuple[Step, ...], columns: Sequence[CategoryColumn]) -> CategoryGroup:
    keys = _list_keys(columns)
    places = {key: place for place, key in enumerate(keys)}
    cells = np.empty((len(keys) + 2, len(columns)))
    for number, column in enumerate(columns):
        cells[:, number] = read_number(column.unknown)
        cells[-2, number] = read_number(column.missing)
        cells[[places[key] for key in column.keys], number] = [read_number(value) for value in column.values]
    return CategoryGroup(feature, steps, keys, cells)


def _list_keys(columns: Sequence[CategoryColumn]) -> list[str | float]:
    return list(dict.fromkeys(key for column in columns for key in column.keys))


def _check_size(groups: Sequence[Sequence[CategoryColumn]]) -> None:
    cells = sum((len(_list_keys(columns)) + 2) * len(columns) for columns in groups)
    if cells > MAX_CELLS:
        problem = f"its categories would fill a table of {cells} numbers, and {MAX_CELLS} are kept in memory"
        raise CompiledFormRefused(
            f"The compiled scorer cannot be used: {problem}.",
            next_step="The scikit-learn model beside it serves; use fewer categories for a compiled one.",
            reason=problem,
        )


def _fold(group: CategoryGroup, weights: Sequence[float]) -> CategoryGroup:
    # Where a cell is 0 its column has no say, whatever the weight.
    folded = np.where(group.cells == 0, 0.0, group.cells * np.array(weights)).sum(axis=1, keepdims=True)
    return CategoryGroup(group.feature, group.steps, group.keys, folded)
