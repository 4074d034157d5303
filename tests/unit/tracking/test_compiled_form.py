"""The compiled form is made when a model is logged, signed with it, and named on the version that is registered."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.naive_bayes import BernoulliNB

from include.errors import UnsafeModel
from include.scoring.scorer import Scorer
from include.serving.model import load_model
from include.settings import Settings
from include.tracking.client import open_client
from include.tracking.models import download_model, log_scorer
from include.tracking.registry import register_version
from include.tracking.runs import open_run
from tests.unit.factory import make_pipeline, make_rows
from tests.unit.toy.features import mark_late
from tests.unit.tracking.factory import fit_scorer, make_blessing, make_requests, make_training_set


def register_toy(settings: Settings, name: str, scorer: Scorer, folder: Path) -> tuple[str, str]:
    """Log and register; gives the model's address and what the registered version says about its scoring."""
    pipeline = make_pipeline(name)
    training_set = make_training_set(pipeline, folder)
    run = open_run(settings, name, "a/b", "linear", {})
    uri = log_scorer(settings, run, scorer, pipeline, training_set, make_requests(40))
    version = register_version(settings, pipeline, make_blessing(pipeline, run, uri), training_set)
    with open_client(settings) as client:
        return uri, client.get_model_version(name, version.version).tags["tollgate.scoring"]


def test_a_registered_model_is_served_from_its_compiled_form(
    tracked: Settings, mlflow_root: Path, tmp_path: Path
) -> None:
    scorer = fit_scorer(make_pipeline())
    uri, scoring = register_toy(tracked, "compiled", scorer, tmp_path)
    assert scoring == "compiled"
    model = load_model(download_model(tracked, uri, tmp_path / "model"))
    assert model.scoring_path == "compiled"
    facts = model.metadata["scoring"]
    assert (facts["compiled"], facts["rows"] > 500, facts["max_difference"] <= 1e-9) == (True, True, True)
    requests = make_requests(30).drop(columns=["weight", "depot"])
    body = json.dumps({"dataframe_records": requests.to_dict("records")}).encode()
    np.testing.assert_allclose(model.answer("application/json", body), scorer.predict(requests), rtol=0, atol=1e-12)

    (stored,) = (mlflow_root / "artifacts").rglob(f"{uri.removeprefix('models:/')}/artifacts/scorer.json")
    stored.write_bytes(stored.read_bytes() + b" ")
    with pytest.raises(UnsafeModel, match=r"changed, missing or added: scorer\.json"):
        download_model(tracked, uri, tmp_path / "again")


def test_a_model_without_a_compiled_form_is_registered_with_the_reason(tracked: Settings, tmp_path: Path) -> None:
    scorer = fit_scorer(make_pipeline())
    scorer.estimator.steps[-1] = ("model", BernoulliNB())
    scorer.fit(make_requests(), mark_late(make_rows("2013-01", 300)))
    uri, scoring = register_toy(tracked, "plain", scorer, tmp_path)
    reason = "its estimator BernoulliNB is not one that is compiled"
    assert scoring == f"pipeline: {reason}"
    model = load_model(download_model(tracked, uri, tmp_path / "model"))
    assert (model.scoring_path, model.scoring_note) == ("pipeline", reason)
    assert not (tmp_path / "model" / "scorer.json").exists()
