"""Runs and tasks: late is told once, in time never, whatever happens to the run, to Airflow or to the watcher."""

from __future__ import annotations

from typing import Any

import pytest

from include.sla.watch import WatchFailed
from tests.unit.sla.conftest import START, Scene, read_text

TRAIN = "parcels.train_model"
REFRESH = "parcels.data_refresh"


def start_run(scene: Scene, number: int = 1, dag_id: str = TRAIN, **facts: Any) -> str:
    """A run that was queued at the start and has begun a second later."""
    return scene.tables.put_run(number, dag_id, **{"queued_at": START, "start_date": START + 1, **facts})


def end_run(scene: Scene, at: float, state: str = "success", number: int = 1, dag_id: str = TRAIN) -> None:
    scene.tables.put_run(number, dag_id, state, queued_at=START, start_date=START + 1, end_date=START + at)


@pytest.mark.parametrize("kind", ["manual", "scheduled", "asset_triggered", "backfill"])
def test_a_late_run_is_told_once_while_it_runs_whatever_started_it(scene: Scene, kind: str) -> None:
    scene.declare(train_model="30m")
    scene.look(0)
    run_id = start_run(scene, run_type=kind)
    assert scene.look(2) == scene.look(1799.9) == 0
    assert scene.look(1801) == 1
    assert scene.look(1803) == scene.look(4000) == 0
    (mail,) = scene.mails()
    assert mail["Subject"] == "[Tollgate] parcels: train_model missed its SLA of 30m"
    assert mail["To"] == "owner@example.com"
    text = read_text(mail)
    assert run_id in text
    assert "30m (30 min 0 s)" in text
    assert f"/dags/{TRAIN}/runs/{run_id}" in text
    assert "What Tollgate does: The run goes on" in text
    assert "not known: this is the first" in text


def test_a_run_that_waits_in_the_queue_is_late_too(scene: Scene) -> None:
    scene.declare(train_model="30m")
    scene.look(0)
    scene.tables.put_run(1, TRAIN, "queued", queued_at=START)
    assert scene.look(1801) == 1
    assert "has been queued for" in scene.read_texts()[0]


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_that_ended_in_time_is_never_told(scene: Scene, state: str) -> None:
    scene.declare(train_model="30m")
    scene.look(0)
    start_run(scene)
    scene.look(1000)
    end_run(scene, 1799.5, state)
    assert scene.look(1802) == scene.look(5000) == 0
    assert scene.mails() == []


def test_a_run_that_failed_between_its_deadline_and_the_next_look_is_told(scene: Scene) -> None:
    scene.declare(train_model="30m")
    scene.look(0)
    start_run(scene)
    scene.look(1799)
    end_run(scene, 1800.5, "failed")
    assert scene.look(1801) == 1
    assert "It has failed since" in scene.read_texts()[0]


def test_what_happened_while_no_watcher_lived_is_told_by_the_next_one(scene: Scene) -> None:
    """One run was open at the kill and failed late, one came and went late, one came and went in time."""
    scene.declare(train_model="30m")
    scene.look(0)
    start_run(scene, 1)
    scene.look(10)
    end_run(scene, 2000, "failed", number=1)
    end_run(scene, 2500, "success", number=2)
    end_run(scene, 900, "success", number=3)
    scene.start()
    assert scene.look(9000) == 2
    scene.start()
    assert scene.look(9002) == 0
    texts = "".join(scene.read_texts())
    assert "run_1" in texts and "run_2" in texts and "run_3" not in texts


def test_what_was_over_before_anybody_watched_is_history(scene: Scene) -> None:
    scene.declare(train_model="30m")
    end_run(scene, 9000, number=1)
    start_run(scene, 2)
    assert scene.look(1000) == 0
    assert scene.look(1900) == 1, "one that still runs is not"


def test_two_runs_whose_rows_show_in_another_order_than_their_ids_are_both_seen(scene: Scene) -> None:
    scene.declare(train_model="30m")
    scene.look(0)
    start_run(scene, 12)
    scene.look(2)
    end_run(scene, 4000, number=11)
    assert scene.look(4001) == 2


def test_a_cleared_run_has_its_time_anew(scene: Scene) -> None:
    scene.declare(train_model="30m")
    scene.look(0)
    start_run(scene)
    assert scene.look(1801) == 1
    end_run(scene, 1900)
    scene.look(1901)
    scene.tables.put_run(1, TRAIN, queued_at=START + 5000, start_date=START + 5001)
    assert scene.look(6000) == 0
    assert scene.look(6801) == 1
    assert len(scene.mails()) == 2


