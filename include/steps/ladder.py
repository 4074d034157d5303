"""A training on the compute ladder: the rung is chosen by forecast, and a fit that fails there goes on one rung up."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from include.contracts import RunIdentity, TrainedModel, TrainingSet
from include.declaration.models import Pipeline
from include.errors import RungFailed, TerminalError
from include.mail.compose import Mail
from include.mail.runtime_letters import describe_climb, describe_rung
from include.runtime.attempts import Attempt, begin_attempt, end_attempt, list_attempts, read_attempt
from include.runtime.failures import CLIMBING, judge_exception
from include.runtime.forecast import forecast_fit, forecast_from, list_past_fits
from include.runtime.history import list_fits
from include.runtime.ladder import Choice, Demand, choose_rung, find_next_rung
from include.settings import Settings
from include.steps.order import order_candidates
from include.steps.runtime import measure_rest, read_allowance
from include.steps.train import count_threads, fit_opened, open_candidate
from include.tracking.entries import set_tags
from include.training.estimators import build_estimator, find_candidate
from include.training.samples import time_samples

_log = logging.getLogger("tollgate.ladder")
_MONTH = timedelta(days=30)
# What may be spent on samples: of the time that the fits have, and at most.
_SAMPLE_SHARE, _SAMPLE_SECONDS = 0.05, 30.0


def name_dag_run(identity: RunIdentity) -> str:
    """The DAG run as the ledger names it."""
    return f"{identity.dag_id}/{identity.run_id}"


def is_divisible(pipeline: Pipeline, candidate: str) -> bool:
    """Whether the candidate's search makes trials side by side, or its estimator parts of its fit, as forests do.

    A transformer of columns has the parameter ``n_jobs`` too, and so has an estimator that no longer uses it; what is
    made of other estimators does.
    """
    from sklearn.base import MetaEstimatorMixin

    declared = find_candidate(pipeline, candidate)
    if declared.search is not None and declared.search.at_once > 1:
        return True
    estimator = build_estimator(pipeline, declared, 1)
    parts = [estimator, *estimator.get_params(deep=True).values()]
    return any(isinstance(part, MetaEstimatorMixin) and hasattr(part, "n_jobs") for part in parts)


def count_spent(settings: Settings, pipeline: Pipeline) -> float:
    """What the fits of the last 30 days cost, in the ladder's currency."""
    since = datetime.now(UTC) - _MONTH
    fits = list_fits(settings, pipeline.name)
    return sum(fit.cost for fit in fits if datetime.fromisoformat(fit.finished_at) >= since)


def _make_demand(
    settings: Settings, pipeline: Pipeline, training_set: TrainingSet, candidate: str, limit: float
) -> tuple[Demand | None, str]:
    ladder, rows = pipeline.training.ladder, training_set.train_rows
    source = "history"
    told = forecast_from(list_past_fits(settings, pipeline, candidate, rung=ladder.rungs[0].name), rows)
    if "wall_seconds" not in told or not told["wall_seconds"].trusted:
        source = "samples"
        samples = time_samples(settings, pipeline, training_set, candidate, count_threads(settings, pipeline), limit)
        told = forecast_from(samples, rows, source) or told
    if not {"wall_seconds", "cpu_seconds", "peak_memory_mb"} <= told.keys():
        return None, "nothing"
    search, measured = find_candidate(pipeline, candidate).search, {}
    for rung in ladder.rungs[1:]:
        there = forecast_fit(settings, pipeline, candidate, rows, rung=rung.name).get("wall_seconds")
        if there is not None:
            measured[rung.name] = there.value
    demand = Demand(
        candidate=candidate,
        seconds=told["wall_seconds"].value,
        seconds_high=told["wall_seconds"].high,
        cpu_seconds=told["cpu_seconds"].value,
        memory_high_mb=told["peak_memory_mb"].high,
        divisible=is_divisible(pipeline, candidate),
        parts=search.at_once if search is not None else None,
        measured=measured,
    )
    _log.info("%s at %s rows: %s", candidate, f"{rows:,}", "; ".join(each.describe() for each in told.values()))
    return demand, source


def choose_training_rung(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    parent_run_id: str,
    identity: RunIdentity,
    elapsed: float,
) -> tuple[Choice, Mail | None]:
    """The rung on which this training begins, said in the log and in MLflow, and a mail where it is not the lowest.

    ``elapsed`` is the seconds since the DAG run was queued, from which ``sla.train_model`` counts.
    """
    allowance = read_allowance(pipeline)
    allowed = None if allowance is None else allowance - elapsed - measure_rest(settings, pipeline)
    limit = _SAMPLE_SECONDS if allowed is None else min(_SAMPLE_SECONDS, max(_SAMPLE_SHARE * allowed, 1.0))
    candidates = [candidate.name for candidate in pipeline.training.candidates]
    made = [_make_demand(settings, pipeline, training_set, name, limit / len(candidates)) for name in candidates]
    demands = [demand for demand, _ in made if demand is not None]
    sources = {source for _, source in made}
    choice = choose_rung(
        pipeline.training.ladder,
        demands if len(demands) == len(made) else [],
        cores=settings.cores,
        allowed=allowed,
        spent=count_spent(settings, pipeline),
        forecast_from="samples" if "samples" in sources else "history",
    )
    _log.info("Rung %s: %s", choice.rung, choice.reason)
    tags = {
        "tollgate.rung": choice.rung,
        "tollgate.rung_reason": choice.reason[:4000],
        "tollgate.rung_cost": f"{choice.cost:.4f} {pipeline.training.ladder.currency}",
        "tollgate.rung_forecast": choice.forecast_from,
    }
    set_tags(settings, parent_run_id, tags)
    if choice.lowest:
        return choice, None
    return choice, describe_rung(settings, pipeline, training_set, choice, parent_run_id, name_dag_run(identity))


