"""The data that a run was made of, linked to it under our own digests."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from include.settings import Settings
from include.tracking.client import open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput

# What MLflow keeps of a digest.
_DIGEST_LENGTH = 36
# Each try that loses leaves the other's data set behind, so a few are enough however many race.
_TRIES = 5


@dataclass(frozen=True)
class LinkedDataset:
    """One data set. ``profile`` holds counts, ``columns`` name to type; ``source`` is where it lies."""

    name: str
    digest: str
    source: str
    context: Literal["training", "holdout", "partition"]
    profile: Mapping[str, Any] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)


def _describe(dataset: LinkedDataset) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    schema = {"mlflow_colspec": [{"type": kind, "name": column} for column, kind in dataset.columns.items()]}
    entry = Dataset(
        name=dataset.name,
        digest=dataset.digest[:_DIGEST_LENGTH],
        source_type="local",
        source=json.dumps({"uri": dataset.source}),
        schema=json.dumps(schema),
        profile=json.dumps(dict(dataset.profile)),
    )
    return DatasetInput(entry, [InputTag("mlflow.data.context", dataset.context)])


def _link(client: MlflowClient, run_id: str, datasets: Sequence[LinkedDataset]) -> None:
    inputs = client.get_run(run_id).inputs
    linked = {(item.dataset.name, item.dataset.digest) for item in (inputs.dataset_inputs if inputs else ())}
    missing = [dataset for dataset in datasets if (dataset.name, dataset.digest[:_DIGEST_LENGTH]) not in linked]
    if missing:
        client.log_inputs(run_id, [_describe(dataset) for dataset in missing])


def log_datasets(settings: Settings, run_id: str, datasets: Sequence[LinkedDataset]) -> None:
    """Link data sets to the run under OUR digests (cut to MLflow's 36 characters); one that is linked is not again.

    MLflow's own digest covers the first 10,000 rows only. Its server looks for a data set and creates it in two steps:
    of runs that are given a new one at the same moment, as candidates fitted side by side are, all but one are refused
    with an error of its database (BAD_REQUEST). They find it when they try again.
    """
    from mlflow.exceptions import MlflowException

    with open_client(settings) as client:
        for left in reversed(range(_TRIES)):
            try:
                _link(client, run_id, datasets)
                return
            except MlflowException as error:
                if error.error_code != "BAD_REQUEST" or not left:
                    raise
                time.sleep(0.05)
