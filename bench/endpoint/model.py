"""The model that every server of one run serves: real boosted trees of real flights, trained and packaged as ever."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from mlflow.models import Model

from include.contracts import PartitionRef, TrainingSet, Window
from include.declaration import Pipeline
from include.declaration.delivery import DataCapture
from include.declaration.loader import load_pipelines
from include.declaration.models import Request, RequestColumn
from include.pipelines.flight_delays.landing import read_flights, write_month
from include.scoring.expressions import Column, Feature
from include.scoring.row_features import RowFeatures
from include.scoring.scorer import Scorer
from include.settings import Settings
from include.tracking.packaging import write_model
from include.training.dataset import dump_features, prepare_training_set
from include.training.estimators import find_candidate
from include.training.evaluate import read_rows
from include.training.fit import fit_scorer

PIPELINE = "flight_delays"
CANDIDATE = "boosted_trees"
# The last one is the holdout: what is asked was never trained on.
_MONTHS = ("2013-01", "2013-02", "2013-03")
_COMPARED = 2_000
_PARITY = 1e-9
# What the endpoint captures is a figure of its own.
NO_CAPTURE = DataCapture(enable_capture=False)


@dataclass(frozen=True)
class Trained:
    """A fitted model, what it was made from, and ``requests``: rows that it was not trained on."""

    settings: Settings
    pipeline: Pipeline
    training_set: TrainingSet
    scorer: Scorer
    requests: pd.DataFrame

    def predict(self, body: str) -> list[float]:
        """What the scikit-learn model answers to a request."""
        document = json.loads(body)["dataframe_split"]
        frame = pd.DataFrame(document["data"], columns=document["columns"], dtype=object)
        return list(self.scorer.predict(frame).tolist())


def agree(answers: Sequence[float], expected: Sequence[float]) -> bool:
    """Whether a server answers as a model does."""
    return len(answers) == len(expected) and all(
        math.isclose(*pair, rel_tol=0.0, abs_tol=_PARITY) for pair in zip(answers, expected, strict=True)
    )


def train_model(settings: Settings) -> Trained:
    """Train on two months."""
    pipeline = load_pipelines(settings).pipelines[PIPELINE]
    training_set = prepare_training_set(settings, pipeline, _write_window(settings.data_root))
    requests, _, _ = read_rows(training_set, "holdout")
    return Trained(settings, pipeline, training_set, _fit(settings, pipeline, training_set), requests)


def train_smaller(trained: Trained, trees: int) -> Trained:
    """Another model for the same requests: with ``trees`` trees."""
    candidate = find_candidate(trained.pipeline, CANDIDATE)
    smaller = candidate.model_copy(update={"parameters": {**candidate.parameters, "max_iter": trees}})
    training = trained.pipeline.training.model_copy(update={"candidates": (smaller,)})
    changed = trained.pipeline.model_copy(update={"training": training})
    return replace(trained, pipeline=changed, scorer=_fit(trained.settings, changed, trained.training_set))


def package_model(trained: Trained, folder: Path, capture: DataCapture = NO_CAPTURE) -> Path:
    """Write the model as training does, with requests captured as asked; gives ``folder``. Ends the bench when it has
    no compiled form, which is what is measured."""
    deployment = trained.pipeline.deployment.model_copy(update={"data_capture": capture})
    pipeline = trained.pipeline.model_copy(update={"deployment": deployment})
    # Some of the holdout: that the compiled form answers all of it alike is the training's own gate.
    example = trained.requests.head(_COMPARED)
    packaged = write_model(trained.settings, folder, trained.scorer, pipeline, trained.training_set, example, Model())
    if packaged.scoring != "compiled":
        raise SystemExit(f"The model of the bench has no compiled form ({packaged.scoring}).")
    return folder


def take_features(trained: Trained) -> Trained:
    """The same fitted trees for callers that send the features themselves."""
    pipeline, scorer = trained.pipeline, trained.scorer
    features = tuple(Feature(each.name, Column(each.name), kind=each.kind) for each in pipeline.features)
    columns = {
        each.name: RequestColumn(type="string" if each.kind == "category" else "number", required=False)
        for each in features
    }
    request = Request(columns=columns, assemble=pipeline.request.assemble)
    changed = pipeline.model_copy(update={"features": features, "request": request})
    taken = Scorer(RowFeatures(dump_features(changed), "{}"), scorer.estimator)
    taken.estimator_, taken.classes_ = scorer.estimator_, scorer.classes_
    requests = scorer.row_features.transform(trained.requests)
    return replace(trained, pipeline=changed, scorer=taken, requests=requests)


def _fit(settings: Settings, pipeline: Pipeline, training_set: TrainingSet) -> Scorer:
    return fit_scorer(pipeline, training_set, CANDIDATE, settings.cores)


def _write_window(folder: Path) -> Window:
    flights = read_flights()
    refs = tuple(_point_at(month, write_month(month, folder, flights)) for month in _MONTHS)
    digest = hashlib.sha256("".join(ref.version for ref in refs).encode()).hexdigest()
    return Window(PIPELINE, refs[-1].partition, refs, digest)


def _point_at(partition: str, path: Path) -> PartitionRef:
    # As the refresh would have published it; its gate is another bench's subject.
    fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()
    return PartitionRef(
        pipeline=PIPELINE,
        partition=partition,
        version=fingerprint[:16],
        fingerprint=fingerprint,
        path=str(path),
        rows=0,
        quarantined=0,
        verdict="pass",
        rules_version="",
        report_path="",
        docs_path="",
        published_at="",
    )
