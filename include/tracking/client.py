"""A bounded connection to MLflow: a server that is down becomes TrackingUnavailable, never a hang or a lost value."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from include.errors import TrackingConflict, TrackingUnavailable
from include.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient

# MLflow's own defaults retry for minutes; the task that calls us is retried by its orchestrator, so be brief.
# An operator's value in the environment wins.
_MLFLOW_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0.5",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# The description that MLflow shows of an experiment.
_EXPERIMENT_TAGS = {
    "mlflow.note.content": "One run for each training, named after its newest partition; below it one for each "
    "candidate. A run's description is its blessing: what was checked, against what, and the verdict.",
}
_TRANSIENT_CODES = {"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "IO_ERROR"}
DEFAULT_PATIENCE_SECONDS = 8.0


def report_unavailable(settings: Settings, reason: str) -> TrackingUnavailable:
    """The error for a server that does not answer."""
    return TrackingUnavailable(
        f"The MLflow server at {settings.mlflow_uri} did not answer: {reason}.",
        next_step="Start it (or wait for it to come back) and run the task again; nothing was lost.",
        uri=settings.mlflow_uri,
        reason=reason,
    )


def wait_for_server(settings: Settings, patience_seconds: float = DEFAULT_PATIENCE_SECONDS) -> None:
    """Return once the server answers; back off from 0.1 s, doubling, for at most ``patience_seconds`` in total.

    Raises TrackingUnavailable. A store without a server (sqlite, a folder) is taken as being there.
    """
    if urlsplit(settings.mlflow_uri).scheme not in {"http", "https"}:
        return
    import requests

    deadline = time.monotonic() + patience_seconds
    pause = 0.1
    while True:
        try:
            answer = requests.get(f"{settings.mlflow_uri}/health", timeout=max(0.5, min(5.0, patience_seconds)))
            if answer.status_code < 500:
                return
            reason = f"it answered {answer.status_code}"
        except requests.RequestException as error:
            reason = type(error).__name__
        if time.monotonic() + pause > deadline:
            raise report_unavailable(settings, reason)
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


@contextmanager
def open_client(settings: Settings, patience_seconds: float = DEFAULT_PATIENCE_SECONDS) -> Iterator[MlflowClient]:
    """Yield a client of ``settings.mlflow_uri``; failures to reach the server leave as TrackingUnavailable.

    Other MlflowExceptions (a wrong name, a refused value) pass unchanged.
    """
    for name, value in _MLFLOW_DEFAULTS.items():
        os.environ.setdefault(name, value)
    # It beats an explicit parent run (mlflow#15713): a child would silently be the run that it names.
    os.environ.pop("MLFLOW_RUN_ID", None)
    wait_for_server(settings, patience_seconds)
    import requests
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    # sagemaker-mlflow, which comes with the sagemaker package, takes every tracking address for an ARN; MLflow then
    # warns on each single request that the extra header was left out.
    logging.getLogger("mlflow.tracking.request_header.registry").setLevel(logging.ERROR)
    try:
        yield MlflowClient(settings.mlflow_uri, settings.mlflow_uri)
    except MlflowException as error:
        if error.error_code in _TRANSIENT_CODES:
            raise report_unavailable(settings, str(error)[:300]) from error
        raise
    except requests.HTTPError as error:
        if error.response is None or error.response.status_code >= 500:
            raise report_unavailable(settings, str(error)[:300]) from error
        raise
    except requests.RequestException as error:
        raise report_unavailable(settings, str(error)[:300]) from error


def find_experiment(client: MlflowClient, pipeline_name: str) -> str | None:
    """Id of the pipeline's experiment (it has the pipeline's name), or None.

    Raises TrackingConflict when it was deleted in MLflow: its name cannot be used again until it is restored.
    """
    experiment = client.get_experiment_by_name(pipeline_name)
    if experiment is None:
        return None
    if experiment.lifecycle_stage != "active":
        raise TrackingConflict(
            f"MLflow's experiment {pipeline_name!r} ({experiment.experiment_id}) was deleted.",
            next_step=f"Restore it: mlflow experiments restore -x {experiment.experiment_id}",
            experiment=pipeline_name,
            experiment_id=experiment.experiment_id,
        )
    return str(experiment.experiment_id)


def ensure_experiment(client: MlflowClient, pipeline_name: str) -> str:
    """Id of the pipeline's experiment, created when missing; of several racing creators all get the same one."""
    from mlflow.exceptions import MlflowException

    found = find_experiment(client, pipeline_name)
    if found is not None:
        return found
    try:
        return str(client.create_experiment(pipeline_name, tags=_EXPERIMENT_TAGS))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    found = find_experiment(client, pipeline_name)
    if found is None:
        raise TrackingConflict(
            f"MLflow says that the experiment {pipeline_name!r} exists, and does not find it.",
            next_step="Look at the MLflow server's log.",
            experiment=pipeline_name,
        )
    return found
