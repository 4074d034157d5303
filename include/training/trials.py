"""One trial of a search: a fit on the older rows, measured on the newest; and the places where trials are made."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from include.declaration.ladder import Rung
from include.metrics import measure_metric
from include.runtime.measure import read_cpu
from include.training.cluster import SharedData, introduce_pipelines, open_cluster

if TYPE_CHECKING:
    import pandas as pd

    from include.metrics import Floats


@dataclass(frozen=True)
class TrialRows:
    """Features and labels to fit on, and the newer ones to measure on."""

    older: pd.DataFrame
    older_labels: Floats
    newer: pd.DataFrame
    newer_labels: Floats


@dataclass(frozen=True)
class TrialResult:
    """The metric's value, None with a ``problem`` when it failed; ``seconds`` of wall clock, ``cpu_seconds``."""

    value: float | None
    seconds: float
    cpu_seconds: float
    problem: str = ""


@dataclass(frozen=True)
class Places:
    """Where trials are made: ``run`` takes unfitted estimators and returns their results in the same order.

    ``side`` of them go side by side; what they spend ``elsewhere``, this machine's meter does not see.
    """

    run: Callable[[Sequence[Any]], list[TrialResult]]
    side: int = 1
    elsewhere: bool = False


def run_trial(estimator: Any, rows: TrialRows, metric: str, threads: int) -> TrialResult:
    """Fit on the older rows and measure on the newest, with at most ``threads`` threads.

    An estimator that refuses its parameters or the data with a ValueError is a failed trial, as is a metric that is not
    a number. Other errors leave as they are: on another machine, or for another candidate, they would be the same.
    """
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    began, spent = time.perf_counter(), read_cpu()
    value, problem = math.nan, ""
    try:
        with threadpool_limits(limits=threads):
            fitted = estimator.fit(rows.older, rows.older_labels)
            scores = fitted.predict_proba(rows.newer)[:, 1]
        value = measure_metric(metric, rows.newer_labels, scores)
    except ValueError as error:
        problem = f"{type(error).__name__}: {error}"[:2000]
    # Beyond that only the order of sums differs, with the threads; the same trial must weigh the same anywhere.
    value = float(f"{value:.9g}")
    if not problem and not math.isfinite(value):
        problem = f"its {metric} is not a number"
    seconds, cpu = round(time.perf_counter() - began, 4), round(max(read_cpu() - spent, 0.0), 4)
    return TrialResult(None if problem else value, seconds, cpu, problem)


@contextmanager
def open_places(rung: Rung, cores: int, rows: TrialRows, metric: str, threads: int) -> Iterator[Places]:
    """The rung's places: its cluster's workers, to which the rows are sent once; otherwise this process.

    In this process one trial follows the other, each with all ``threads``; a cluster's trial has one, so that workers
    on one machine do not take the cores from each other.
    """
    if rung.kind != "dask":
        yield Places(lambda estimators: [run_trial(each, rows, metric, threads) for each in estimators])
        return
    with open_cluster(rung, cores) as client:
        introduce_pipelines(client)
        shared = SharedData(client, rows)

        def run_there(estimators: Sequence[Any]) -> list[TrialResult]:
            return shared.compute(
                lambda given: [client.submit(run_trial, each, given, metric, 1, pure=False) for each in estimators]
            )

        side = sum(client.nthreads().values())
        yield Places(run_there, side=max(side, 1), elsewhere=rung.address is not None)
