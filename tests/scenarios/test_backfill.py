"""Three months that nobody watched arrive are taken in by a backfill from Airflow's API: on a system of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from config.supervise import Supervisor
from tests.scenarios.invariants import Landed, Observer
from tests.scenarios.lenient import PIPELINE, PIPELINES, land, take_rows
from tests.scenarios.system import RunningSystem

# A minute and a half on two idle cores; a busy machine takes several times as long.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

DAG = f"{PIPELINE}.data_refresh"
MONTHS = ("2013-01", "2013-02", "2013-03")


@pytest.fixture(scope="module")
def own_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    running = RunningSystem(tmp_path_factory.mktemp("backfill") / "home", pipelines=PIPELINES)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def landed(own_system: RunningSystem) -> list[Landed]:
    """Three files that landed while no triggerer watched the folder."""
    Supervisor(own_system.site).stop_programs(["triggerer"], 60)
    # Marked as done: without a watcher nobody sees a file settle.
    return [land(own_system, month, take_rows(number), mode="done") for number, month in enumerate(MONTHS, start=1)]


def list_finished_backfill_runs(system: RunningSystem) -> list[dict[str, object]] | None:
    """All runs of the backfill once they have ended; they were all made when it was created."""
    runs = [run for run in system.runs(DAG) if run["run_type"] == "backfill"]
    return runs if all(run["state"] in ("success", "failed") for run in runs) else None


def count_reports(system: RunningSystem, partition: str) -> int:
    """How many times Great Expectations judged a partition: each judgement leaves its evidence."""
    folder = system.settings.reports_root / PIPELINE / "gates" / "refresh"
    reports = [json.loads(path.read_bytes()) for path in folder.glob("*.json")]
    return sum(report["subject"] == partition for report in reports)


def test_a_backfill_takes_in_each_month_once(own_system: RunningSystem, landed: list[Landed]) -> None:
    system = own_system
    system.api.start_backfill(DAG, "2013-01-01T00:00:00+00:00", "2013-03-01T00:00:00+00:00")
    runs = system.wait_for(lambda: list_finished_backfill_runs(system), 600, "the backfill's runs to end")
    assert sorted(str(run["logical_date"])[:7] for run in runs) == list(MONTHS)
    assert {run["state"] for run in runs} == {"success"}
    assert len(system.runs(DAG)) == len(runs), "nobody else took a file in"
    verdicts = {record["partition"]: record for record in system.list_records(PIPELINE, "refresh")}
    assert {record["status"] for record in verdicts.values()} == {"published"}
    assert {record["run_id"] for record in verdicts.values()} == {run["dag_run_id"] for run in runs}
    assert {partition: count_reports(system, partition) for partition in verdicts} == dict.fromkeys(MONTHS, 1)


def test_the_backfilled_months_are_trained_on_as_if_they_had_landed_together(
    own_system: RunningSystem, landed: list[Landed]
) -> None:
    system = own_system
    system.wait_until_idle(900)
    claims = system.list_records(PIPELINE, "training")
    assert list(claims[-1]["partitions"]) == list(MONTHS)
    assert len({tuple(claim["partitions"].items()) for claim in claims}) == len(claims), "no window is trained on twice"
    trainings = system.runs(f"{PIPELINE}.train_model")
    assert sorted(run["partition_key"] for run in trainings) == list(MONTHS)
    outcomes = [system.task_states(run) for run in trainings]
    assert {run["state"] for run in trainings} == {"success"}
    trained = sum(tasks["bless_best"] == "success" for tasks in outcomes)
    # Airflow starts the first training as soon as one month is published. By its end the others are, as a training
    # takes longer than a refresh and all three began together: one more training covers what it did not.
    assert trained == len(claims) < len(MONTHS)
    skipped = [run for run, tasks in zip(trainings, outcomes, strict=True) if tasks["choose_window"] == "skipped"]
    assert len(skipped) == len(MONTHS) - trained, "a month that another training covers is not trained for"
    for run in skipped:
        assert "superseded by 2013-0" in system.task_log(run, "choose_window")
    champion = system.registry_champion(PIPELINE)
    assert champion is not None
    assert champion.partition == MONTHS[-1]
    assert system.endpoint_version(PIPELINE) == champion.version
    Observer(system, PIPELINE, landed).check_at_rest()


def test_the_watcher_finds_nothing_new_afterwards(own_system: RunningSystem, landed: list[Landed]) -> None:
    """Its first look is over when it has noticed a file that lies there since before it started."""
    system = own_system
    refreshed = len(system.runs(DAG))
    again = system.settings.landing_root / PIPELINE / f"{MONTHS[1]}.parquet"
    system.land(PIPELINE, MONTHS[1], again.read_bytes(), mode="done")
    Supervisor(system.site).start_program("triggerer")
    system.wait_for(lambda: len(system.runs(DAG)) > refreshed or None, 120, "the same content to be noticed")
    system.wait_until_idle()
    (noticed,) = [run for run in system.runs(DAG) if run["run_type"] != "backfill"]
    states = system.task_states(noticed)
    assert states["refresh_partition.take_in_arrival[0]"] == "skipped"
    assert "refresh_partition.take_in_arrival[1]" not in states
    assert {month: count_reports(system, month) for month in MONTHS} == dict.fromkeys(MONTHS, 1)
