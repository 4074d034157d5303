"""Every model that is compiled answers as its scikit-learn model does, on ordinary rows and on hostile ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import AdaBoostClassifier, GradientBoostingClassifier, HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.pipeline import make_pipeline as chain
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, QuantileTransformer

from include.errors import CompiledFormRefused
from include.scoring.compiled.build import build_compiled_form
from include.scoring.compiled.convert import convert_scorer
from include.scoring.compiled.document import Constant, Document, Linear, Tree, Trees, read_document, write_document
from include.scoring.compiled.parity import TOLERANCE, check_parity
from include.scoring.expressions import Column, Feature
from include.scoring.scorer import Scorer
from tests.unit.scoring.compiled.models import (
    CATEGORIES,
    CONSTANT,
    ENCODERS,
    ESTIMATORS,
    GAPS,
    NUMBERS,
    SCALERS,
    TAKES_GAPS,
    build_chain,
    fit_estimator,
)
from tests.unit.scoring.factory import make_requests


def compare(scorer: Scorer, library: Path, requests: pd.DataFrame | None = None) -> Document:
    """The document, after it was written, read again and compared."""
    document = read_document(write_document(convert_scorer(scorer)))
    parity = check_parity(scorer, document, make_requests(100, 9) if requests is None else requests, library)
    assert parity.rows > 700
    assert parity.max_difference <= TOLERANCE
    return document


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_estimator_is_compiled(estimator: str, library: Path) -> None:
    scaler = "as they are" if estimator in TAKES_GAPS else "filled with the median and scaled"
    document = compare(fit_estimator(build_chain("ordinal", scaler, estimator)), library)
    assert type(document.model) is (Linear if "gradient descent" in estimator or "regression" in estimator else Trees)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_is_compiled(encoder: str, library: Path) -> None:
    compare(fit_estimator(build_chain(encoder, "filled and marked", "logistic regression")), library)


@pytest.mark.parametrize("scaler", SCALERS)
def test_every_scaler_is_compiled(scaler: str, library: Path) -> None:
    # A forest sees 32-bit floats; where its rows are sparse it takes no gaps.
    compare(fit_estimator(build_chain("one-hot dense", scaler, "random forest")), library)


@pytest.mark.parametrize("strategy", CONSTANT)
def test_a_floor_is_compiled_to_one_number(strategy: str, library: Path) -> None:
    document = compare(fit_estimator(CONSTANT[strategy]()), library)
    assert type(document.model) is Constant
    assert document.columns == ()


def build_by_columns(columns: Any) -> Any:
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("text", encoder, CATEGORIES), ("gone", "drop", [NUMBERS[0]]), ("number", "passthrough", columns)]
    return chain(ColumnTransformer(parts, remainder=chain("passthrough")), HistGradientBoostingClassifier(max_iter=5))


@pytest.mark.parametrize(
    "columns",
    [
        NUMBERS[2:4],
        slice(NUMBERS[2], NUMBERS[4]),
        slice(-3, None),
        slice(3, 8, 2),
        [-1, 4],
        np.array([False, False, False, False, True, True, False, True, False]),
        lambda frame: [frame.columns[-1]],
        NUMBERS[3],
        [],
    ],
    ids=lambda columns: "a function" if callable(columns) else str(columns),
)
def test_columns_are_found_however_they_were_chosen(columns: Any, library: Path) -> None:
    if isinstance(columns, str):
        columns = [columns]
    compare(fit_estimator(build_by_columns(columns)), library)


@pytest.mark.parametrize("categorical", ["by mask", "encoded twice"])
def test_splits_by_categories_are_compiled(categorical: str, library: Path) -> None:
    """With many categories of which some are rare, unknown or missing, and thresholds among numbers beside them."""
    features = (Feature("tail", Column("tail"), "category"), Feature("distance", Column("distance")))
    random = np.random.default_rng(4)
    requests = make_requests(600).assign(tail=[f"N{place}" for place in random.integers(0, 40, 600)])
    requests.loc[::17, "tail"] = None
    late = np.array([hash_text(tail) % 3 == 0 for tail in requests["tail"].tolist()])
    labels = (late ^ (random.random(600) < 0.1)).astype(np.float64)
    boosting = HistGradientBoostingClassifier(max_iter=15, categorical_features=[True, False], random_state=0)
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    columns = ColumnTransformer([("text", encoder, ["tail"]), ("number", "passthrough", ["distance"])])
    estimator = boosting if categorical == "by mask" else chain(columns, boosting)
    scorer = fit_estimator(DummyClassifier(), features=features)
    scorer.estimator = estimator
    scorer.fit(requests, labels)
    nodes = [predictor.nodes for (predictor,) in find_boosting(scorer)._predictors]
    assert any(each["is_categorical"].any() for each in nodes)
    compare(scorer, library, requests)


def find_boosting(scorer: Scorer) -> Any:
    return scorer.estimator_[-1] if hasattr(scorer.estimator_, "steps") else scorer.estimator_


def hash_text(text: object) -> int:
    return sum(map(ord, text)) if isinstance(text, str) else 0


class Contrary(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator that nobody knows."""

    def fit(self, features: Any, labels: Any) -> Contrary:
        self.classes_ = np.array([0.0, 1.0])
        return self

    def predict_proba(self, features: Any) -> Any:
        return np.full((len(features), 2), 0.5)


