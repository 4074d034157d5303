"""The model that every server of one run serves: real boosted trees of real flights, trained and packaged as ever."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
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
from include.training.evaluate import read_rows
from include.training.fit import fit_scorer

PIPELINE = "flight_delays"
CANDIDATE = "boosted_trees"
# The last one is the holdout: what is asked was never trained on.
_MONTHS = ("2013-01", "2013-02", "2013-03")
_COMPARED = 2_000


@dataclass(frozen=True)
class BenchModel:
    """``folder`` is the packaged model, which keeps no requests, and ``requests`` are rows that it was not trained on.

    ``captured`` is the same with every request captured; ``finished`` is the same trees behind a request that holds the
    features themselves, and ``features`` are such requests.
    """

    pipeline: Pipeline
    scorer: Scorer
    requests: pd.DataFrame
    folder: Path
    captured: Path
    finished: Path
    features: pd.DataFrame

    def predict(self, body: str) -> list[float]:
        """What the scikit-learn model answers to a request."""
        document = json.loads(body)["dataframe_split"]
        frame = pd.DataFrame(document["data"], columns=document["columns"], dtype=object)
        return list(self.scorer.predict(frame).tolist())


def make_model(settings: Settings, folder: Path) -> BenchModel:
    """Train on two months and package below ``folder``: for raw requests, with capture, and for finished columns."""
    pipeline = load_pipelines(settings).pipelines[PIPELINE]
    training_set = prepare_training_set(settings, pipeline, _write_window(settings.data_root))
    scorer = fit_scorer(pipeline, training_set, CANDIDATE, settings.cores).scorer
    requests, _, _ = read_rows(training_set, "holdout")
    features = scorer.row_features.transform(requests)
    quiet = set_capture(pipeline, DataCapture(enable_capture=False))
    loud = set_capture(pipeline, DataCapture(enable_capture=True, initial_sampling_percentage=100.0))
    made = BenchModel(pipeline, scorer, requests, folder / "raw", folder / "captured", folder / "finished", features)
    package(settings, quiet, scorer, training_set, requests, made.folder)
    package(settings, loud, scorer, training_set, requests, made.captured)
    package(settings, *take_features(quiet, scorer), training_set, features, made.finished)
    return made


def set_capture(pipeline: Pipeline, capture: DataCapture) -> Pipeline:
    """The same pipeline with other settings of capture."""
    deployment = pipeline.deployment.model_copy(update={"data_capture": capture})
    return pipeline.model_copy(update={"deployment": deployment})


def package(
    settings: Settings,
    pipeline: Pipeline,
    scorer: Scorer,
    training_set: TrainingSet,
    requests: pd.DataFrame,
    folder: Path,
) -> None:
    """Write the model as training does. Ends the bench when it has no compiled form, which is what is measured."""
    # Some of the holdout: that the compiled form answers all of it alike is the training's own gate.
    packaged = write_model(settings, folder, scorer, pipeline, training_set, requests.head(_COMPARED), Model())
    if packaged.scoring != "compiled":
        raise SystemExit(f"The model of the bench has no compiled form ({packaged.scoring}).")


def take_features(pipeline: Pipeline, scorer: Scorer) -> tuple[Pipeline, Scorer]:
    """The same fitted trees for callers that send the features themselves."""
    features = tuple(Feature(each.name, Column(each.name), kind=each.kind) for each in pipeline.features)
    columns = {
        each.name: RequestColumn(type="string" if each.kind == "category" else "number", required=False)
        for each in features
    }
    request = Request(columns=columns, assemble=pipeline.request.assemble)
    changed = pipeline.model_copy(update={"features": features, "request": request})
    taken = Scorer(RowFeatures(dump_features(changed), "{}"), scorer.estimator)
    taken.estimator_, taken.classes_ = scorer.estimator_, scorer.classes_
    return changed, taken


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
