"""A small fitted scorer of the toy pipeline, and the contracts around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline as chain
from sklearn.preprocessing import OneHotEncoder

from include.contracts import Blessing, Check, TrainingSet
from include.declaration import Pipeline
from include.scoring.row_features import RowFeatures
from include.scoring.scorer import Scorer
from tests.unit.factory import make_rows
from tests.unit.toy.features import assemble_requests, mark_late


def make_training_set(pipeline: Pipeline, folder: Path, digest: str = "a" * 64) -> TrainingSet:
    return TrainingSet(pipeline.name, "2013-02", str(folder), digest, "w" * 16, 300, 100, 0.4, 0.4, 0, "2013-02", 0.1)


def make_requests(rows: int = 300) -> pd.DataFrame:
    return assemble_requests(make_rows("2013-01", rows), {})


def fit_scorer(pipeline: Pipeline) -> Scorer:
    features = tuple(f for f in pipeline.features if f.name in {"hour", "distance", "carrier"})
    columns = ColumnTransformer(
        [("text", OneHotEncoder(handle_unknown="ignore"), ["carrier"]), ("number", "passthrough", ["hour", "distance"])]
    )
    estimator = chain(columns, LogisticRegression(max_iter=500))
    return Scorer(RowFeatures(msgspec.json.encode(features).decode()), estimator).fit(
        make_requests(), mark_late(make_rows("2013-01", 300))
    )


def make_blessing(pipeline: Pipeline, run_id: str, model_uri: str, **changes: Any) -> Blessing:
    fields: dict[str, Any] = {
        "pipeline": pipeline.name,
        "partition": "2013-02",
        "candidate": "linear",
        "candidate_run_id": run_id,
        "candidate_model_uri": model_uri,
        "champion_version": None,
        "blessed": True,
        "checks": (Check("roc_auc ≥ 0.6", "value", "pass", 0.7, 0.6),),
        "reasons": ("roc_auc 0.7 is above 0.6.",),
        "training_set_digest": "a" * 64,
        "window_digest": "w" * 16,
    }
    return Blessing(**{**fields, **changes})