class OwnRegression(LogisticRegression):  # type: ignore[misc]
    """A subclass may answer anything."""

    def predict_proba(self, features: Any) -> Any:
        return 1 - super().predict_proba(features)


def prepare(encoder: Any = None, scaler: Any = "filled") -> Any:
    encoder = ENCODERS["one-hot dense"]() if encoder is None else encoder
    scaler = SCALERS[scaler]() if isinstance(scaler, str) else scaler
    return ColumnTransformer([("text", encoder, CATEGORIES), ("number", scaler, NUMBERS)])


@pytest.mark.parametrize(
    "estimator, reason",
    [
        (chain(prepare(), Contrary()), "Contrary"),
        (chain(prepare(), OwnRegression()), "OwnRegression"),
        (chain(prepare(), AdaBoostClassifier(n_estimators=3)), "AdaBoostClassifier"),
        (chain(prepare(), CalibratedClassifierCV(LogisticRegression(), cv=2)), "CalibratedClassifierCV"),
        (chain(prepare(), SGDClassifier(loss="modified_huber")), "SGDClassifier"),
        (chain(prepare(), DummyClassifier(strategy="stratified")), "DummyClassifier"),
        (chain(prepare(), GradientBoostingClassifier(n_estimators=3, init=LogisticRegression())), "of its own"),
        (chain(prepare(), GradientBoostingClassifier(n_estimators=3, loss="exponential")), "another loss"),
        (chain(prepare(scaler=QuantileTransformer(n_quantiles=9)), HistGradientBoostingClassifier()), "Quantile"),
        (chain(prepare(scaler=FunctionTransformer(np.tanh)), HistGradientBoostingClassifier()), "code of its own"),
        (chain(prepare(OneHotEncoder(sparse_output=False)), HistGradientBoostingClassifier()), "refuses a category"),
        (chain(prepare("passthrough"), DummyClassifier()), None),
        (
            chain(
                ColumnTransformer([("n", "passthrough", NUMBERS)], transformer_weights={"n": 2.0}),
                HistGradientBoostingClassifier(),
            ),
            "weights its parts",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_has_no_compiled_form_is_left_to_scikit_learn_and_says_why(
    estimator: Any, reason: str | None, tmp_path: Path
) -> None:
    form = build_compiled_form(fit_estimator(estimator, 120), make_requests(20), tmp_path, None)
    if reason is None:
        assert form.content is not None
        return
    assert form.content is None
    assert form.facts["compiled"] is False
    assert reason in form.facts["reason"]


def change_tree(document: Document, change: Any) -> Document:
    assert isinstance(document.model, Trees)
    first, *others = document.model.trees
    tree = msgspec.structs.asdict(msgspec.json.decode(first, type=Tree))
    change(tree)
    raw = msgspec.Raw(msgspec.json.encode(Tree(**tree)))
    return msgspec.structs.replace(document, model=msgspec.structs.replace(document.model, trees=[raw, *others]))


def move_threshold(tree: dict[str, Any]) -> None:
    """By one bit: only a row that lies exactly on it is answered otherwise."""
    place = next(n for n, column in enumerate(tree["feature"]) if column >= len(CATEGORIES))
    tree["threshold"][place] = math.nextafter(tree["threshold"][place], -math.inf)


def turn_missing(tree: dict[str, Any]) -> None:
    place = next(n for n, column in enumerate(tree["feature"]) if column >= len(CATEGORIES))
    tree["missing_left"][place] = not tree["missing_left"][place]


def change_leaf(tree: dict[str, Any]) -> None:
    place = tree["feature"].index(-1)
    tree["threshold"][place] += 1e-7


@pytest.mark.parametrize("change", [move_threshold, turn_missing, change_leaf])
def test_a_form_that_answers_otherwise_anywhere_is_refused(change: Any, library: Path) -> None:
    scorer = fit_estimator(build_chain("ordinal", "as they are", "boosted"))
    document = convert_scorer(scorer)
    check_parity(scorer, document, make_requests(100, 9), library)
    with pytest.raises(CompiledFormRefused, match="another probability"):
        check_parity(scorer, change_tree(document, change), make_requests(100, 9), library)


def test_32_bit_floats_are_not_64_bit_ones(library: Path) -> None:
    """The conversion that flips thresholds, in both directions."""
    for estimator in ("boosted", "random forest"):
        scorer = fit_estimator(build_chain("ordinal", "as they are", estimator))
        document = convert_scorer(scorer)
        assert isinstance(document.model, Trees)
        other = msgspec.structs.replace(document.model, single_precision=not document.model.single_precision)
        with pytest.raises(CompiledFormRefused):
            check_parity(scorer, msgspec.structs.replace(document, model=other), make_requests(100, 9), library)


def test_answering_what_the_model_refuses_is_no_parity(library: Path) -> None:
    """Gradient boosting takes no gaps; a form that does says something about rows the model knows nothing of."""
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    scorer = fit_estimator(
        chain(prepare(encoder, "as they are"), GradientBoostingClassifier(n_estimators=3)), gaps=False
    )
    document = convert_scorer(scorer)
    assert check_parity(scorer, document, make_requests(100, 9), library).refused > 10
    assert isinstance(document.model, Trees)
    open_minded = msgspec.structs.replace(document.model, takes_missing=True)
    with pytest.raises(CompiledFormRefused, match="refuses"):
        check_parity(scorer, msgspec.structs.replace(document, model=open_minded), make_requests(100, 9), library)


def test_a_defect_in_making_it_does_not_lose_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = fit_estimator(build_chain("ordinal", "filled", "tree"), 50)
    del scorer.estimator_[-1].tree_
    form = build_compiled_form(scorer, make_requests(20), tmp_path, None)
    assert form.content is None
    assert "AttributeError" in form.facts["reason"]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    encoder=st.sampled_from(sorted(ENCODERS)),
    scaler=st.sampled_from(sorted(SCALERS)),
    estimator=st.sampled_from(sorted(ESTIMATORS)),
    rows=st.integers(60, 300),
    seed=st.integers(0, 10_000),
)
def test_any_chain_on_any_rows(library: Path, encoder: str, scaler: str, estimator: str, rows: int, seed: int) -> None:
    if scaler in GAPS and estimator not in TAKES_GAPS:
        scaler = "filled"
    try:
        scorer = fit_estimator(build_chain(encoder, scaler, estimator), rows, seed)
    except (TypeError, ValueError) as error:
        # Histogram boosting takes no sparse rows, and trees on them no gaps.
        assert "parse" in str(error) or "NaN" in str(error), error
        return
    compare(scorer, library, make_requests(rows, seed + 1))
