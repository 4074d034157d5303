"""A named partition that is not there yet: its run waits in the triggerer, without a worker, and goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.contracts import Arrival, unpack
from include.declaration import Pipeline
from include.settings import Settings, load_settings
from tests.unit.factory import land_rows, make_rows
from tests.unit.steps.declared import write_pipeline

NAME = "waiting"
MONTH = "2013-02"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("TOLLGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOLLGATE_PIPELINES", str(tmp_path / "pipelines"))
    return load_settings()


@pytest.fixture
def pipeline(settings: Settings) -> Pipeline:
    return write_pipeline(settings, NAME)


def execute(pipeline: Pipeline, run_type: str, **run: Any) -> list[dict[str, Any]]:
    """Run the first task of data_refresh as Airflow would; raises what Airflow makes a wait or a skip of."""
    from tollgate_sensors import FindArrivals

    described = {"partition_key": None, "conf": None, "logical_date": None, "dag_id": "d", "run_id": "r"} | run
    context = {
        "dag_run": SimpleNamespace(run_type=run_type, **described),
        "params": {"partition": None},
        "triggering_asset_events": {},
    }
    # Past the guard against calls from outside of a task.
    return FindArrivals.execute.__wrapped__(FindArrivals(task_id="find", pipeline=pipeline), context)  # type: ignore[no-any-return, attr-defined]


@pytest.mark.parametrize(
    ("run_type", "run"),
    [
        ("manual", {"partition_key": MONTH}),
        ("manual", {"conf": {"partition": MONTH}}),
        ("scheduled", {"logical_date": datetime(2013, 2, 1, tzinfo=UTC)}),
        ("backfill", {"logical_date": datetime(2013, 2, 1, tzinfo=UTC)}),
    ],
)
def test_a_run_for_a_partition_that_is_not_there_waits_in_the_triggerer_and_goes_on_with_its_file(
    dag_bag: Any, settings: Settings, pipeline: Pipeline, run_type: str, run: dict[str, Any]
) -> None:
    from airflow.sdk.exceptions import TaskDeferred

    from tollgate_sensors import FindArrivals

    with pytest.raises(TaskDeferred) as deferred:
        execute(pipeline, run_type, **run)
    waiting = deferred.value
    assert waiting.trigger.serialize() == (
        "tollgate_triggers.PartitionTrigger",
        {"pipeline": NAME, "partition": MONTH, "poll_seconds": pipeline.data.poll_seconds},
    )
    file = land_rows(settings, pipeline, MONTH, make_rows(MONTH, 20))
    (event,) = asyncio.run(collect(waiting.trigger))
    task = FindArrivals(task_id="find", pipeline=pipeline)
    resumed = getattr(task, waiting.method_name)({}, event.payload)
    assert [unpack(Arrival, arrival).path for arrival in resumed] == [str(file)]
    assert execute(pipeline, run_type, **run) == resumed, "a file that is there is not waited for"


async def collect(trigger: Any) -> list[Any]:
    return [event async for event in trigger.run()]


def test_a_trigger_waits_until_the_file_is_complete_and_fires_once(
    dag_bag: Any, settings: Settings, pipeline: Pipeline
) -> None:
    from tollgate_triggers import PartitionTrigger

    path = settings.landing_root / NAME / f"{MONTH}.parquet"
    path.parent.mkdir(parents=True)

    async def watch() -> list[Any]:
        waiting = asyncio.create_task(collect(PartitionTrigger(pipeline=NAME, partition=MONTH, poll_seconds=0.02)))
        await asyncio.sleep(0.2)
        assert not waiting.done(), "nothing has landed"
        path.with_name(f"{path.name}.part").write_bytes(b"half")
        land_rows(settings, pipeline, "2013-03", make_rows("2013-03", 20))
        await asyncio.sleep(0.2)
        assert not waiting.done(), "neither a file that is being written nor another month is what it waits for"
        land_rows(settings, pipeline, MONTH, make_rows(MONTH, 20))
        return await asyncio.wait_for(waiting, 30)

    (event,) = asyncio.run(watch())
    assert unpack(Arrival, event.payload).partition == MONTH


def test_a_scheduled_run_for_what_is_published_waits_for_nothing(
    dag_bag: Any, settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    monkeypatch.setattr("include.data.publish.list_partitions", lambda *_: [SimpleNamespace(partition=MONTH)])
    with pytest.raises(AirflowSkipException, match="arrived earlier"):
        execute(pipeline, "scheduled", logical_date=datetime(2013, 2, 1, tzinfo=UTC))


@pytest.fixture
def build(dag_bag: Any) -> Iterator[Any]:
    """How the DAG file builds data_refresh, as the scheduler sees what it built."""
    from airflow.serialization.serialized_objects import DagSerialization

    task = dag_bag.dags["flight_delays.data_refresh"].task_dict["refresh_partition.gate_refresh"]
    build_data_refresh = task.python_callable.__globals__["build_data_refresh"]
    yield lambda declared: DagSerialization.deserialize_dag(
        DagSerialization.serialize_dag(build_data_refresh(declared))
    )


def test_an_open_ended_declaration_is_scheduled_period_after_period(build: Any, pipeline: Pipeline) -> None:
    """The newest period that is over first, then the one that runs now, when it is over."""
    assert pipeline.data.last is None
    dag, now = build(pipeline), datetime.now(UTC)
    first = dag.next_dagrun_info(last_automated_run_info=None)
    assert first.run_after <= now
    second = dag.next_dagrun_info(last_automated_run_info=first)
    assert second.run_after > now
    assert second.logical_date == first.run_after
    month = second.logical_date.strftime(pipeline.data.partition_format)
    assert month == first.run_after.strftime("%Y-%m") == now.strftime("%Y-%m"), "its run is about this month"


def test_a_declaration_that_has_ended_is_not_scheduled(build: Any, pipeline: Pipeline) -> None:
    ended = pipeline.model_copy(update={"data": pipeline.data.model_copy(update={"last": "2013-12"})})
    assert build(ended).next_dagrun_info(last_automated_run_info=None) is None
