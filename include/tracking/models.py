"""Models in MLflow: logged once per run with the digest of every file, and never used when a file has changed."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.contracts import TrainingSet
from include.declaration import Pipeline
from include.errors import TrackingConflict, UnsafeModel
from include.records import write_file_atomically
from include.settings import Settings
from include.tracking.client import open_client
from include.tracking.entries import MAX_TAG_LENGTH, read_artifact
from include.tracking.packaging import hash_model_files, write_model

if TYPE_CHECKING:
    import pandas as pd
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

MODEL_URI_TAG = "tollgate.model_uri"
MODEL_SHA_TAG = "tollgate.model_sha256"
# What will compute its answers: "compiled", or "pipeline: " and the reason.
SCORING_TAG = "tollgate.scoring"
MODEL_FILES_TAG = "tollgate.model_files"
PREDICTIONS = "holdout/predictions.parquet"
PREDICTIONS_SHA_TAG = "tollgate.predictions_sha256"


def _adopt_model(client: MlflowClient, run_id: str, experiment_id: str) -> LoggedModel | None:
    """The whole model that an earlier try of this run logged; what it left half-made is deleted."""
    adopted: LoggedModel | None = None
    for model in client.search_logged_models([experiment_id], f"source_run_id = '{run_id}'"):
        if adopted is None and str(model.status) == "READY" and MODEL_FILES_TAG in model.tags:
            adopted = model
        elif str(model.status) != "READY":
            client.delete_logged_model(model.model_id)
    return adopted


def log_scorer(
    settings: Settings,
    run_id: str,
    scorer: Any,
    pipeline: Pipeline,
    training_set: TrainingSet,
    requests: pd.DataFrame,
) -> str:
    """Log a fitted scorer as the run's one model and return its URI (``models:/m-…``).

    ``requests`` are rows that it was not fitted on: its compiled form is compared with it on them, and the first few
    become MLflow's example.

    A repeat returns the model that is there. The run gets the tags ``tollgate.model_uri`` and
    ``tollgate.model_sha256`` (of ``model.skops``); the model itself gets the SHA-256 of each of its files.
    Raises TrackingConflict when the run already has a model of another training set.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    with open_client(settings) as client:
        run = client.get_run(run_id)
        experiment_id = run.info.experiment_id
        model = _adopt_model(client, run_id, experiment_id)
        if model is None:
            tags = {"tollgate.training_set": training_set.digest, "tollgate.partition": training_set.partition}
            model = client.create_logged_model(experiment_id, pipeline.name, source_run_id=run_id, tags=tags)
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch) / "model"
                header = Model(run_id=run_id, model_id=model.model_id, artifact_path=model.artifact_location)
                packaged = write_model(settings, folder, scorer, pipeline, training_set, requests, header)
                client.log_model_artifacts(model.model_id, str(folder))
            signed = {
                MODEL_FILES_TAG: json.dumps(packaged.files),
                MODEL_SHA_TAG: packaged.files["model.skops"],
                SCORING_TAG: packaged.scoring[:MAX_TAG_LENGTH],
            }
            client.set_logged_model_tags(model.model_id, signed)
            client.finalize_logged_model(model.model_id, "READY")
            # Deletes a second one, never finished: MLflow's client repeats a request whose answer was lost.
            model = _adopt_model(client, run_id, experiment_id) or client.get_logged_model(model.model_id)
        if model.tags.get("tollgate.training_set") != training_set.digest:
            raise TrackingConflict(
                f"MLflow run {run_id} already has a model of training set {model.tags.get('tollgate.training_set')}, "
                f"not of {training_set.digest}.",
                next_step="Fit another training set under a run of its own.",
                run_id=run_id,
                training_set=training_set.digest,
            )
        linked = {output.model_id for output in run.outputs.model_outputs} if run.outputs else set()
        if model.model_id not in linked:
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
        uri = f"models:/{model.model_id}"
        client.set_tag(run_id, MODEL_SHA_TAG, model.tags[MODEL_SHA_TAG])
        client.set_tag(run_id, MODEL_URI_TAG, uri)
        return uri


def _unsafe(model_uri: str, problem: str, **facts: Any) -> UnsafeModel:
    return UnsafeModel(
        f"The files of {model_uri} are not those that were logged: {problem}.",
        next_step="Do not use this model; train again, and find out who changed the artifact store.",
        model_uri=model_uri,
        **facts,
    )


