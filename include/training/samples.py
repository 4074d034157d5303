"""Timed fits on samples: what a fit will take, where no fit of its kind was ever made."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from include.contracts import TrainingSet
from include.declaration.models import Pipeline
from include.runtime.history import FitRecord
from include.runtime.measure import measure_work
from include.scoring.row_features import RowFeatures
from include.scoring.scorer import Scorer
from include.settings import Settings
from include.training.cost import describe_fit
from include.training.dataset import dump_features
from include.training.estimators import build_estimator, find_candidate
from include.training.evaluate import read_rows

# Every so-manieth row: three sizes, as a curve wants, and all of them together less than half of a fit.
_STRIDES = (16, 8, 4)
_LEAST_ROWS = 200


def time_samples(
    settings: Settings, pipeline: Pipeline, training_set: TrainingSet, candidate_name: str, threads: int, limit: float
) -> list[FitRecord]:
    """Fit the candidate on up to three samples of the training rows; records with the samples' rows, smallest first.

    Nothing is kept of the models, and evaluation is not among what is timed; a declared search is counted as so many
    fits, and not made. After ``limit`` seconds no further sample
    is begun, nor one that should take longer than what is left. Raises what the estimator raises.
    """
    rung = pipeline.training.ladder.rungs[0].name
    candidate, deadline = find_candidate(pipeline, candidate_name), time.monotonic() + limit
    began = time.monotonic()
    requests, labels, _ = read_rows(training_set, "train")
    loaded = time.monotonic() - began
    row_features = RowFeatures(dump_features(pipeline), (Path(training_set.folder) / "tables.json").read_text())
    records: list[FitRecord] = []
    for stride in _STRIDES:
        rows = len(range(0, len(requests), stride))
        expected = 2 * (records[-1].seconds.total - records[-1].seconds.search) if records else 0.0
        if rows < _LEAST_ROWS or len(set(labels[::stride])) < 2 or time.monotonic() + expected > deadline:
            continue
        sample = requests.iloc[::stride]
        with measure_work() as meter, threadpool_limits(limits=threads):
            with meter.phase("features"):
                features = row_features.transform(sample)
            with meter.phase("fit"):
                Scorer(row_features, build_estimator(pipeline, candidate, threads)).fit_features(
                    features, labels[::stride]
                )
        if candidate.search is not None:
            # Each trial is such a fit on the older rows.
            trials = candidate.search.trials * (1 - candidate.search.validation_share)
            meter.add("search", trials * meter.seconds.fit, trials * meter.cpu.fit)
        # All rows were read for it once; a sample has its share of that.
        meter.add("load", loaded / stride, loaded / stride)
        record = describe_fit(
            settings,
            pipeline,
            training_set,
            candidate_name,
            "sample",
            threads,
            meter,
            rung=rung,
            dag_run="",
            trials=candidate.search.trials if candidate.search else 0,
        )
        records.append(replace(record, rows=rows))
    return records
