"""Searches of the toy's trees, and what they left in MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from include.contracts import TrainingSet
from include.declaration import Candidate, Choices, FloatRange, IntRange, Pipeline, Rung, Search
from include.runtime.measure import Meter
from include.settings import Settings
from include.tracking.client import find_experiment, open_client
from include.tracking.runs import open_run
from include.training.search import Found, search_parameters
from include.training.search_clock import SearchPlan
from tests.unit.factory import make_pipeline
from tests.unit.toy import features
from tests.unit.training.sets import prepare_toy

WORKER = Rung(name="worker")
SPACE = {
    "learning_rate": FloatRange(low=0.01, high=0.5, log=True),
    "max_iter": IntRange(low=5, high=25, step=5, start=10),
    "class_weight": Choices(values=(None, "balanced")),
}


def declare(name: str, candidate: Mapping[str, Any] | None = None, **search: Any) -> Pipeline:
    """The toy with one candidate whose parameters are searched for."""
    pipeline = make_pipeline(name)
    given = {"method": "bayesian", "trials": 6, "at_once": 2, "space": SPACE, **search}
    fields = {"name": "trees", "kind": "boosted_trees", **(candidate or {})}
    candidates = (Candidate(search=Search(**given), **fields),)
    return pipeline.model_copy(update={"training": pipeline.training.model_copy(update={"candidates": candidates})})


def begin(settings: Settings, pipeline: Pipeline, folder: Path, run: str = "run") -> tuple[TrainingSet, str]:
    training_set = prepare_toy(settings, pipeline, folder)
    return training_set, open_run(settings, pipeline.name, f"dag/{run}/trees", "trees", {})


def search(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    run_id: str,
    plan: SearchPlan | None = None,
    rung: Rung = WORKER,
) -> Found:
    plan = plan or SearchPlan()
    return search_parameters(settings, pipeline, training_set, "trees", run_id, 1, rung, plan, Meter())


def list_trials(settings: Settings, pipeline: Pipeline, run_id: str) -> list[Any]:
    """The MLflow runs of the trials, by number."""
    with open_client(settings) as client:
        experiment = find_experiment(client, pipeline.name)
        runs = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    return sorted(runs, key=lambda run: int(run.data.tags["tollgate.trial"]))


def read_trials(settings: Settings, pipeline: Pipeline, run_id: str) -> list[tuple[dict[str, str], float | None]]:
    """Parameters and value of every trial."""
    runs = list_trials(settings, pipeline, run_id)
    return [(run.data.params, run.data.metrics.get("roc_auc")) for run in runs]


def build_odd(seed: int, threads: int, depth: int = 1, pause: float = 0.0, mark: str = "") -> Any:
    """A tree that refuses some depths, and that may take its time, saying so in a file."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.pipeline import make_pipeline as chain
    from sklearn.tree import DecisionTreeClassifier

    if mark:
        with Path(mark).open("a") as file:
            file.write(f"{os.getpid()}\n")
    time.sleep(pause)
    numbers = make_column_transformer(("passthrough", make_column_selector(dtype_include="number")))
    return chain(numbers, DecisionTreeClassifier(max_depth=depth, random_state=seed))


def declare_odd(name: str, monkeypatch: pytest.MonkeyPatch, parameters: Mapping[str, Any], **search: Any) -> Pipeline:
    monkeypatch.setattr(features, "build_odd", build_odd, raising=False)
    candidate = {"kind": "custom", "function": "features:build_odd", "parameters": parameters}
    given = {"at_once": 1, "space": {"depth": IntRange(low=1, high=8)}, **search}
    return declare(name, candidate, **given)
