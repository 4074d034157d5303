"""Data sets: found by our digest, linked once, and no run is refused because another links the same ones."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from mlflow.entities import DatasetInput
from mlflow.exceptions import MlflowException

from include.settings import Settings
from include.tracking import datasets
from include.tracking.client import ensure_experiment, open_client
from include.tracking.datasets import LinkedDataset, log_datasets
from include.tracking.runs import open_run


def read_inputs(settings: Settings, run_id: str) -> list[DatasetInput]:
    with open_client(settings) as client:
        return list(client.get_run(run_id).inputs.dataset_inputs)


def test_a_dataset_is_found_by_our_digest_and_linked_once(tracked: Settings) -> None:
    run = open_run(tracked, "datasets", "a", "a", {})
    first = LinkedDataset("parcels 2013-01", "d" * 64, "file.parquet", "training", {"rows": 5}, {"x": "double"})
    second = LinkedDataset("parcels 2013-02", "e" * 64, "other.parquet", "partition")
    log_datasets(tracked, run, [first])
    for _ in range(2):
        log_datasets(tracked, run, [first, second])
    linked = {item.dataset.digest: item for item in read_inputs(tracked, run)}
    assert sorted(linked) == ["d" * 36, "e" * 36]
    assert len(read_inputs(tracked, run)) == 2
    assert {tag.key: tag.value for tag in linked["d" * 36].tags} == {"mlflow.data.context": "training"}
    with open_client(tracked) as client:
        experiment = ensure_experiment(client, "datasets")
        found = client.search_runs([experiment], f"dataset.digest = '{'d' * 36}'")
    assert [item.info.run_id for item in found] == [run]


def link_at_once(settings: Settings, pipeline: str, rounds: int) -> list[str]:
    """Three runs are given the same new data sets at the same moment, ``rounds`` times; returns the refusals."""
    runs = [open_run(settings, pipeline, str(number), str(number), {}) for number in range(3)]
    refused = []

    def link(run: str, number: int, start: threading.Barrier) -> None:
        made_of = [LinkedDataset(f"part {part}", f"{number}-{part}", "here", "partition") for part in range(5)]
        start.wait()
        try:
            log_datasets(settings, run, made_of)
        except MlflowException as error:
            refused.append(str(error))

    with ThreadPoolExecutor(len(runs)) as pool:
        for number in range(rounds):
            start = threading.Barrier(len(runs))
            list(pool.map(lambda run, number=number, start=start: link(run, number, start), runs))
    if not refused:
        assert [len(read_inputs(settings, run)) for run in runs] == [5 * rounds] * len(runs)
    return refused


def test_runs_that_link_the_same_new_data_at_once_all_succeed(tracked: Settings) -> None:
    assert link_at_once(tracked, "raced", 12) == []


def test_one_try_alone_would_be_refused(tracked: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the repeating is for; should MLflow create data sets in one step some day, it can go."""
    monkeypatch.setattr(datasets, "_TRIES", 1)
    assert any("UNIQUE constraint" in refusal for refusal in link_at_once(tracked, "raced-once", 25))
