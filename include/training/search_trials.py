"""The trials of a search, one batch after the other: asked for, made or taken over, told."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from include.declaration.models import Candidate, Pipeline
from include.errors import TrackingConflict
from include.settings import Settings
from include.tracking.trials import begin_trial, end_trial
from include.training.estimators import build_estimator, find_candidate, fix_parameters
from include.training.search_clock import Clock
from include.training.study import Study
from include.training.trials import Places, TrialResult

_log = logging.getLogger("tollgate.search")


@dataclass(frozen=True)
class Making:
    """What every trial of a search needs."""

    settings: Settings
    pipeline: Pipeline
    candidate: Candidate
    run_id: str
    metric: str
    threads: int

    def build(self, parameters: Mapping[str, Any]) -> Any:
        """The candidate's estimator with these parameters; raises DeclarationError."""
        fixed = fix_parameters(self.pipeline, self.candidate.name, parameters)
        return build_estimator(fixed, find_candidate(fixed, self.candidate.name), self.threads)


@dataclass(frozen=True)
class Trial:
    """A trial that is over, made now or by an earlier try."""

    parameters: Mapping[str, Any]
    result: TrialResult
    taken_over: bool


@dataclass
class Made:
    """Trials by number, and why there are no more of them; empty when all were made."""

    trials: dict[int, Trial] = field(default_factory=dict)
    stop: str = ""


def make_trials(
    making: Making, study: Study, earlier: Mapping[int, Mapping[str, Any]], places: Places, clock: Clock
) -> Made:
    """Make the trials of the study that ``earlier`` tries did not make, until the clock says stop.

    Raises TrackingConflict when an earlier try's trial had other parameters.
    """
    search, made = clock.search, Made()
    for first in range(0, search.trials, search.at_once):
        asked = dict(enumerate(study.ask(min(search.at_once, search.trials - first)), first))
        for number in asked.keys() & earlier.keys():
            trial = _take_over(making, number, asked[number], earlier[number])
            made.trials[number] = trial
            clock.count(trial.result, taken_over=True)
        missing = [number for number in asked if number not in made.trials]
        # Side by side all at once; otherwise one by one, so that there is a look at the clock before each.
        size = len(missing) if places.side > 1 else 1
        for place in range(0, len(missing), max(size, 1)):
            group = missing[place : place + size]
            made.stop = clock.find_stop(len(group))
            if made.stop:
                return made
            for number, result in zip(group, _run_group(making, places, group, asked), strict=True):
                made.trials[number] = Trial(asked[number], result, False)
                clock.count(result, taken_over=False)
        study.tell([made.trials[number].result.value for number in asked])
    return made


def _take_over(making: Making, number: int, asked: Mapping[str, Any], stored: Mapping[str, Any]) -> Trial:
    if stored["parameters"] != asked:
        raise TrackingConflict(
            f"Trial {number} of {making.candidate.name!r} was made with {stored['parameters']}, and is {asked} now.",
            next_step="The declaration or a library changed since: start a new training.",
            run_id=making.run_id,
            trial=number,
        )
    result = TrialResult(stored["value"], stored["seconds"], stored["cpu_seconds"], stored["problem"])
    return Trial(asked, result, True)


def _run_group(
    making: Making, places: Places, group: Sequence[int], asked: Mapping[int, Mapping[str, Any]]
) -> list[TrialResult]:
    """Make the trials, each with a run of its own, and close those runs in the order of their numbers."""
    settings = making.settings
    estimators = [making.build(asked[number]) for number in group]
    runs = [begin_trial(settings, making.pipeline.name, making.run_id, number, asked[number]) for number in group]
    results = places.run(estimators)
    for number, run_id, result in zip(group, runs, results, strict=True):
        metrics = {"trial_seconds": result.seconds, "trial_cpu_seconds": result.cpu_seconds}
        if result.value is not None:
            metrics[making.metric] = result.value
        end_trial(settings, run_id, metrics, {"parameters": asked[number], **asdict(result)}, result.problem)
        outcome = result.problem or f"{making.metric} {result.value:.5f}"
        _log.info(
            "%s, trial %d: %s in %.1f s (%s)", making.candidate.name, number, outcome, result.seconds, asked[number]
        )
    return results
