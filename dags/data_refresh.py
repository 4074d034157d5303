"""data_refresh: an arrival becomes a validated partition, or is stopped with its evidence.

Runs at once when a file is complete in the landing folder, when its period has ended (the declared cron), when an
asset event names a partition, and by hand; can be backfilled.
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task_group
from airflow.sdk.exceptions import AirflowSkipException
from airflow.timetables.interval import CronDataIntervalTimetable

from include.contracts import Arrival, GateReport, PartitionRef, Refresh, pack, unpack
from include.declaration import Pipeline
from include.declaration.loader import load_pipelines
from include.errors import RefreshChanged
from include.links import link_report
from include.settings import load_settings
from tollgate_alerts import mail_task_failure, post_mail
from tollgate_assets import landing_asset, validated_asset
from tollgate_defaults import make_default_arguments, task
from tollgate_gate_messages import describe_warning
from tollgate_links import identify_run
from tollgate_runs import asked_by_hand
from tollgate_sensors import FindArrivals
from tollgate_timetable import RefreshTimetable

# What Airflow's pages call one arrival of a run, instead of its number.
_ARRIVAL_NAME = "{% set a = task.op_kwargs.get('arrival') or {} %}{{ a.get('partition') or a.get('path', '') }}"


def build_data_refresh(pipeline: Pipeline) -> DAG:
    """The DAG of one pipeline."""
    validated = validated_asset(pipeline.name)
    data = pipeline.data

    @task(map_index_template=_ARRIVAL_NAME)
    def take_in_arrival(arrival: dict[str, Any]) -> dict[str, Any]:
        from include.steps.refresh import describe_known_content, take_in_arrival

        context = get_current_context()
        settings, identity = load_settings(), identify_run(context)
        try:
            refresh = take_in_arrival(settings, pipeline, unpack(Arrival, arrival), identity)
        except RefreshChanged as change:
            # The watcher raises what lies there now; a retry would look for the old file in vain.
            raise AirflowSkipException(str(change)) from change
        known = describe_known_content(settings, pipeline, refresh, unpack(Arrival, arrival), identity)
        if known and not asked_by_hand(context["dag_run"]):
            raise AirflowSkipException(known)
        return pack(refresh)

    @task(map_index_template=_ARRIVAL_NAME)
    def gate_refresh(refresh: dict[str, Any], arrival: dict[str, Any]) -> dict[str, Any]:
        from include.steps.refresh import gate_refresh

        identity = identify_run(get_current_context())
        report = gate_refresh(load_settings(), pipeline, unpack(Refresh, refresh), unpack(Arrival, arrival), identity)
        return pack(report)

    @task(outlets=[validated], map_index_template=_ARRIVAL_NAME)
    def publish_partition(refresh: dict[str, Any], arrival: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
        from include.steps.refresh import publish_refresh

        settings, context = load_settings(), get_current_context()
        published = publish_refresh(
            settings,
            pipeline,
            unpack(Refresh, refresh),
            unpack(Arrival, arrival),
            unpack(GateReport, report),
            identify_run(context),
        )
        event = context["outlet_events"][validated]
        event.add_partitions(published.partition)
        event.extra = {"partition": pack(published), "data_docs": link_report(settings, published.docs_path)}
        if published.verdict == "warn":
            post_mail(describe_warning(pipeline, published, unpack(GateReport, report), context))
        return pack(published)

    @task(map_index_template=_ARRIVAL_NAME)
    def record_published(refresh: dict[str, Any], arrival: dict[str, Any], published: dict[str, Any]) -> None:
        from include.steps.refresh import record_published

        identity = identify_run(get_current_context())
        record_published(
            load_settings(),
            unpack(Refresh, refresh),
            unpack(Arrival, arrival),
            unpack(PartitionRef, published),
            identity,
        )

    @task_group
    def refresh_partition(arrival: dict[str, Any]) -> None:
        refresh = take_in_arrival(arrival=arrival)
        report = gate_refresh(refresh, arrival=arrival)
        published = publish_partition(refresh, arrival=arrival, report=report)
        record_published(refresh, arrival=arrival, published=published)

    with DAG(
        f"{pipeline.name}.data_refresh",
        schedule=RefreshTimetable(
            timetable=CronDataIntervalTimetable(data.schedule, timezone="UTC"),
            assets=[landing_asset(pipeline.name, data.poll_seconds)],
        ),
        start_date=data.parse_partition(data.first).replace(tzinfo=UTC),
        end_date=data.parse_partition(data.last).replace(tzinfo=UTC) if data.last else None,
        catchup=False,
        # Arrivals of different partitions do not wait for each other, nor for a run that waits for late data.
        max_active_runs=16,
        default_args=make_default_arguments(pipeline),
        params={
            "partition": Param(
                None,
                type=["null", "string"],
                description=f"Partition to take in ({data.partition_format}); empty: whatever is pending",
            )
        },
        # A task that was killed in its last try cannot say so itself; for any other this is the same mail, sent once.
        on_failure_callback=mail_task_failure,
        description=f"{pipeline.description}: refresh, gate, publish",
        doc_md=__doc__,
        tags=[pipeline.name, "refresh"],
    ) as dag:
        found = FindArrivals(task_id="find_arrivals", pipeline=pipeline)
        refresh_partition.expand(arrival=found.output)
    return dag


for _pipeline in load_pipelines(load_settings()).pipelines.values():
    globals()[f"{_pipeline.name}_data_refresh"] = build_data_refresh(_pipeline)
