"""The assets through which the DAGs meet: their names and URIs, in one place."""

from __future__ import annotations

from airflow.sdk import Asset, AssetWatcher

import tollgate_triggers


def landing_asset(pipeline: str, poll_seconds: float) -> Asset:
    """Files arrive here; the triggerer watches the folder and raises an event for each complete one."""
    watcher = AssetWatcher(
        name=f"{pipeline}_landing",
        trigger=tollgate_triggers.LandingTrigger(pipeline=pipeline, poll_seconds=poll_seconds),
    )
    return Asset(name=f"{pipeline}/landing", uri=f"tollgate://{pipeline}/landing", watchers=[watcher])


def validated_asset(pipeline: str) -> Asset:
    """Published partitions; events carry the partition key and a PartitionRef."""
    return Asset(name=f"{pipeline}/validated", uri=f"tollgate://{pipeline}/validated")


def candidate_asset(pipeline: str) -> Asset:
    """Blessed and registered model versions; events carry a ModelVersion and its Blessing."""
    return Asset(name=f"{pipeline}/candidate", uri=f"tollgate://{pipeline}/candidate")


def endpoint_asset(pipeline: str) -> Asset:
    """What customers get; events carry a Deployment."""
    return Asset(name=f"{pipeline}/endpoint", uri=f"tollgate://{pipeline}/endpoint")