def test_a_run_that_waits_for_its_data_is_not_late_and_has_its_time_from_the_arrival_on(scene: Scene) -> None:
    scene.declare(data_refresh="10m")
    scene.look(0)
    run_id = start_run(scene, dag_id=REFRESH)
    scene.tables.put_task(REFRESH, run_id, "find_arrivals", "deferred", start_date=START + 2, next_method="resume")
    assert scene.look(90_000) == 0
    scene.tables.put_task(REFRESH, run_id, "find_arrivals", "running", start_date=START + 2, next_method="resume")
    assert scene.look(90_001) == 0
    scene.tables.put_task(REFRESH, run_id, "find_arrivals", "success", start_date=START + 2, end_date=START + 90_002)
    assert scene.look(90_100) == 0
    assert scene.look(90_603) == 1
    assert "2026" in scene.read_texts()[0]


def test_a_late_task_is_told_while_it_runs_and_each_try_by_itself(scene: Scene) -> None:
    scene.declare(**{"train_model__fit_candidate": "20m"})
    scene.look(0)
    run_id = start_run(scene)
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", map_index=1, start_date=START + 100)
    assert scene.look(1300) == 0
    assert scene.look(1301) == 1
    text = scene.read_texts()[0]
    assert "train_model: fit_candidate[1] is late, its SLA is 20m" in text
    assert "It has been running for 20 min 1 s." in text
    # The limit that ends a hung task, and what follows: 4 tries in all.
    assert "This try (1) is stopped at 2026-09-21 14:45:00 UTC, after 30 min 0 s, and tried again, 3 more times" in text
    assert f"/runs/{run_id}/tasks/fit_candidate/mapped/1" in text
    scene.tables.put_task(
        TRAIN, run_id, "fit_candidate", map_index=1, try_number=2, start_date=START + 2000, max_tries=3
    )
    assert scene.look(3199) == 0
    assert scene.look(3201) == 1


def test_every_other_task_of_a_stage_has_the_limit_of_all(scene: Scene) -> None:
    scene.declare(**{"train_model__*": "5m", "train_model__fit_candidate": "20m"})
    scene.look(0)
    run_id = start_run(scene)
    for task in ("fit_candidate", "bless_best", "find_arrivals"):
        scene.tables.put_task(TRAIN, run_id, task, start_date=START)
    assert scene.look(299) == 0
    assert scene.look(301) == 1, "neither what has its own, nor what waits for something else than work"
    assert "bless_best" in scene.read_texts()[0]


def test_a_task_that_ended_late_between_two_looks_is_told_at_once(scene: Scene) -> None:
    scene.declare(train_model__fit_candidate="20m")
    scene.look(0)
    run_id = start_run(scene)
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", start_date=START)
    scene.look(1199)
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", "failed", start_date=START, end_date=START + 1200.5)
    assert scene.look(1201) == 1
    assert "It has failed since" in scene.read_texts()[0]


def test_a_task_that_ended_in_time_is_never_told(scene: Scene) -> None:
    scene.declare(train_model__fit_candidate="20m")
    scene.look(0)
    run_id = start_run(scene)
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", start_date=START)
    scene.look(1190)
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", "success", start_date=START, end_date=START + 1199.5)
    assert scene.look(1202) == 0
    end_run(scene, 1300)
    assert scene.look(1301) == 0


def test_a_try_that_ended_late_while_no_watcher_lived_is_told_though_the_next_try_runs(scene: Scene) -> None:
    scene.declare(train_model__fit_candidate="20m")
    scene.look(0)
    run_id = start_run(scene)
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", start_date=START)
    scene.look(10)
    times = {"start_date": START, "end_date": START + 1500}
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", "failed", table="task_instance_history", **times)
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", "queued", try_number=2, scheduled_dttm=START + 1510, **times)
    scene.start()
    assert scene.look(1520) == 1
    assert "try 1" in scene.read_texts()[0]
    assert scene.look(1530) == 0, "the times of the first try say nothing about the second"


def test_a_wait_for_a_worker_is_told_by_the_same_limit(scene: Scene) -> None:
    scene.declare(train_model__fit_candidate=("5m", "2 × usual"))
    scene.look(0)
    run_id = start_run(scene)
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", "scheduled", scheduled_dttm=START)
    scene.look(299)
    assert scene.look(301) == 1
    assert "waits for a worker" in scene.read_texts()[0]
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", "running", scheduled_dttm=START, start_date=START + 400)
    assert scene.look(401) == 0
    assert scene.look(701) == 1, "and then it runs for too long"


def run_once(scene: Scene, number: int, seconds: float, skipped: bool = False) -> None:
    """A run of so many seconds that is over, with one task of nearly as many."""
    run_id = scene.tables.put_run(number, TRAIN, "success", queued_at=START, start_date=START, end_date=START + seconds)
    state = "skipped" if skipped else "success"
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", state, start_date=START, end_date=START + seconds - 1)


