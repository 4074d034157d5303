"""The first task of data_refresh: which arrivals this run is about."""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException

import tollgate_triggers
from include.contracts import Arrival, pack
from include.declaration.models import Pipeline
from include.errors import PartitionNameError, RefreshMissing
from include.settings import load_settings


def name_partition(pipeline: Pipeline, context: Any) -> str | None:
    """The partition this run was asked for: a partition key, a parameter, or the period of a scheduled run."""
    run = context["dag_run"]
    asked = run.partition_key or context["params"].get("partition") or (run.conf or {}).get("partition")
    if asked:
        return str(asked)
    if run.run_type in ("scheduled", "backfill") and run.logical_date is not None:
        return str(run.logical_date.strftime(pipeline.data.partition_format))
    return None


def read_named_partitions(context: Any) -> list[str]:
    """Partitions that somebody named through the REST API; an event of the triggerer only wakes the run up."""
    partitions: list[str] = []
    for events in context["triggering_asset_events"].values():
        for event in events:
            extra = event.extra or {}
            if extra.get("partition"):
                partitions.append(str(extra["partition"]))
            elif not extra.get("from_trigger"):
                raise PartitionNameError(
                    "The asset event names no partition.",
                    next_step='Post it with "extra": {"partition": "<name>"}.',
                    partition="",
                )
    return list(dict.fromkeys(partitions))


class FindArrivals(BaseOperator):
    """Returns the arrivals of this run as a list of packed ``Arrival``.

    A run for a named partition whose file is not there waits in the triggerer. A run by hand without a name takes
    everything that is pending.
    """

    def __init__(self, *, pipeline: Pipeline, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pipeline = pipeline

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Find, wait for, or skip."""
        from include.data.claims import claim_arrivals
        from include.data.landing import find_arrival, find_arrivals
        from include.data.publish import list_partitions

        settings = load_settings()
        run = context["dag_run"]
        partition = name_partition(self._pipeline, context)
        arrivals: list[Arrival] = []
        if partition is None and context["triggering_asset_events"]:
            named = [find_arrival(settings, self._pipeline, name) for name in read_named_partitions(context)]
            pending = claim_arrivals(settings, self._pipeline, f"{run.dag_id}/{run.run_id}")
            # What was named may be pending as well; it is taken once.
            arrivals = list({arrival.path: arrival for arrival in [*pending, *named]}.values())
        elif partition is None:
            arrivals = find_arrivals(settings, self._pipeline)
        else:
            if run.run_type == "scheduled" and partition in {
                published.partition for published in list_partitions(settings, self._pipeline)
            }:
                raise AirflowSkipException(f"{partition} arrived earlier and is already published.")
            try:
                arrivals = [find_arrival(settings, self._pipeline, partition)]
            except RefreshMissing:
                self.log.info("%s of %s has not arrived; waiting in the triggerer.", partition, self._pipeline.name)
                self.defer(
                    trigger=tollgate_triggers.PartitionTrigger(
                        pipeline=self._pipeline.name,
                        partition=partition,
                        poll_seconds=self._pipeline.data.poll_seconds,
                    ),
                    method_name="resume",
                )
        if not arrivals:
            raise AirflowSkipException("Nothing new has arrived.")
        return [pack(arrival) for arrival in arrivals]

    def resume(self, context: Any, event: dict[str, Any]) -> list[dict[str, Any]]:
        """Continue with the arrival that the triggerer found."""
        return [event]
