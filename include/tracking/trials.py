"""The trials of a candidate's search as MLflow runs, children of the candidate's run: begun, ended, taken over."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from include.settings import Settings
from include.tracking.client import open_client
from include.tracking.entries import log_params, set_note
from include.tracking.runs import PARENT_TAG, iterate_runs, open_run

# A trial's number; and, once it is over, all of it as JSON: MLflow's parameters are text, and its metrics may be NaN.
NUMBER_TAG = "tollgate.trial"
RESULT_TAG = "tollgate.trial_result"


def begin_trial(settings: Settings, pipeline_name: str, run_id: str, number: int, parameters: Mapping[str, Any]) -> str:
    """The run of the candidate's ``number``th trial, opened or, after a kill, reopened; returns its id.

    Raises TrackingConflict when that trial was begun with other parameters.
    """
    tags = {"tollgate.pipeline": pipeline_name, NUMBER_TAG: str(number)}
    name = f"trial {number:03d}"
    trial = open_run(settings, pipeline_name, f"{run_id}/{name}", name, tags, parent_run_id=run_id)
    log_params(settings, trial, parameters)
    return trial


def end_trial(
    settings: Settings, trial_run_id: str, metrics: Mapping[str, float], result: Mapping[str, Any], problem: str
) -> None:
    """Store what it came to and close its run: FAILED where there is a ``problem``."""
    from mlflow.entities import Metric, RunTag

    if problem:
        set_note(settings, trial_run_id, f"This trial failed: {problem}")
    now = int(time.time() * 1000)
    with open_client(settings) as client:
        client.log_batch(
            trial_run_id,
            metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
            tags=[RunTag(RESULT_TAG, json.dumps(dict(result)))],
        )
        client.set_terminated(trial_run_id, "FAILED" if problem else "FINISHED")


def take_over_trials(settings: Settings, run_id: str) -> dict[int, dict[str, Any]]:
    """Results of the trials that earlier tries finished, by number. A run that such a try could not close is closed."""
    found: dict[int, dict[str, Any]] = {}
    with open_client(settings) as client:
        experiment = client.get_run(run_id).info.experiment_id
        for run in list(iterate_runs(client, experiment, f"tags.`{PARENT_TAG}` = '{run_id}'")):
            stored = run.data.tags.get(RESULT_TAG)
            if stored is None or NUMBER_TAG not in run.data.tags:
                continue
            result = found[int(run.data.tags[NUMBER_TAG])] = json.loads(stored)
            status = "FAILED" if result["problem"] else "FINISHED"
            # Killed between the two writes of end_trial, or swept as KILLED after it.
            if run.info.status != status:
                client.set_terminated(run.info.run_id, status)
    return found
