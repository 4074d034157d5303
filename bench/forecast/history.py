"""The real run-time history of a year of flights: each month's training set, each candidate's fit, one after the other.

Every fit has a process of its own, forked from one that has everything loaded, as a task of the embedded system has.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from config.shared_env import SHARED
from include.contracts import PartitionRef, TrainingSet, Window
from include.declaration import Pipeline
from include.declaration.loader import load_pipelines
from include.runtime.history import FitRecord
from include.settings import Settings

PIPELINE = "flight_delays"


def write_months(folder: Path) -> list[PartitionRef]:
    """The year's months as published partitions."""
    from include.pipelines.flight_delays.landing import write_all

    refs = []
    for path in write_all(folder):
        fingerprint = hashlib.sha256(path.read_bytes()).hexdigest()
        # As the refresh would have published it; its gate is another bench's subject.
        refs.append(
            PartitionRef(
                pipeline=PIPELINE,
                partition=path.stem,
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
        )
    return refs


def make_window(refs: Sequence[PartitionRef]) -> Window:
    """The window of these partitions, oldest first."""
    digest = hashlib.sha256("".join(ref.version for ref in refs).encode()).hexdigest()
    return Window(PIPELINE, refs[-1].partition, tuple(refs), digest)


def prepare_set(settings: Settings, pipeline: Pipeline, window: Window) -> TrainingSet:
    """Its training set."""
    from include.training.dataset import prepare_training_set

    return prepare_training_set(settings, pipeline, window)


def _fit(settings: Settings, pipeline: Pipeline, training_set: TrainingSet, candidate: str, number: int) -> FitRecord:
    from include.runtime.measure import measure_work
    from include.training.cost import describe_fit
    from include.training.fit import fit_scorer

    with measure_work() as meter:
        fit_scorer(pipeline, training_set, candidate, 1, meter)
    run_id, rung = f"{number:032x}", pipeline.training.ladder.rungs[0].name
    return describe_fit(
        settings, pipeline, training_set, candidate, run_id, 1, meter, rung=rung, dag_run=training_set.partition
    )


def _answer(answers: Any, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    answers.put(work(*arguments))


def _run_apart(work: Callable[..., Any], *arguments: Any) -> Any:
    fork = get_context("fork")
    answers = fork.Queue()
    process = fork.Process(target=_answer, args=(answers, work, arguments))
    process.start()
    while True:
        try:
            result = answers.get(timeout=1)
            break
        except Exception:
            if not process.is_alive() and answers.empty():
                raise SystemExit(f"{work.__name__} ended with {process.exitcode}") from None
    process.join()
    return result


def measure_year(settings: Settings, folder: Path) -> Iterator[FitRecord]:
    """The record of each candidate's fit, month after month, cumulatively; files go below ``folder``."""
    # As the scheduler has them: some keep a library from starting threads.
    os.environ.update(SHARED)
    # Here, for it imports Airflow, which whoever only reads this module's results must not have.
    from config.warm_executor import load_libraries

    load_libraries()
    pipeline = load_pipelines(settings).pipelines[PIPELINE]
    refs = _run_apart(write_months, folder)
    number = 0
    for count in range(1, len(refs) + 1):
        training_set = _run_apart(prepare_set, settings, pipeline, make_window(refs[:count]))
        for candidate in pipeline.training.candidates:
            number += 1
            yield _run_apart(_fit, settings, pipeline, training_set, candidate.name, number)