def fit_on_rung(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    candidate: str,
    parent_run_id: str,
    identity: RunIdentity,
    rung: str,
    elapsed: float = 0.0,
) -> TrainedModel:
    """Fit the candidate there, in the same MLflow run as on any other rung; what was finished anywhere is taken over.

    ``elapsed`` is the seconds since the DAG run was queued, by which a search knows when to stop. Raises RungFailed,
    which no retry mends, where a higher rung may: out of memory, out of time, or when the try before was killed. On the
    highest rung such a try is simply made again, and other errors leave as they are.
    """
    run_id = open_candidate(settings, pipeline, candidate, parent_run_id, identity)
    before = read_attempt(settings, pipeline.name, run_id, rung)
    highest = not pipeline.training.ladder.above(rung)
    if before is not None and before.state == "running" and before.try_number < identity.try_number and not highest:
        problem = "The try before was killed without a word: out of memory, or its worker was lost."
        end_attempt(settings, before, "lost", problem)
        raise _refuse_rung(candidate, rung, "lost", problem)
    attempt = begin_attempt(
        settings,
        pipeline.name,
        candidate,
        run_id,
        rung,
        dag_run=name_dag_run(identity),
        try_number=identity.try_number,
    )
    try:
        trained = fit_opened(settings, pipeline, training_set, candidate, run_id, identity, rung, elapsed)
    except BaseException as error:
        kind = judge_exception(error)
        problem = f"{type(error).__name__}: {error}"[:2000]
        end_attempt(settings, attempt, kind, problem)
        if kind in CLIMBING and not highest:
            raise _refuse_rung(candidate, rung, kind, problem) from error
        raise
    end_attempt(settings, attempt)
    return trained


def _refuse_rung(candidate: str, rung: str, kind: str, problem: str) -> RungFailed:
    return RungFailed(
        f"The fit of {candidate} failed on rung {rung} ({kind}): {problem}",
        next_step="It goes on in the same MLflow run on the next rung that can help, if there is one.",
        candidate=candidate,
        rung=rung,
        failure=kind,
    )


def choose_climbers(
    settings: Settings,
    pipeline: Pipeline,
    choice: Choice,
    rung: str,
    identity: RunIdentity,
    parent_run_id: str,
) -> tuple[list[str], Mail | None]:
    """Candidates to fit on ``rung``, once all below it is over: all when it was chosen, those that failed below in a
    way that it can mend, and none as soon as one failed in a way that no rung mends. With a mail about who climbs."""
    ladder = pipeline.training.ladder
    names = [each.name for each in ladder.rungs]
    if names.index(rung) <= names.index(choice.rung):
        return (order_candidates(settings, pipeline) if rung == choice.rung else []), None
    last = _find_last_attempts(list_attempts(settings, pipeline.name, name_dag_run(identity)), names)
    failed = {name: attempt for name, attempt in last.items() if attempt.state != "done"}
    if any((attempt.failure or "lost") not in CLIMBING for attempt in failed.values()):
        return [], None
    spent = count_spent(settings, pipeline)
    climbers = []
    for name in order_candidates(settings, pipeline) if failed else ():
        if name not in failed:
            continue
        failure = failed[name].failure or "lost"
        divisible = is_divisible(pipeline, name)
        following, why = find_next_rung(ladder, failed[name].rung, failure, divisible=divisible, spent=spent)
        _log.info("%s failed on %s (%s). %s", name, failed[name].rung, failure, why)
        if following == rung:
            climbers.append(name)
    if not climbers:
        return [], None
    problems = {name: failed[name] for name in climbers}
    set_tags(settings, parent_run_id, {"tollgate.rung": rung, "tollgate.rung_reason": _explain_climb(problems)[:4000]})
    return climbers, describe_climb(settings, pipeline, rung, problems, parent_run_id, name_dag_run(identity))


def _explain_climb(problems: Mapping[str, Attempt]) -> str:
    told = [f"{name} failed on {each.rung} ({each.failure or 'lost'})" for name, each in problems.items()]
    return f"One rung up: {'; '.join(told)}."


def _find_last_attempts(attempts: Sequence[Attempt], rungs: Sequence[str]) -> dict[str, Attempt]:
    """Each candidate's attempt on the highest rung that it reached."""
    known = [attempt for attempt in attempts if attempt.rung in rungs]
    return {attempt.candidate: attempt for attempt in sorted(known, key=lambda each: rungs.index(each.rung))}


def collect_models(
    settings: Settings, pipeline: Pipeline, models: Sequence[TrainedModel], identity: RunIdentity
) -> list[TrainedModel]:
    """The models of all candidates in the declared order, wherever they were fitted.

    Raises TerminalError naming those that have none, and why.
    """
    found = {model.candidate: model for model in models}
    missing = [each.name for each in pipeline.training.candidates if each.name not in found]
    if missing:
        names = [each.name for each in pipeline.training.ladder.rungs]
        last = _find_last_attempts(list_attempts(settings, pipeline.name, name_dag_run(identity)), names)
        told = [
            f"{name} failed on rung {last[name].rung}: {last[name].problem or 'killed without a word'}"
            if name in last
            else f"{name} was not begun"
            for name in missing
        ]
        raise TerminalError(
            f"Not every candidate was fitted. {'; '.join(told)}.",
            next_step="Read the log of the fit; correct the candidate, or declare a rung that can hold it.",
            candidates=missing,
        )
    return [found[candidate.name] for candidate in pipeline.training.candidates]
