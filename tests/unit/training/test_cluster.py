"""A Dask cluster of real processes gives the model that this process gives, also when a worker is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.declaration import Candidate, Rung
from include.declaration.models import Pipeline
from include.errors import ClusterUnavailable
from include.runtime.measure import measure_work
from include.settings import Settings
from include.training.cluster import choose_engine, fit_here
from include.training.fit import fit_scorer
from tests.unit.factory import make_pipeline
from tests.unit.training.sets import prepare_toy

EMBEDDED = Rung(name="dask", kind="dask", workers=2, speeds_up=("trials",))


def score_slowly(estimator: Any, features: Any, labels: Any) -> float:
    """ROC AUC, after noting which process is at work and giving somebody the time to kill it."""
    from sklearn.metrics import roc_auc_score

    mark = os.environ.get("MARK_OF_TEST")
    if mark:
        Path(mark).write_text(str(os.getpid()))
        time.sleep(0.5)
    return float(roc_auc_score(labels, estimator.predict_proba(features)[:, 1]))


def build_search(seed: int, threads: int) -> Any:
    """A search whose trials are what a cluster takes side by side."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline as chain
    from sklearn.preprocessing import StandardScaler

    numbers = make_column_transformer(
        (chain(SimpleImputer(), StandardScaler()), make_column_selector(dtype_include="number"))
    )
    model = chain(numbers, LogisticRegression(random_state=seed))
    return GridSearchCV(
        model, {"logisticregression__C": [0.001, 0.01, 0.1, 1.0]}, cv=2, n_jobs=threads, scoring=score_slowly
    )


def declare_search(monkeypatch: pytest.MonkeyPatch) -> Pipeline:
    from tests.unit.toy import features

    monkeypatch.setattr(features, "build_search", build_search, raising=False)
    pipeline = make_pipeline()
    search = Candidate(name="search", kind="custom", function="features:build_search")
    candidates = (*pipeline.training.candidates, search)
    return pipeline.model_copy(update={"training": pipeline.training.model_copy(update={"candidates": candidates})})


def test_other_rungs_fit_in_this_process() -> None:
    assert choose_engine(Rung(name="worker"), 2) is fit_here
    assert choose_engine(Rung(name="big", kind="queue", queue="big"), 2) is fit_here


@pytest.mark.parametrize("candidate", ["trees", "search"])
def test_the_cluster_gives_the_same_predictions(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, candidate: str
) -> None:
    pipeline = declare_search(monkeypatch)
    training_set = prepare_toy(settings, pipeline, tmp_path)
    holdout = pd.read_parquet(Path(training_set.folder) / "holdout.parquet")
    here = fit_scorer(pipeline, training_set, candidate, 1)
    with measure_work() as meter:
        there = fit_scorer(pipeline, training_set, candidate, 1, meter, choose_engine(EMBEDDED, 2))
    assert np.array_equal(here.predict(holdout), there.predict(holdout))
    # The workers' memory is in the figure: two processes with scikit-learn loaded.
    assert meter.peak_mb - meter.base_mb > 150


def test_a_worker_that_is_killed_mid_training_is_replaced(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = declare_search(monkeypatch)
    training_set = prepare_toy(settings, pipeline, tmp_path)
    mark = tmp_path / "at-work"
    monkeypatch.setenv("MARK_OF_TEST", str(mark))
    killed: list[int] = []

    def kill_one() -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if mark.is_file() and (said := mark.read_text()):
                os.kill(int(said), signal.SIGKILL)
                killed.append(int(said))
                return
            time.sleep(0.02)

    assassin = threading.Thread(target=kill_one)
    assassin.start()
    there = fit_scorer(pipeline, training_set, "search", 1, None, choose_engine(EMBEDDED, 2))
    assassin.join()
    assert len(killed) == 1
    assert killed[0] != os.getpid()
    monkeypatch.delenv("MARK_OF_TEST")
    holdout = pd.read_parquet(Path(training_set.folder) / "holdout.parquet")
    assert np.array_equal(fit_scorer(pipeline, training_set, "search", 1).predict(holdout), there.predict(holdout))


def test_a_cluster_that_is_not_there_is_tried_again_later(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.training.cluster._PATIENCE_SECONDS", 1)
    pipeline = make_pipeline()
    training_set = prepare_toy(settings, pipeline, tmp_path)
    far = Rung(name="far", kind="dask", address="tcp://127.0.0.1:18099", speeds_up=("trials",))
    with pytest.raises(ClusterUnavailable, match="did not answer") as caught:
        fit_scorer(pipeline, training_set, "trees", 1, None, choose_engine(far, 2))
    assert caught.value.retryable
