"""A candidate's search for parameters before its fit: trials in batches, each an MLflow run, until all are made or the
time is over.

Trial n is the same wherever and however quickly it is made: it follows from the declaration, the seed, the training set
and the results of the batches before its own. So a killed search goes on where it was, and every rung finds the same.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.contracts import TrainingSet, pack, unpack
from include.declaration.ladder import Rung
from include.declaration.models import Pipeline
from include.declaration.search import Search
from include.errors import TrainingDataInvalid
from include.metrics import is_lower_better
from include.runtime.measure import Meter
from include.scoring.row_features import RowFeatures
from include.settings import Settings
from include.tracking.entries import read_tags, set_note, set_tags
from include.tracking.runs import SEARCH_TAG
from include.tracking.trials import take_over_trials
from include.training.dataset import dump_features
from include.training.estimators import find_candidate
from include.training.evaluate import read_rows
from include.training.search_clock import Clock, SearchPlan
from include.training.search_trials import Making, Trial, make_trials
from include.training.study import Study
from include.training.trials import TrialRows, open_places
from include.training.validation import cut_newest_days

_log = logging.getLogger("tollgate.search")
# On the candidate's run: what its first trials are, fixed by the first try; what came of them, fixed by the last.
STARTS_TAG = "tollgate.search_starts"
FOUND_TAG = "tollgate.search_found"


@dataclass(frozen=True)
class Found:
    """The best of a search: its parameters, what it took, and why it ended. ``value`` is None when no trial could be
    made: the parameters are then those that it would have begun with."""

    parameters: Mapping[str, Any]
    trials: int
    failed: int
    best: int | None
    metric: str
    value: float | None
    seconds: float
    cpu_seconds: float
    reason: str

    def describe(self) -> str:
        """Such as "Trial 7 was the best of 20: roc_auc 0.71234 on the newest training rows. All 20 …"."""
        if self.value is None:
            return f"No trial was made, so it is fitted as the search would have begun. {self.reason}"
        told = f"Trial {self.best} was the best of {self.trials}"
        told += f", of which {self.failed} failed" if self.failed else ""
        return f"{told}: {self.metric} {self.value:.5f} on the newest training rows. {self.reason}"


def search_parameters(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    candidate_name: str,
    run_id: str,
    threads: int,
    rung: Rung,
    plan: SearchPlan,
    meter: Meter,
) -> Found:
    """The best parameters for the candidate whose run is ``run_id``; what earlier tries found or tried is taken over.

    Raises TrainingDataInvalid (every trial failed, or the rows cannot be cut), DeclarationError (a parameter that the
    recipe does not take), TrackingConflict (an earlier try made other trials), TrackingUnavailable, ClusterUnavailable.
    """
    candidate = find_candidate(pipeline, candidate_name)
    search = candidate.search
    if search is None:
        raise ValueError(f"candidate {candidate_name!r} declares no search")
    tags = read_tags(settings, run_id)
    if FOUND_TAG in tags:
        found = unpack(Found, json.loads(tags[FOUND_TAG]))
        meter.add("search", found.seconds, found.cpu_seconds)
        return found
    if STARTS_TAG in tags:
        starts = json.loads(tags[STARTS_TAG])
    else:
        starts = _choose_starts(search, plan.starts)
        set_tags(settings, run_id, {STARTS_TAG: json.dumps(starts)})
    metric = search.metric or pipeline.blessing.primary_metric
    with meter.phase("search"):
        rows = cut_rows(pipeline, training_set, candidate_name, search.validation_share)
        earlier = take_over_trials(settings, run_id)
        making = Making(settings, pipeline, candidate, run_id, metric, threads)
        study = Study(search, pipeline.training.seed, is_lower_better(metric), starts)
        with open_places(rung, settings.cores, rows, metric, threads) as places:
            clock = Clock(search, plan, 1 + len(rows.newer) / len(rows.older), places.side)
            made = make_trials(making, study, earlier, places, clock)
    for trial in made.trials.values():
        if trial.taken_over:
            meter.add("search", trial.result.seconds / places.side, trial.result.cpu_seconds)
        elif places.elsewhere:
            meter.add("search", 0.0, trial.result.cpu_seconds)
    reason = (
        f"Stopped after {len(made.trials)} of {search.trials} trials: {made.stop} leaves no time for another."
        if made.stop
        else f"All {search.trials} declared trials were made."
    )
    spent = (meter.seconds.search, meter.cpu.search)
    begin = {**search.begin(), **starts[0]}
    found = _choose_best(candidate_name, made.trials, metric, begin, spent, reason)
    told = found.describe()
    _log.info("%s: %s", candidate_name, told)
    set_note(settings, run_id, told)
    set_tags(settings, run_id, {SEARCH_TAG: told[:4000], FOUND_TAG: json.dumps(pack(found))})
    return found


def _choose_best(
    candidate_name: str,
    trials: Mapping[int, Trial],
    metric: str,
    begin: Mapping[str, Any],
    spent: tuple[float, float],
    reason: str,
) -> Found:
    """The trial with the best value, of equals the first; without any, what the search ``begin``s with."""
    if not trials:
        return Found(begin, 0, 0, None, metric, None, *spent, reason)
    values = {number: trial.result.value for number, trial in sorted(trials.items()) if trial.result.value is not None}
    if not values:
        raise TrainingDataInvalid(
            f"All {len(trials)} trials of the search of {candidate_name!r} failed; the first: "
            f"{trials[min(trials)].result.problem}. {reason}",
            next_step="Correct the ranges of its search, or the data; each trial's MLflow run says why it failed.",
            measure="search",
            candidate=candidate_name,
            trials=len(trials),
        )
    sign = -1.0 if is_lower_better(metric) else 1.0
    best = max(values, key=lambda number: sign * values[number])
    failed = len(trials) - len(values)
    return Found(dict(trials[best].parameters), len(trials), failed, best, metric, values[best], *spent, reason)


def _choose_starts(search: Search, known: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is known, as far as it is in the space, and then what is declared; each once."""
    starts: list[dict[str, Any]] = []
    for configuration in [*known, search.begin()]:
        inside = {
            name: configuration[name]
            for name, where in search.space.items()
            if name in configuration and where.holds(configuration[name])
        }
        if inside and inside not in starts:
            starts.append(inside)
    return starts[: search.trials]


def cut_rows(pipeline: Pipeline, training_set: TrainingSet, candidate_name: str, share: float) -> TrialRows:
    """The features of the training rows, cut by time for trials. Raises TrainingDataInvalid."""
    requests, labels, days = read_rows(training_set, "train")
    newer = cut_newest_days(candidate_name, days, labels, share)
    tables_json = (Path(training_set.folder) / "tables.json").read_text()
    features = RowFeatures(dump_features(pipeline), tables_json).transform(requests)
    return TrialRows(features[~newer], labels[~newer], features[newer], labels[newer])
