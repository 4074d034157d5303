"""The recipes take missing and unseen values, are seeded, and refuse parameters that they do not have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import skops.io

from include.declaration import Candidate, Pipeline
from include.errors import DeclarationError
from include.scoring.scorer import TRUSTED_TYPES
from include.training.estimators import build_estimator, find_candidate


def make_features(rows: int = 300, seed: int = 3) -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(seed)
    hour = random.integers(5, 23, rows).astype(float)
    frame = pd.DataFrame(
        {
            "hour": hour,
            "distance": random.uniform(20, 2000, rows),
            "weight": np.where(random.random(rows) < 0.3, np.nan, 1.0),
            "carrier": pd.Series(random.choice(["AA", "BB", None], rows), dtype=object),
            "fleet_age": np.where(random.random(rows) < 0.9, np.nan, 7.0),
        }
    )
    return frame, (hour + random.normal(0, 3, rows) > 14).astype(float)


@pytest.mark.parametrize("kind", ["boosted_trees", "linear", "naive"])
def test_missing_and_unseen_values_are_scored_and_only_trusted_types_stored(pipeline: Pipeline, kind: str) -> None:
    frame, labels = make_features()
    fitted = build_estimator(pipeline, Candidate(name="c", kind=kind), 1).fit(frame, labels)
    strange = frame.head(3).assign(carrier=pd.Series(["ZZ", None, "AA"], dtype=object), hour=np.nan)
    assert np.isfinite(fitted.predict_proba(strange)).all()
    assert set(skops.io.get_untrusted_types(data=skops.io.dumps(fitted))) <= set(TRUSTED_TYPES)


def test_missing_is_a_category_of_its_own_and_all_unseen_ones_are_alike(pipeline: Pipeline) -> None:
    frame, _ = make_features()
    labels = frame["carrier"].isna().to_numpy().astype(float)
    fitted = build_estimator(pipeline, Candidate(name="c", kind="boosted_trees"), 1).fit(frame, labels)
    scores = {
        value: fitted.predict_proba(frame.assign(carrier=pd.Series([value] * len(frame), dtype=object)))[:, 1]
        for value in (None, "AA", "never", "nor this")
    }
    assert scores[None].min() > 0.9 > 0.1 > scores["AA"].max()
    assert np.array_equal(scores["never"], scores["nor this"])


def test_more_categories_than_the_trees_can_bin_still_fit(pipeline: Pipeline) -> None:
    frame, labels = make_features(2000)
    frame["carrier"] = pd.Series([f"c{i % 700}" if i % 50 else None for i in range(2000)], dtype=object)
    fitted = build_estimator(pipeline, Candidate(name="c", kind="boosted_trees"), 1).fit(frame, labels)
    assert np.isfinite(fitted.predict_proba(frame)).all()


def test_the_naive_floor_is_the_base_rate(pipeline: Pipeline) -> None:
    frame, labels = make_features()
    fitted = build_estimator(pipeline, Candidate(name="c", kind="naive"), 1).fit(frame, labels)
    assert np.unique(fitted.predict_proba(frame)[:, 1]) == pytest.approx([labels.mean()])


def test_an_unknown_candidate_or_parameter_is_a_mistake_in_the_declaration(pipeline: Pipeline) -> None:
    with pytest.raises(DeclarationError, match="trees, linear, naive"):
        find_candidate(pipeline, "forest")
    wrong = Candidate(name="trees", kind="boosted_trees", parameters={"max_trees": 3})
    with pytest.raises(DeclarationError, match="max_trees"):
        build_estimator(pipeline, wrong, 1)


def test_a_custom_function_gets_seed_threads_and_its_parameters(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.unit.toy import features

    monkeypatch.setattr(features, "build_own", lambda **given: given, raising=False)
    own = Candidate(name="own", kind="custom", function="features:build_own", parameters={"depth": 3})
    assert build_estimator(pipeline, own, 2) == {"seed": pipeline.training.seed, "threads": 2, "depth": 3}