def find_logged_model(client: MlflowClient, model_uri: str) -> LoggedModel:
    """The logged model behind ``models:/m-…``, ``models:/name/version`` or ``models:/name@alias``.

    Raises UnsafeModel for a version whose own sign-off names another file than the model's.
    """
    reference = model_uri.removeprefix("models:/")
    if "/" not in reference and "@" not in reference:
        return client.get_logged_model(reference)
    if "@" in reference:
        name, _, alias = reference.partition("@")
        entry = client.get_model_version_by_alias(name, alias)
    else:
        name, _, number = reference.partition("/")
        entry = client.get_model_version(name, number)
    logged = entry.tags.get(MODEL_URI_TAG, "")
    if not logged.startswith("models:/m-"):
        raise _unsafe(model_uri, "the version was registered by hand from plain files, without a sign-off")
    model = client.get_logged_model(logged.removeprefix("models:/"))
    if entry.tags.get(MODEL_SHA_TAG) != model.tags.get(MODEL_SHA_TAG):
        raise _unsafe(model_uri, "the version and its model are signed off with different SHA-256")
    return model


def _find_difference(folder: Path, signed: Mapping[str, str]) -> str | None:
    actual = hash_model_files(folder)
    changed = sorted(name for name in signed.keys() | actual.keys() if signed.get(name) != actual.get(name))
    return f"changed, missing or added: {', '.join(changed)}" if changed else None


def download_model(settings: Settings, model_uri: str, destination: Path) -> Path:
    """Bring the model's files to the folder ``destination``, whole or not at all, and return it.

    Each file must have the SHA-256 that was stored when it was logged: otherwise UnsafeModel. A destination that is
    already right is left alone; one that is not is replaced.
    """
    from mlflow.artifacts import download_artifacts

    with open_client(settings) as client:
        model = find_logged_model(client, model_uri)
        if str(model.status) != "READY" or MODEL_FILES_TAG not in model.tags:
            raise _unsafe(model_uri, f"its status is {model.status} and it was never signed off")
        signed: dict[str, str] = json.loads(model.tags[MODEL_FILES_TAG])
        if destination.is_dir() and _find_difference(destination, signed) is None:
            os.utime(destination)  # used again: housekeeping removes what was not used for long
            return destination
        destination.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=destination.parent, prefix=f".{destination.name}.") as scratch:
            downloaded = Path(
                download_artifacts(
                    artifact_uri=model.artifact_location, dst_path=scratch, tracking_uri=settings.mlflow_uri
                )
            )
            difference = _find_difference(downloaded, signed)
            if difference is not None:
                raise _unsafe(model_uri, difference, path=str(destination))
            if destination.exists():
                destination.rename(Path(scratch) / ".replaced")
            downloaded.rename(destination)
    return destination


def log_predictions(settings: Settings, run_id: str, path: Path) -> None:
    """Store the run's holdout rows with their predictions (Parquet), and their SHA-256 as a tag."""
    content = path.read_bytes()
    with open_client(settings) as client, tempfile.TemporaryDirectory() as folder:
        folder_name, _, name = PREDICTIONS.rpartition("/")
        named = Path(folder) / name
        named.write_bytes(content)
        client.log_artifact(run_id, str(named), folder_name)
        client.set_tag(run_id, PREDICTIONS_SHA_TAG, hashlib.sha256(content).hexdigest())


def download_predictions(settings: Settings, run_id: str, target: Path) -> Path:
    """Bring the run's holdout predictions into the folder ``target`` and return the Parquet file's path.

    Raises TrackingConflict when the run has none, UnsafeModel when the file is not the one that was logged.
    """
    path = target / "predictions.parquet"
    with open_client(settings) as client:
        signed = client.get_run(run_id).data.tags.get(PREDICTIONS_SHA_TAG)
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == signed:
        os.utime(path)
        return path
    content = read_artifact(settings, run_id, PREDICTIONS)
    if hashlib.sha256(content).hexdigest() != signed:
        raise _unsafe(f"run {run_id}", f"changed: {PREDICTIONS}", path=str(path))
    write_file_atomically(path, content)
    return path
