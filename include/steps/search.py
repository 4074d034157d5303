"""What a declared search is given: the champion's configuration to begin with, and by when it has to be over."""

from __future__ import annotations

import logging
import time

from include.contracts import TrainingSet
from include.declaration.ladder import Rung
from include.declaration.limits import limit_fit
from include.declaration.models import Pipeline
from include.runtime.expectation import Point
from include.runtime.forecast import list_past_fits
from include.runtime.history import list_fits
from include.settings import Settings
from include.steps.runtime import measure_rest, read_allowance
from include.tracking.champions import read_champion_fit
from include.training.estimators import find_candidate
from include.training.search_clock import Limit, SearchPlan

_log = logging.getLogger("tollgate.search")
# What is left of a limit for logging and judging, of which the fit's own forecast knows nothing.
_MARGIN = 0.1


def plan_search(
    settings: Settings,
    pipeline: Pipeline,
    training_set: TrainingSet,
    candidate_name: str,
    rung: Rung,
    dag_run: str,
    elapsed: float,
) -> SearchPlan | None:
    """The plan of the candidate's search, None when it declares none.

    ``elapsed`` is the seconds since the DAG run was queued, from which ``sla.train_model`` counts. Raises
    TrackingUnavailable.
    """
    if find_candidate(pipeline, candidate_name).search is None:
        return None
    now, most = time.monotonic(), limit_fit(pipeline, rung).total_seconds()
    limits = [Limit(f"the limit of a fit ({most / 60:g} minutes)", now + most * (1 - _MARGIN))]
    allowance = read_allowance(pipeline)
    if allowance is not None:
        rest = measure_rest(settings, pipeline) or _MARGIN * allowance
        others = _forecast_others(settings, pipeline, training_set, candidate_name, rung, dag_run)
        left = allowance - elapsed - rest - others
        limits.append(Limit(f"sla.train_model ({allowance:g} s)", now + left))
        _log.info(
            "%s: of sla.train_model %.0f s, %.0f s are gone, %.0f s are kept for what follows the fits and %.0f s for "
            "other fits; the search and its fit have %.0f s",
            *(candidate_name, allowance, elapsed, rest, others, left),
        )
    champion = read_champion_fit(settings, pipeline.name)
    starts = (champion[1],) if champion is not None and champion[0] == candidate_name else ()
    return SearchPlan(
        starts, tuple(limits), _forecast_fit_alone(settings, pipeline, training_set, candidate_name, rung)
    )


def _forecast_fit_alone(
    settings: Settings, pipeline: Pipeline, training_set: TrainingSet, candidate_name: str, rung: Rung
) -> float:
    """Seconds of a fit without its search, the upper end where enough is known; 0 without any fit before."""
    from include.runtime.scaling import foretell

    past = list_past_fits(settings, pipeline, candidate_name, rung=rung.name)
    points = [Point(fit.rows, fit.seconds.total - fit.seconds.search) for fit in past]
    told = foretell(points, training_set.train_rows, "wall_seconds")
    if told is None:
        return 0.0
    return told.high if told.trusted else told.value


def _forecast_others(
    settings: Settings, pipeline: Pipeline, training_set: TrainingSet, candidate_name: str, rung: Rung, dag_run: str
) -> float:
    """Seconds of the candidates' fits that still wait for this one: on an embedded cluster, one follows the other."""
    if rung.kind != "dask" or rung.address is not None:
        return 0.0
    done = {fit.candidate for fit in list_fits(settings, pipeline.name) if fit.dag_run == dag_run}
    return sum(
        _forecast_fit_alone(settings, pipeline, training_set, other.name, rung)
        for other in pipeline.training.candidates
        if other.name != candidate_name and other.name not in done
    )
