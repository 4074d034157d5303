"""The champion's candidate is fitted first and its configuration tried first; a search has what the SLA leaves."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from include.contracts import TrainingSet, Window
from include.data.window import choose_window
from include.declaration import Candidate, IntRange, Ladder, Pipeline, Rung, Search, Sla
from include.runtime.history import Phases, list_fits, name_recipe, write_fit
from include.runtime.ladder import Choice
from include.settings import Settings
from include.steps.ladder import _make_demand, choose_climbers, is_divisible
from include.steps.order import order_candidates
from include.steps.reproduce import reproduce_version
from include.steps.search import plan_search
from include.steps.train import fit_one, open_training
from include.tracking.entries import read_tags
from include.tracking.registry import promote_champion, register_version
from include.training.dataset import prepare_training_set
from include.training.samples import time_samples
from include.training.search_clock import SearchPlan
from tests.unit.factory import make_pipeline
from tests.unit.runtime.records import make_record
from tests.unit.steps.declared import publish_month, write_pipeline
from tests.unit.steps.test_ladder import identify
from tests.unit.steps.test_reproduce import make_blessing_of
from tests.unit.tracking.factory import make_training_set
from tests.unit.training.sets import prepare_toy

SEARCH = Search(method="bayesian", trials=4, at_once=2, space={"max_iter": IntRange(low=5, high=45, start=25)})
DAG_RUN = "dag/run"


def declare(name: str, sla: str | None = "100s", **update: Any) -> Pipeline:
    """The toy whose trees are searched for."""
    return search_in(make_pipeline(name, sla=Sla(train_model=sla)), **update)


def search_in(pipeline: Pipeline, **update: Any) -> Pipeline:
    trees = Candidate(name="trees", kind="boosted_trees", search=SEARCH)
    linear = next(candidate for candidate in pipeline.training.candidates if candidate.name == "linear")
    candidates = (linear, trees)
    training = pipeline.training.model_copy(update={"candidates": candidates, **update})
    return pipeline.model_copy(update={"training": training})


def plan(settings: Settings, pipeline: Pipeline, elapsed: float = 10.0, rung: Rung | None = None) -> SearchPlan:
    training_set = dataclasses.replace(make_training_set(pipeline, settings.home), train_rows=800)
    rung = rung or pipeline.training.ladder.rungs[0]
    made = plan_search(settings, pipeline, training_set, "trees", rung, DAG_RUN, elapsed)
    assert made is not None
    return made


def read_limits(made: SearchPlan) -> dict[str, float]:
    """Seconds from now."""
    return {limit.name: limit.until - time.monotonic() for limit in made.limits}


def test_a_candidate_without_a_search_has_no_plan(settings: Settings) -> None:
    pipeline = declare("unsearched")
    training_set = make_training_set(pipeline, settings.home)
    rung = pipeline.training.ladder.rungs[0]
    assert plan_search(settings, pipeline, training_set, "linear", rung, DAG_RUN, 0.0) is None


def test_it_has_what_the_sla_leaves_when_the_rest_and_the_fit_are_taken_off(tracked: Settings) -> None:
    pipeline = declare("allowed")
    # Nothing is known yet: a tenth is kept for what follows.
    first = plan(tracked, pipeline)
    assert read_limits(first)["sla.train_model (100 s)"] == pytest.approx(80, abs=5)
    assert first.fit_seconds == 0.0
    # Past fits took 10 s in proportion to the rows, and their searches, which are no part of that, a hundred.
    recipe = name_recipe(pipeline, pipeline.training.candidates[1])
    for number in range(6):
        phases = Phases(0.0, 0.0, 10.0 * (700 + 20 * number) / 800, 0.0, search=100.0)
        told = {"pipeline": "allowed", "rows": 700 + 20 * number, "recipe": recipe, "seconds": 1.0}
        record = dataclasses.replace(make_record(number, **told), seconds=phases, cpu=phases)
        write_fit(tracked, dataclasses.replace(record, trials=4, trials_declared=4))
    assert plan(tracked, pipeline).fit_seconds == pytest.approx(10, rel=0.3)


def test_the_fits_own_limit_is_one_too_and_the_rungs_before_it(tracked: Settings) -> None:
    pipeline = declare("bounded", sla=None, max_minutes=2.0)
    assert read_limits(plan(tracked, pipeline)) == {"the limit of a fit (2 minutes)": pytest.approx(108, abs=5)}
    short = Rung(name="short", max_minutes=1.0)
    assert read_limits(plan(tracked, pipeline, rung=short)) == {
        "the limit of a fit (1 minutes)": pytest.approx(54, abs=5)
    }


def test_on_an_embedded_cluster_the_other_fits_still_wait_for_their_turn(tracked: Settings) -> None:
    dask = Rung(name="dask", kind="dask", workers=2, speeds_up=("trials",))
    pipeline = declare("queued_up", ladder=Ladder(rungs=(Rung(name="worker"), dask)))
    recipe = name_recipe(pipeline, pipeline.training.candidates[0])
    told = {"pipeline": "queued_up", "candidate": "linear", "rows": 800, "recipe": recipe, "rung": "dask"}
    write_fit(tracked, make_record(0, seconds=30.0, **told))
    assert read_limits(plan(tracked, pipeline, rung=dask))["sla.train_model (100 s)"] == pytest.approx(50, abs=5)
    write_fit(tracked, make_record(1, seconds=30.0, dag_run=DAG_RUN, **told))
    assert read_limits(plan(tracked, pipeline, rung=dask))["sla.train_model (100 s)"] == pytest.approx(80, abs=5)


def test_the_ladder_counts_all_trials_and_no_more_of_them_side_by_side_than_declared(
    settings: Settings, tmp_path: Path
) -> None:
    pipeline = declare("counted")
    training_set = prepare_toy(settings, pipeline, tmp_path)
    assert is_divisible(pipeline, "trees")
    demand, source = _make_demand(settings, pipeline, training_set, "trees", 30.0)
    assert demand is not None
    assert (source, demand.parts) == ("samples", 2)
    for record in time_samples(settings, pipeline, training_set, "trees", 1, 30.0):
        assert (record.trials, record.trials_declared) == (4, 4)
        # Four fits on eight tenths of the rows.
        assert record.seconds.search == pytest.approx(4 * 0.8 * record.seconds.fit, rel=0.01)
    plain, _ = _make_demand(settings, pipeline, training_set, "linear", 30.0)
    assert plain is not None
    assert plain.parts is None


def test_the_champions_candidate_is_first_and_so_is_its_configuration(tracked: Settings, tmp_path: Path) -> None:
    name = "followed_up"
    pipeline = search_in(write_pipeline(tracked, name))
    assert order_candidates(tracked, pipeline) == ["linear", "trees"]
    assert plan(tracked, pipeline).starts == ()
    version, training_set = train_champion(tracked, pipeline, tmp_path)
    assert order_candidates(tracked, pipeline) == ["trees", "linear"]
    (start,) = plan(tracked, pipeline).starts
    assert 5 <= start["max_iter"] <= 45
    # Another candidate's search learns nothing from it.
    other = pipeline.training.candidates[1].model_copy(update={"name": "other"})
    with_other = pipeline.training.model_copy(update={"candidates": (other,)})
    rung = pipeline.training.ladder.rungs[0]
    alone = pipeline.model_copy(update={"training": with_other})
    planned = plan_search(tracked, alone, training_set, "other", rung, DAG_RUN, 0.0)
    assert planned is not None
    assert planned.starts == ()
    ladder = Ladder(rungs=(Rung(name="worker"), Rung(name="big", kind="queue", queue="big", speeds_up=("memory",))))
    laddered = search_in(pipeline, ladder=ladder)
    chosen = Choice("big", False, "", 0.0, None)
    assert choose_climbers(tracked, laddered, chosen, "big", identify(laddered), "unused")[0] == ["trees", "linear"]
    # What it was made of is found again, however the search of today would go.
    again = reproduce_version(tracked, pipeline, version)
    assert again.differences == ()
    # The next training tries it first.
    parent = open_parent(tracked, pipeline, training_set, "run-2")
    trained = fit_one(tracked, pipeline, training_set, "trees", parent, identify(pipeline))
    assert f'"max_iter": {start["max_iter"]}' in read_tags(tracked, trained.run_id)["tollgate.search_starts"]
    assert len(list_fits(tracked, name)) == 2


def open_parent(settings: Settings, pipeline: Pipeline, training_set: TrainingSet, run: str) -> str:
    window = Window(pipeline.name, training_set.partition, (), training_set.window_digest)
    return open_training(settings, pipeline, window, dataclasses.replace(identify(pipeline), run_id=run))


def train_champion(settings: Settings, pipeline: Pipeline, folder: Path) -> tuple[str, TrainingSet]:
    """A version of the searched trees, registered and named champion, from published partitions."""
    for month in ("2013-01", "2013-02", "2013-03"):
        publish_month(settings, pipeline, month, folder)
    window = choose_window(settings, pipeline, "2013-03", "test")
    assert isinstance(window, Window)
    training_set = prepare_training_set(settings, pipeline, window)
    parent = open_parent(settings, pipeline, training_set, "run-0")
    who = dataclasses.replace(identify(pipeline), run_id="run-0")
    trained = fit_one(settings, pipeline, training_set, "trees", parent, who)
    blessing = make_blessing_of(pipeline, trained, training_set)
    version = register_version(settings, pipeline, blessing, training_set).version
    promote_champion(settings, pipeline.name, version, "Blessed.")
    return version, training_set
