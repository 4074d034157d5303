"""The scorer: the same answers after storing, and no model file that asks for more than our own list."""

from __future__ import annotations

import functools
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.compose import make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from include.errors import TrainingDataInvalid, UnsafeModel
from include.scoring.row_features import RowFeatures
from include.scoring.scorer import Scorer, load_scorer
from tests.unit.scoring.factory import make_requests, make_row_features

_CATEGORIES = ["carrier", "engine"]


def _make_trees() -> Any:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=np.nan)
    columns = make_column_transformer((encoder, _CATEGORIES), remainder="passthrough")
    return make_pipeline(columns, HistGradientBoostingClassifier(max_iter=5, random_state=1))


def _make_linear() -> Any:
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    columns = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), _CATEGORIES), remainder=numbers)
    return make_pipeline(columns, LogisticRegression())


def _fit(estimator: Any) -> Scorer:
    requests = make_requests()
    labels = (requests["distance"] > 900).astype("float64")
    return Scorer(make_row_features(), estimator).fit(requests, labels)


def _store(thing: Any, folder: Path) -> Path:
    skops.io.dump(thing, folder / "model.skops")
    return folder


@pytest.mark.parametrize("make", [_make_trees, _make_linear, lambda: DummyClassifier(strategy="prior")])
def test_a_stored_scorer_answers_as_before(make: Any, tmp_path: Path) -> None:
    """The built-in kinds of estimator need no type beyond our list, and lose nothing by being stored."""
    scorer = _fit(make())
    loaded = load_scorer(_store(scorer, tmp_path))
    unseen = make_requests(seed=9).assign(carrier="ZZ")
    answers = loaded.predict(unseen)
    assert answers.shape == (200,)
    assert answers.dtype == np.float64
    assert answers.tobytes() == scorer.predict(unseen).tobytes()
    assert ((answers >= 0) & (answers <= 1)).all()


def test_predict_is_the_probability_of_class_one() -> None:
    scorer = _fit(_make_trees())
    requests = make_requests()
    assert (scorer.predict(requests) == scorer.predict_proba(requests)[:, 1]).all()
    assert scorer.predict(requests)[requests["distance"] > 1200].mean() > 0.6


def test_boosted_trees_answer_a_single_row_as_in_a_batch() -> None:
    scorer = _fit(_make_trees())
    requests = make_requests(rows=30, seed=4)
    batch = scorer.predict(requests)
    assert [scorer.predict(requests.iloc[[row]])[0] for row in range(30)] == batch.tolist()


@pytest.mark.parametrize("labels", [np.zeros(200), np.full(200, 2.0), np.array([0.0, 1.0] * 99 + [np.nan, 1.0])])
def test_labels_other_than_both_classes_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(TrainingDataInvalid):
        Scorer(make_row_features(), _make_trees()).fit(make_requests(), labels)


@pytest.mark.parametrize(
    "thing",
    [
        functools.partial(print, "run"),
        {"row_features": make_row_features(), "hook": functools.partial(print, "run")},
        Scorer(make_row_features(), FunctionTransformer(func=exec)),
        Scorer(make_row_features(), Path("/")),
    ],
)
def test_a_file_that_asks_for_other_types_is_refused(thing: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsafeModel, match="not trusted") as caught:
        load_scorer(_store(thing, tmp_path))
    assert caught.value.types


def test_a_foreign_class_is_refused_without_importing_its_module(tmp_path: Path, monkeypatch: Any) -> None:
    """Reading the list of types must not run the code of a module that the file names."""
    (tmp_path / "tollgate_hostile.py").write_text("class Estimator:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import tollgate_hostile  # type: ignore[import-not-found]

    _store(Scorer(make_row_features(), tollgate_hostile.Estimator()), tmp_path)
    monkeypatch.delitem(sys.modules, "tollgate_hostile")
    with pytest.raises(UnsafeModel, match=r"tollgate_hostile\.Estimator"):
        load_scorer(tmp_path)
    assert "tollgate_hostile" not in sys.modules


def test_a_file_rewritten_to_call_the_shell_is_refused(tmp_path: Path) -> None:
    """A crafted schema that names os.system where a partial stood does not get it called."""
    marker = tmp_path / "marker"
    _store(functools.partial(print, f"touch {marker}"), tmp_path)
    path = tmp_path / "model.skops"
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    schema = content["schema.json"].decode()
    crafted = schema.replace('"print"', '"system"').replace('"builtins"', '"os"')
    assert crafted != schema
    content["schema.json"] = crafted.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in content.items():
            archive.writestr(name, text)
    with pytest.raises(UnsafeModel):
        load_scorer(tmp_path)
    assert not marker.exists()


def test_a_type_outside_our_list_is_refused(tmp_path: Path) -> None:
    _store(Scorer(make_row_features(), functools.partial(dict)), tmp_path)
    with pytest.raises(UnsafeModel):
        load_scorer(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_what_is_no_model_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "model.skops").write_bytes(content)
    with pytest.raises(UnsafeModel, match="cannot be read"):
        load_scorer(tmp_path)


@pytest.mark.parametrize(
    "thing",
    [LogisticRegression(), Scorer(None, LogisticRegression()), Scorer(RowFeatures("[1]", "{}"), LogisticRegression())],
)
def test_a_trusted_thing_that_is_no_usable_scorer_is_refused(thing: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsafeModel):
        load_scorer(_store(thing, tmp_path))


def test_a_schema_of_wild_json_is_refused(tmp_path: Path) -> None:
    """The reader's own failures on a hostile schema come out as a refusal too."""
    with zipfile.ZipFile(tmp_path / "model.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps({"__loader__": "NoSuchNode", "content": []}))
    with pytest.raises(UnsafeModel):
        load_scorer(tmp_path)
