"""A registered version made again from what its run logged: the same partitions and parameters, the same figures.

``mlflow run . -P pipeline=NAME -P version=N --env-manager local`` calls this through the project's MLproject file.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from include.contracts import PartitionRef, TrainedModel, Window, unpack
from include.data.publish import list_versions
from include.data.window import digest_window
from include.declaration.loader import get_pipeline
from include.declaration.models import Candidate, Pipeline
from include.errors import RefreshMissing, TollgateError, TrackingConflict
from include.settings import Settings, load_settings
from include.tracking.entries import log_metrics, read_artifact, read_params, read_tags, set_tags
from include.tracking.registry import get_version
from include.training.dataset import prepare_training_set
from include.training.evaluate import evaluate_predictions, write_predictions
from include.training.fit import STORED_SET, THREADS_TAG, TRAINED_TAG, fit_scorer
from include.training.storage import parse_partition_versions

# Sums over the same rows in another order differ in the last digits only.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Reproduction:
    """The figures as logged and as found now; ``differences`` are sentences, none when it is the same model."""

    logged: Mapping[str, float]
    found: Mapping[str, float]
    differences: tuple[str, ...]


def _find_partition(settings: Settings, pipeline: Pipeline, partition: str, version: str) -> PartitionRef:
    for ref in list_versions(settings, pipeline, partition):
        if ref.version == version:
            return ref
    raise RefreshMissing(
        f"Version {version} of partition {partition} of {pipeline.name} is not published here any more.",
        next_step=f"Restore it below {settings.data_root / pipeline.name}, or point TOLLGATE_HOME at where it is.",
        pipeline=pipeline.name,
        partition=partition,
        landing=str(settings.data_root),
    )


def _rebuild_pipeline(pipeline: Pipeline, params: Mapping[str, str]) -> Pipeline:
    """The declaration with the logged candidate and seed in place of today's."""
    candidate = Candidate(
        name=params["candidate"],
        kind=params["kind"],
        function=params["function"] or None,
        parameters=json.loads(params["parameters"]),
    )
    training = pipeline.training.model_copy(update={"candidates": (candidate,), "seed": int(params["seed"])})
    return pipeline.model_copy(update={"training": training})


def _compare_figures(logged: Mapping[str, float], found: Mapping[str, float]) -> list[str]:
    differences = []
    for name in sorted(logged.keys() | found.keys()):
        before, now = logged.get(name), found.get(name)
        both_nan = before is not None and now is not None and math.isnan(before) and math.isnan(now)
        if before is None or now is None:
            differences.append(f"{name} was {before} and is {now} now.")
        elif not both_nan and not math.isclose(before, now, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            differences.append(f"{name} was {before!r} and is {now!r} now.")
    return differences


def reproduce_version(settings: Settings, pipeline: Pipeline, version: str) -> Reproduction:
    """Prepare the logged window's training set again, fit the logged candidate, and compare the holdout's figures.

    Raises TrackingConflict (no such version, one that Tollgate did not train, or artifacts that are gone) and
    RefreshMissing (a partition version is gone).
    """
    run_id = get_version(settings, pipeline.name, version).run_id
    params, tags = read_params(settings, run_id), read_tags(settings, run_id)
    if TRAINED_TAG not in tags:
        raise TrackingConflict(
            f"The run {run_id} of {pipeline.name} {version} was not made by a training of Tollgate.",
            next_step="Name a version that train_model registered.",
            run_id=run_id,
            version=version,
        )
    logged = unpack(TrainedModel, json.loads(tags[TRAINED_TAG])).metrics
    versions = parse_partition_versions(read_artifact(settings, run_id, STORED_SET))
    refs = tuple(_find_partition(settings, pipeline, name, published) for name, published in versions.items())
    pipeline = _rebuild_pipeline(pipeline, params)
    window = Window(pipeline.name, params["partition"], refs, digest_window(refs))
    training_set = prepare_training_set(settings, pipeline, window)
    differences = []
    if training_set.digest != params["training_set"]:
        differences.append(
            f"The training set is {training_set.digest} instead of {params['training_set']}: the declaration, the "
            "pipeline's code or its reference tables changed since; check out the commit of that time."
        )
    # The order of a sum depends on how many threads share it.
    scorer = fit_scorer(pipeline, training_set, params["candidate"], int(tags.get(THREADS_TAG, settings.cores)))
    with tempfile.TemporaryDirectory() as folder:
        labels, predictions = write_predictions(training_set, scorer, Path(folder) / "again.parquet")
    found = evaluate_predictions(labels, predictions)
    return Reproduction(logged, found, tuple(differences + _compare_figures(logged, found)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Reproduce one version; 0 when it is the same, 1 with the differences, or the error, on standard error."""
    parser = argparse.ArgumentParser(description="Train a registered version again and compare its figures.")
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--version", required=True)
    given = parser.parse_args(arguments)
    # `mlflow run` made a run for this; read it before the tracking client clears it from the environment.
    project_run = os.environ.get("MLFLOW_RUN_ID")
    settings = load_settings()
    try:
        result = reproduce_version(settings, get_pipeline(settings, given.pipeline), given.version)
        if project_run:
            log_metrics(settings, project_run, result.found)
            set_tags(settings, project_run, {"tollgate.reproduced": "no" if result.differences else "yes"})
    except TollgateError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for name in sorted(result.found):
        sys.stdout.write(f"{name:20} {result.found[name]:.10f}\n")
    for difference in result.differences:
        sys.stderr.write(f"{difference}\n")
    if not result.differences:
        sys.stdout.write(f"{given.pipeline} version {given.version} is reproduced.\n")
    return 1 if result.differences else 0


if __name__ == "__main__":
    sys.exit(main())
