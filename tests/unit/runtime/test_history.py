"""The history is in the ledger, one record a fit, and says what is usual."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from datetime import timedelta

import pytest

from include.contracts import pack
from include.declaration import Candidate, IntRange, Search
from include.records import write_record
from include.runtime.history import Phases, list_fits, name_recipe, read_fit, write_fit
from include.runtime.usual import Usual, measure_usual, read_usual_fit, read_usual_training
from include.settings import PROJECT_ROOT, Settings
from tests.unit.factory import make_pipeline
from tests.unit.runtime.records import BEGAN, make_record


def test_a_record_comes_back_as_it_was_and_a_fit_made_again_replaces_it(settings: Settings) -> None:
    record = make_record(3)
    write_fit(settings, record)
    assert read_fit(settings, "parcels", record.mlflow_run_id) == record
    again = dataclasses.replace(record, peak_mb=1.0)
    write_fit(settings, again)
    assert list_fits(settings, "parcels") == [again]
    assert read_fit(settings, "parcels", "f" * 32) is None


def test_fits_come_in_the_order_in_which_they_were_finished_and_by_what_was_asked_for(settings: Settings) -> None:
    records = [make_record(2), make_record(1, rung="big"), make_record(0, candidate="linear"), make_record(3)]
    for record in records:
        write_fit(settings, record)
    assert [record.mlflow_run_id[-1] for record in list_fits(settings, "parcels")] == ["0", "1", "2", "3"]
    assert list_fits(settings, "parcels", candidate="trees", rung="worker") == [records[0], records[3]]
    assert list_fits(settings, "parcels", recipe="another") == []


def test_a_recipe_is_another_one_when_parameters_or_features_change() -> None:
    pipeline = make_pipeline()
    trees = Candidate(name="trees", kind="boosted_trees", parameters={"max_iter": 20})
    more = trees.model_copy(update={"parameters": {"max_iter": 21}})
    fewer = make_pipeline(features=pipeline.features[:-1])
    assert name_recipe(pipeline, trees) == name_recipe(make_pipeline(), trees)
    assert len({name_recipe(pipeline, trees), name_recipe(pipeline, more), name_recipe(fewer, trees)}) == 3


def test_a_search_makes_another_recipe_and_a_stopped_one_counts_as_if_it_were_whole(settings: Settings) -> None:
    pipeline = make_pipeline()
    trees = Candidate(name="trees", kind="boosted_trees")
    searches = [
        Search(method=method, trials=trials, space={"max_iter": IntRange(low=1, high=9)})
        for method, trials in (("random", 4), ("random", 8), ("bayesian", 8))
    ]
    searching = [trees.model_copy(update={"search": search}) for search in searches]
    assert len({name_recipe(pipeline, candidate) for candidate in (trees, *searching)}) == 4

    phases = Phases(1.0, 1.0, 10.0, 1.0, search=30.0)
    stopped = dataclasses.replace(make_record(), seconds=phases, cpu=phases, trials=3, trials_declared=8)
    assert stopped.wall_seconds == 43.0
    assert stopped.complete(stopped.seconds) == 93.0
    without_time = dataclasses.replace(stopped, seconds=dataclasses.replace(phases, search=0.0), trials=0)
    assert without_time.complete(without_time.seconds) == 13.0 + 8 * 10.0
    assert make_record().complete(make_record().seconds) == make_record().wall_seconds
    write_fit(settings, stopped)
    assert read_fit(settings, "parcels", stopped.mlflow_run_id) == stopped


def test_a_record_from_before_there_were_searches_is_read(settings: Settings) -> None:
    record = make_record()
    packed = pack(record)
    for phases in ("seconds", "cpu"):
        del packed[phases]["search"]
    for name in ("trials", "trials_declared"):
        del packed[name]
    write_record(settings, "parcels", "fit", record.mlflow_run_id, packed)
    assert read_fit(settings, "parcels", record.mlflow_run_id) == record


def test_what_is_usual_is_the_median_with_a_spread_that_one_odd_run_does_not_move() -> None:
    calm = measure_usual([(100, 10.0), (100, 11.0), (110, 12.0), (120, 13.0), (120, 14.0)])
    odd = measure_usual([(100, 10.0), (100, 11.0), (110, 12.0), (120, 13.0), (120, 900.0)])
    assert calm == Usual(12.0, pytest.approx(1.4826), 5, 100, 120)
    assert odd == calm
    assert measure_usual([]) is None
    assert calm.describe() == "12.0 s ± 1.5 s in 5 runs of 100 to 120 rows"
    assert measure_usual([(0, 3.0)]).describe() == "3.0 s ± 0.0 s in 1 run"  # type: ignore[union-attr]


def test_usual_at_a_number_of_rows_is_that_of_similar_runs_or_else_of_the_last(settings: Settings) -> None:
    for number, (rows, seconds) in enumerate([(100, 1.0), (1000, 10.0), (1100, 11.0), (900, 9.0), (5000, 50.0)]):
        write_fit(settings, make_record(number, rows=rows, seconds=seconds))
    similar = read_usual_fit(settings, "parcels", "trees", rows=1000)
    assert similar == Usual(pytest.approx(10.0), pytest.approx(1.4826), 3, 900, 1100)
    last = read_usual_fit(settings, "parcels", "trees", rows=9000)
    assert last is not None
    assert (last.rows_low, last.rows_high, last.runs) == (900, 5000, 3)
    assert read_usual_fit(settings, "parcels", "trees", rung="big") is None


def test_a_training_takes_from_its_first_fit_to_the_end_of_its_last(settings: Settings) -> None:
    ends = {"linear": BEGAN + timedelta(seconds=5), "trees": BEGAN + timedelta(seconds=12)}
    for place, (candidate, end) in enumerate(ends.items()):
        told = {"candidate": candidate, "finished_at": end.isoformat(), "dag_run": "parcels.train_model/run-0"}
        write_fit(settings, make_record(place, seconds=5.0 if candidate == "linear" else 8.0, **told))
    usual = read_usual_training(settings, "parcels")
    assert usual is not None
    assert usual.seconds == pytest.approx(12.0)


def test_who_asks_what_is_usual_loads_no_number_library() -> None:
    """The triggerer asks."""
    script = "import include.runtime.usual, sys; print({'numpy', 'pandas', 'scipy', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