def test_twice_the_usual_is_counted_from_the_runs_that_did_their_work(scene: Scene) -> None:
    scene.declare(train_model="2 × usual", train_model__fit_candidate="2 × usual")
    scene.look(0)
    for number, seconds in enumerate((100, 101, 103), start=1):
        run_once(scene, number, seconds)
    run_once(scene, 4, 1.5, skipped=True)
    assert scene.look(1) == 0
    assert scene.read_durations("train_model") == {
        "fit_candidate": [[0, 99.0], [0, 100.0], [0, 102.0]],
        "run": [[0, 100.0], [0, 101.0], [0, 103.0]],
    }
    run_id = start_run(scene, 5)
    scene.tables.put_task(TRAIN, run_id, "fit_candidate", start_date=START + 1)
    assert scene.look(200) == 0
    assert scene.look(203) == 2
    run, task = scene.read_texts()
    assert "train_model missed its SLA of 2 × usual" in run
    assert "2 × usual (3 min 22 s)" in run
    assert "101.0 s ± 1.5 s in 3 runs" in run
    assert "none: it should have ended at" in run and "already 2.0 × as long as usual" in run
    assert "100.0 s ± 1.5 s in 3 runs" in task


def test_before_there_is_anything_usual_a_relative_limit_says_nothing_and_one_beside_it_holds(scene: Scene) -> None:
    scene.declare(train_model=("2 × usual", "30m"))
    scene.look(0)
    run_once(scene, 1, 1.0)
    run_once(scene, 2, 1.0)
    start_run(scene, 3)
    assert scene.look(1000) == 0
    assert scene.look(1801) == 1


def test_a_second_more_than_a_second_is_not_slow(scene: Scene) -> None:
    scene.declare(train_model="2 × usual")
    scene.look(0)
    for number in (1, 2, 3):
        run_once(scene, number, 2.0)
    scene.look(1)
    start_run(scene, 4)
    assert scene.look(11.9) == 0
    assert scene.look(12.5) == 1


def test_rows_stand_beside_the_usual(scene: Scene) -> None:
    scene.declare(train_model="2 × usual")
    scene.look(0)
    for number in (1, 2, 3, 4):
        scene.record("refresh", f"m{number}@x", partition=f"m{number}", version="v", rows=1000, run_id="r")
        used = {f"m{k}": "v" for k in range(1, number + 1)}
        scene.record("training", f"w{number}", claimed_by=f"{TRAIN}/run_{number}", partitions=used)
    for number in (1, 2, 3):
        run_once(scene, number, 60.0)
    scene.look(1)
    start_run(scene, 4)
    assert scene.look(130) == 1
    text = scene.read_texts()[0]
    assert "in 3 runs of 1,000 to 3,000 rows" in text
    assert "Rows this time" in text and "4,000" in text


def test_the_forecast_end_is_a_time_while_the_usual_one_has_not_passed(scene: Scene) -> None:
    scene.declare(train_model="1m")
    scene.look(0)
    for number in (1, 2, 3):
        run_once(scene, number, 600.0)
    assert scene.look(1) == 3
    start_run(scene, 4)
    assert scene.look(61) == 1
    assert "2026-09-21 14:23:20 UTC ± 0.0 s, if it takes what is usual" in scene.read_texts()[-1]


def test_only_the_newest_durations_are_kept(scene: Scene) -> None:
    scene.look(0)
    for number in range(1, 61):
        run_once(scene, number, 10.0 + number)
        scene.look(number)
    kept = scene.read_durations("train_model")["run"]
    assert len(kept) == 50
    assert kept[-1] == [0, 70.0]


def test_a_database_that_does_not_answer_delays_and_loses_nothing(scene: Scene) -> None:
    scene.declare(train_model="30m")
    scene.look(0)
    start_run(scene)
    scene.look(2)
    scene.tables.break_up()
    with pytest.raises(WatchFailed, match="queued_at"):
        scene.look(1801)
    assert "queued_at" in scene.watcher.report.problem
    scene.tables.mend()
    assert scene.look(1900) == 1
    assert scene.watcher.report.problem == ""


def test_another_systems_dags_are_left_alone(scene: Scene) -> None:
    scene.declare(train_model="1s")
    scene.look(0)
    for number, dag_id in enumerate(("other.train_model", "tollgate.housekeeping", "parcels.rollback"), start=1):
        start_run(scene, number, dag_id)
    assert scene.look(1000) == 0


def test_a_record_that_cannot_be_read_takes_no_other_alert_with_it(scene: Scene) -> None:
    scene.declare(train_model="30m", refresh_to_served="10m")
    scene.look(0)
    start_run(scene)
    scene.tables.put_run(2, REFRESH, queued_at=START, start_date=START)
    scene.look(2)
    folder = scene.settings.records_root / "parcels" / "deployment"
    folder.mkdir(parents=True)
    (folder / "torn.json").write_text("{")
    scene.tables.put_run(2, REFRESH, "success", queued_at=START, start_date=START, end_date=START + 10)
    scene.record("refresh", "2026-01@f", partition="2026-01", fingerprint="f", status="published", run_id="run_2")
    with pytest.raises(WatchFailed, match="DeliveryWatch"):
        scene.look(1801)
    assert len(scene.mails()) == 1
