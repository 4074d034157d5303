"""The timetable of data_refresh: a cron that can be backfilled, arrivals at once, and partition keys by hand."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.assets import AssetOrTimeSchedule


class RefreshTimetable(AssetOrTimeSchedule):
    """Runs when a period has ended (cron), when something arrives (asset event), and for a partition key by hand.

    ``partitioned_at_runtime`` is what lets the UI and the REST API trigger a run with a partition key although the
    schedule itself carries none; Airflow's own ``PartitionedAtRuntime`` never schedules and refuses a backfill.
    """

    partitioned_at_runtime = True


class RefreshTimetablePlugin(AirflowPlugin):
    """Registers the timetable, so that serialized DAGs can name it."""

    name = "tollgate_timetable"
    timetables = [RefreshTimetable]
