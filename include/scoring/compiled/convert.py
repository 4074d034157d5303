"""A fitted scorer to its compiled form, or to the reason why it has none. Needs scikit-learn; serving does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.pipeline import Pipeline

from include.scoring.compiled.convert_columns import convert_transformer
from include.scoring.compiled.convert_parts import SomeColumn, TextColumn, check_columns, refuse_conversion
from include.scoring.compiled.convert_trees import TREE_MODELS, convert_trees
from include.scoring.compiled.document import (
    FORMAT,
    Constant,
    Document,
    Linear,
    Model,
    ModelColumn,
    NumberColumn,
)
from include.scoring.expressions import Column, Feature, Lookup
from include.scoring.scorer import Scorer
from include.scoring.tables import StoredTable, decode_tables

# Their answer does not depend on chance.
_CONSTANT_STRATEGIES = ("prior", "most_frequent", "constant", "uniform")


def convert_scorer(scorer: Scorer) -> Document:
    """The compiled form of a fitted scorer.

    Raises CompiledFormRefused for a step or an estimator that has none. By exact type: a subclass may do anything.
    """
    features = scorer.row_features.features
    start: list[SomeColumn] = [
        NumberColumn(place) if feature.kind == "number" else TextColumn(place) for place, feature in enumerate(features)
    ]
    estimator, columns, row = scorer.estimator_, start, _make_row(features)
    while type(estimator) is Pipeline:
        *transformers, (_, estimator_inside) = estimator.steps
        for _, step in transformers:
            columns = convert_transformer(step, columns)
            row = row if step is None or isinstance(step, str) else step.transform(row)
        estimator = estimator_inside
    made, model = _convert_model(estimator, columns, bool(issparse(row)))
    return Document(FORMAT, features, _pick_tables(scorer.row_features.tables_json, features), tuple(made), model)


def _convert_model(estimator: Any, columns: Sequence[SomeColumn], sparse: bool) -> tuple[Sequence[ModelColumn], Model]:
    kind = type(estimator)
    if kind is DummyClassifier and estimator.strategy in _CONSTANT_STRATEGIES:
        return (), Constant(float(estimator.predict_proba(np.zeros((1, 1)))[0, 1]))
    if kind in TREE_MODELS:
        return convert_trees(estimator, columns, sparse)
    if kind in (LogisticRegression, LogisticRegressionCV) or (kind is SGDClassifier and estimator.loss == "log_loss"):
        return check_columns(columns), Linear(estimator.coef_[0].tolist(), float(estimator.intercept_[0]))
    raise refuse_conversion(f"its estimator {kind.__name__} is not one that is compiled")


def _make_row(features: Sequence[Feature]) -> Any:
    """One row of features without a value, as every fitted chain takes it that ignores unknown categories."""
    columns = {
        feature.name: pd.Series(
            [0.0 if feature.kind == "number" else None], dtype=np.float64 if feature.kind == "number" else object
        )
        for feature in features
    }
    return pd.DataFrame(columns)


def _pick_tables(tables_json: str, features: Sequence[Feature]) -> dict[str, StoredTable]:
    """Of the reference tables, the columns that the features look up."""
    used: dict[str, set[str]] = {}
    waiting: list[Any] = [feature.expression for feature in features]
    while waiting:
        expression = waiting.pop()
        if isinstance(expression, Lookup):
            used.setdefault(expression.table, set()).add(expression.value)
        if not isinstance(expression, Column):
            fields = (getattr(expression, name) for name in expression.__struct_fields__)
            waiting += [child for child in fields if isinstance(child, msgspec.Struct)]
    return {
        name: msgspec.structs.replace(
            table, columns={column: values for column, values in table.columns.items() if column in used[name]}
        )
        for name, table in decode_tables(tables_json).items()
        if name in used
    }
