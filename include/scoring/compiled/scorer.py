"""The compiled scorer: the rows of a request in, a probability for each out, without scikit-learn and pandas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from include.errors import CompiledFormRefused
from include.scoring.compiled.bit_vectors import BitVectors, fits_bit_vectors
from include.scoring.compiled.columns import bind_group, bind_single, bind_steps, build_matrix
from include.scoring.compiled.document import Constant, Document, Linear
from include.scoring.compiled.layout import Layout, arrange_columns
from include.scoring.compiled.models import ConstantModel, LinearModel, ScoresColumns, SumsTrees, TreeModel
from include.scoring.compiled.native import build_native_walk
from include.scoring.compiled.row_expressions import NumberOf, Row, RowBinder
from include.scoring.compiled.trees import TreeTable, TreeWalk, read_trees
from include.scoring.evaluate import evaluate_features, find_column_kinds
from include.scoring.tables import LookupTable, read_stored_tables

# Up to here rows are scored one by one; numpy's cost for a batch, 0.4 ms, is that of this many rows.
_FEW_ROWS = 16


@dataclass(frozen=True)
class RequestField:
    """One column of the request's rows: ``kind`` is "number" or "string"; not every one is ``nullable``."""

    name: str
    kind: str
    nullable: bool


class CompiledScorer:
    """``document`` bound to the columns of requests.

    ``library`` is the compiled walk for trees; without it, or when it does not fit, numpy walks them and
    ``native_problem`` says why. Raises CompiledFormRefused, and TerminalError for features that do not fit together.
    """

    def __init__(self, document: Document, request: Sequence[RequestField], library: Path | None = None) -> None:
        self._tables = read_stored_tables(document.tables)
        self._request = tuple(request)
        _check_request(document, self._request)
        layout = arrange_columns(document)
        self.native = False
        self.native_problem = ""
        self._layout = layout
        self._model = self._build_model(document, library)
        self._numbers, self._groups = _bind_columns(document, layout, self._tables, self._request)
        # What no column is made of is not computed for a batch either.
        self._used = sorted({column.feature for column in layout.numbers} | {group.feature for group in layout.groups})
        self._features = [document.features[place] for place in self._used]
        self._read = find_column_kinds(self._features).keys()
        # A mistake in an expression, which only a batch would meet, shows now.
        evaluate_features(document.features, self._tables, {}, rows=1)

    def score(self, rows: Sequence[Row]) -> list[float]:
        """One probability for each row: a tuple in the order of the request, None for null.

        Raises TerminalError for a row that the model does not take, as the scikit-learn model does.
        """
        if len(rows) <= _FEW_ROWS:
            return [self.score_one(row) for row in rows]
        return self.score_many(rows)

    def score_one(self, row: Row) -> float:
        """The probability of one row, in plain floats."""
        values = [number(row) for number in self._numbers]
        for cells in self._groups:
            values += cells(row)
        return self._model.score_row(values)

    def score_many(self, rows: Sequence[Row]) -> list[float]:
        """The probabilities of any number of rows, column by column in numpy."""
        columns: dict[str, NDArray[Any]] = {}
        for field, values in zip(self._request, zip(*rows, strict=True), strict=True):
            if field.name in self._read:
                # None becomes NaN where a number is meant.
                columns[field.name] = np.array(values, dtype=np.float64 if field.kind == "number" else object)
        features = evaluate_features(self._features, self._tables, columns, rows=len(rows))
        arrays = dict(zip(self._used, features.values(), strict=True))
        scores: list[float] = self._model.score_rows(build_matrix(self._layout, arrays, len(rows))).tolist()
        return scores

    def _build_model(self, document: Document, library: Path | None) -> ScoresColumns:
        model = document.model
        if isinstance(model, Constant):
            return ConstantModel(model.probability)
        if isinstance(model, Linear):
            return LinearModel(self._layout.weights, model.intercept)
        table = read_trees(model.trees, model.start, self._layout.order)
        return TreeModel(model, self._layout.width, self._choose_walk(table, library))

    def _choose_walk(self, table: TreeTable, library: Path | None) -> SumsTrees:
        if library is not None:
            try:
                walk = build_native_walk(library, table, self._layout.width)
            except CompiledFormRefused as error:
                self.native_problem = str(error.reason)
            else:
                self.native = True
                return walk
        return BitVectors(table) if fits_bit_vectors(table) else TreeWalk(table, self._layout.width)


def _bind_columns(
    document: Document, layout: Layout, tables: Mapping[str, LookupTable], request: Sequence[RequestField]
) -> tuple[tuple[NumberOf, ...], tuple[Callable[[Row], tuple[float, ...]], ...]]:
    places = {field.name: place for place, field in enumerate(request)}
    binder = RowBinder(tables, places, frozenset(field.name for field in request if field.nullable))
    numbers = [
        bind_steps(binder.bind_number(document.features[column.feature].expression), column.steps)
        for column in layout.numbers
    ]
    wide = []
    for group in layout.groups:
        feature = document.features[group.feature]
        is_text = feature.kind == "category"
        category: Callable[[Row], Any] = (
            binder.bind_text(feature.expression)
            if is_text
            else bind_steps(binder.bind_number(feature.expression), group.steps)
        )
        if group.width == 1:
            numbers.append(bind_single(group, category, is_text))
        else:
            wide.append(bind_group(group, category))
    return tuple(numbers), tuple(wide)


def _check_request(document: Document, request: Sequence[RequestField]) -> None:
    kinds = {field.name: field.kind for field in request}
    wrong = sorted(n for n, kind in find_column_kinds(document.features).items() if kinds.get(n, kind) != kind)
    if wrong:
        problem = f"its features read {', '.join(wrong)} as another type than the request has"
        raise CompiledFormRefused(
            f"The compiled scorer cannot be used: {problem}.",
            next_step="The scikit-learn model beside it serves; train again for a compiled one.",
            reason=problem,
        )


def read_scorer_request(request: Mapping[str, Mapping[str, Any]]) -> tuple[RequestField, ...]:
    """The fields of a request as training stores it: type and whether it is required, by name."""
    return tuple(RequestField(name, facts["type"], not facts["required"]) for name, facts in request.items())
