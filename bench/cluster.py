"""What a cluster gives a search, and what it costs one small fit: ``python -m bench.cluster``.

On the real flights: the same trials, in the same batches, one after the other in this process and side by side on the
embedded Dask cluster, whose start and end and the sending of the rows are part of its time. Every variant must find the
same values. What MLflow takes for its runs is the same everywhere and is left out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bench.forecast.history import PIPELINE, make_window, prepare_set, write_months
from bench.results import Measured, find_versions, read_load, write_results
from include.contracts import TrainingSet
from include.declaration import Candidate, FloatRange, IntRange, Pipeline, Rung, Search
from include.declaration.loader import load_pipelines
from include.settings import Settings, load_settings
from include.training.cluster import choose_engine
from include.training.estimators import build_estimator, fix_parameters
from include.training.fit import fit_scorer
from include.training.search import cut_rows
from include.training.study import Study
from include.training.trials import TrialRows, open_places

SEARCH, OVERHEAD = "cluster_search_ratio", "cluster_fit_overhead"
_TRIALS, _AT_ONCE, _REPEATS = 16, 4, 5
_SEARCH = Search(
    method="random",
    trials=_TRIALS,
    at_once=_AT_ONCE,
    space={
        "learning_rate": FloatRange(low=0.02, high=0.3, log=True),
        "max_leaf_nodes": IntRange(low=15, high=63),
        "min_samples_leaf": IntRange(low=10, high=200, log=True),
    },
)
_WORKER = Rung(name="worker")


def time_search(pipeline: Pipeline, rows: TrialRows, rung: Rung, cores: int, threads: int) -> tuple[float, list[Any]]:
    """Seconds of all trials on the rung, its start included, and what they came to."""
    study, values, began = Study(_SEARCH, 1, False, []), [], time.perf_counter()
    with open_places(rung, cores, rows, "roc_auc", threads) as places:
        for _ in range(_TRIALS // _AT_ONCE):
            estimators = []
            for parameters in study.ask(_AT_ONCE):
                fixed = fix_parameters(pipeline, "searched", parameters)
                estimators.append(build_estimator(fixed, fixed.training.candidates[0], threads))
            results = [result.value for result in places.run(estimators)]
            study.tell(results)
            values += results
    return time.perf_counter() - began, values


def measure_search(settings: Settings, pipeline: Pipeline, training_set: TrainingSet, cluster: Rung) -> list[Measured]:
    """The cluster beside this process with one thread, and with all."""
    rows = cut_rows(pipeline, training_set, "searched", _SEARCH.validation_share)
    cores = settings.cores
    there, found = time_search(pipeline, rows, cluster, cores, 1)
    made = []
    for threads in dict.fromkeys((1, cores)):
        here, same = time_search(pipeline, rows, _WORKER, cores, threads)
        if same != found:
            raise SystemExit(f"the trials came to other values on the cluster: {found} and, here, {same}")
        made.append(
            Measured(
                measure=f"search of {_TRIALS} trials, {_AT_ONCE} at once, on {len(rows.older):,} flights: embedded "
                f"cluster of {cores} workers, its start included",
                value=there,
                unit="s",
                peer=f"one worker, {threads} thread{'s' if threads > 1 else ''} a trial",
                peer_value=here,
                ratio_is="peer ÷ ours",
                target="> 1" if threads == 1 else "",
            )
        )
    return made


def measure_overhead(settings: Settings, pipeline: Pipeline, training_set: TrainingSet, cluster: Rung) -> Measured:
    """One small fit there and here, the median of several."""

    def take(work: Callable[[], Any]) -> float:
        spent = []
        for _ in range(_REPEATS):
            began = time.perf_counter()
            work()
            spent.append(time.perf_counter() - began)
        return median(spent)

    def fit(rung: Rung) -> Any:
        return fit_scorer(pipeline, training_set, "searched", 1, None, choose_engine(rung, settings.cores))

    here, there = take(lambda: fit(_WORKER)), take(lambda: fit(cluster))
    return Measured(
        measure=f"one fit on {training_set.train_rows:,} flights: embedded cluster of {settings.cores} workers, start "
        "and end included",
        value=there,
        unit="s",
        peer="the same in this process",
        peer_value=here,
        ratio_is="ours ÷ peer",
        parts={"what the cluster adds, s": there - here},
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write ``bench/results/`` for both figures."""
    argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__).parse_args(arguments)
    load = read_load()
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        settings = load_settings({"TOLLGATE_HOME": f"{folder}/home"})
        flights = load_pipelines(settings).pipelines[PIPELINE]
        searched = Candidate(name="searched", kind="boosted_trees", search=_SEARCH)
        training = flights.training.model_copy(update={"candidates": (searched,)})
        pipeline = flights.model_copy(update={"training": training})
        refs = write_months(Path(folder) / "months")
        large, small = (prepare_set(settings, pipeline, make_window(refs[:months])) for months in (6, 2))
        cluster = Rung(name="cluster", kind="dask", workers=settings.cores, speeds_up=("trials",))
        overhead = measure_overhead(settings, pipeline, small, cluster)
        search = measure_search(settings, pipeline, large, cluster)
    versions = find_versions("scikit-learn", "distributed", "optuna")
    write_results(OVERHEAD, [overhead], load, versions)
    write_results(SEARCH, search, load, versions)


if __name__ == "__main__":
    main()
