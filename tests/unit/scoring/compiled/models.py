"""Fitted scorers of every kind that has a compiled form, over features that use every expression."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, SGDClassifier
from sklearn.pipeline import make_pipeline as chain
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier

from include.scoring.expressions import Feature
from include.scoring.row_features import RowFeatures
from include.scoring.scorer import Scorer
from tests.unit.scoring.factory import FEATURES, TABLES, make_requests

CATEGORIES = [feature.name for feature in FEATURES if feature.kind == "category"]
NUMBERS = [feature.name for feature in FEATURES if feature.kind == "number"]

Build = Callable[[], Any]

# What makes numbers of categories, by name. None of them refuses an unknown one.
ENCODERS: dict[str, Build] = {
    "one-hot": lambda: OneHotEncoder(handle_unknown="ignore"),
    "one-hot dense": lambda: OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    "one-hot without the first": lambda: OneHotEncoder(handle_unknown="ignore", drop="first"),
    "one-hot with rare ones together": lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=45),
    "one-hot of few": lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=2),
    "ordinal": lambda: OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    "ordinal with rare ones together": lambda: OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, max_categories=3, encoded_missing_value=-2
    ),
    "filled, then one-hot": lambda: chain(
        SimpleImputer(missing_values=None, strategy="constant", fill_value="AA"), OneHotEncoder(handle_unknown="ignore")
    ),
    "ordinal, then scaled": lambda: chain(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=9), StandardScaler()
    ),
    "ordinal, then one-hot": lambda: chain(
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=9),
        OneHotEncoder(handle_unknown="ignore"),
    ),
}
# What prepares numbers. The first two leave gaps, which only some estimators take.
SCALERS: dict[str, Build] = {
    "as they are": lambda: "passthrough",
    "scaled with gaps": lambda: MinMaxScaler(clip=True),
    "filled": lambda: SimpleImputer(),
    "filled with the median and scaled": lambda: chain(SimpleImputer(strategy="median"), StandardScaler()),
    "filled and marked": lambda: chain(SimpleImputer(add_indicator=True), RobustScaler()),
    "filled and clipped": lambda: chain(SimpleImputer(strategy="constant", fill_value=3.5), MinMaxScaler((-1, 1))),
    "filled and divided": lambda: chain(FunctionTransformer(), SimpleImputer(), MaxAbsScaler()),
    "as categories": lambda: chain(SimpleImputer(), OneHotEncoder(handle_unknown="ignore", max_categories=5)),
}
GAPS = ("as they are", "scaled with gaps")
TAKES_GAPS: dict[str, Build] = {
    "boosted": lambda: HistGradientBoostingClassifier(max_iter=8, random_state=0),
    "boosted, many leaves": lambda: HistGradientBoostingClassifier(
        max_iter=3, max_leaf_nodes=None, min_samples_leaf=1, random_state=0
    ),
    "random forest": lambda: RandomForestClassifier(5, random_state=0),
    "extra trees": lambda: ExtraTreesClassifier(5, random_state=0),
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "extra tree": lambda: ExtraTreeClassifier(random_state=0),
}
WITHOUT_GAPS: dict[str, Build] = {
    "gradient boosting": lambda: GradientBoostingClassifier(n_estimators=8, random_state=0),
    "gradient boosting from zero": lambda: GradientBoostingClassifier(n_estimators=5, init="zero", random_state=0),
    "logistic regression": lambda: LogisticRegression(max_iter=50),
    "logistic regression, lasso": lambda: LogisticRegression(l1_ratio=1, solver="liblinear", C=0.3),
    "logistic regression, cross-validated": lambda: LogisticRegressionCV(
        Cs=2, cv=2, max_iter=50, use_legacy_attributes=False
    ),
    # Without a scale its weights are so large that a sum overflows, and then depends on the order of its terms.
    "stochastic gradient descent": lambda: chain(MaxAbsScaler(), SGDClassifier(loss="log_loss", random_state=0)),
}
CONSTANT: dict[str, Build] = {
    name: (lambda name=name: DummyClassifier(strategy=name, constant=1 if name == "constant" else None))
    for name in ("prior", "most_frequent", "constant", "uniform")
}
ESTIMATORS = {**TAKES_GAPS, **WITHOUT_GAPS}


def make_labels(requests: pd.DataFrame, seed: int = 5) -> np.ndarray[Any, Any]:
    """Labels that follow distance and carrier, of both classes."""
    noise = np.random.default_rng(seed).normal(0, 300, len(requests))
    value = requests["distance"].fillna(900).to_numpy() + np.where(requests["carrier"] == "BB", 400, 0) + noise
    labels = (value > np.median(value)).astype(np.float64)
    labels[:2] = 0.0, 1.0
    return labels


def fit_estimator(
    estimator: Any, rows: int = 300, seed: int = 3, features: tuple[Feature, ...] = FEATURES, gaps: bool = True
) -> Scorer:
    """A scorer of all features with ``estimator``, fitted; without ``gaps`` on rows whose features are all there."""
    requests = make_requests(rows, seed)
    if not gaps:
        requests["tail"] = requests["tail"].map({"N1": "N1"}).fillna("N3")
        requests = requests.fillna({"hours": 2.5}).assign(
            day=requests["day"] % 28 + 1, clock=requests["clock"] // 100 * 100
        )
    row_features = RowFeatures(msgspec.json.encode(features).decode(), json.dumps(TABLES))
    return Scorer(row_features, estimator).fit(requests, make_labels(requests))


def build_chain(encoder: str, scaler: str, estimator: str) -> Any:
    """Categories encoded, numbers prepared, then the estimator."""
    columns = ColumnTransformer([("text", ENCODERS[encoder](), CATEGORIES), ("number", SCALERS[scaler](), NUMBERS)])
    return chain(columns, ESTIMATORS[estimator]())
