"""The ledger of refreshes: which file was seen, which content got which verdict.

Two kinds of record. A *sighting* is one file as it lay in the landing folder (name, size, time, inode): a watcher skips
it without opening it. A *refresh* is one content of one partition and its verdict: a copy of it that arrives under
another time is recognised by its hash.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from include.contracts import Arrival, Refresh
from include.data.names import identify_arrival
from include.data.publish import find_partition
from include.declaration import Pipeline
from include.errors import TollgateError
from include.records import list_records, read_record, write_record
from include.settings import Settings

Status = Literal["published", "blocked"]
_REFRESH, _SIGHTING = "refresh", "sighting"


def _key(refresh: Refresh) -> str:
    return f"{refresh.partition}@{refresh.fingerprint[:16]}"


def is_known(settings: Settings, pipeline_name: str, arrival: Arrival) -> bool:
    """Whether this very file was dealt with: taken in with a verdict, or refused."""
    return read_record(settings, pipeline_name, _SIGHTING, identify_arrival(arrival)) is not None


def record_sighting(settings: Settings, refresh: Refresh, arrival: Arrival) -> None:
    """Note that this file holds content that already has its verdict."""
    payload = {**msgspec.to_builtins(arrival), "status": "taken in", "fingerprint": refresh.fingerprint}
    write_record(settings, refresh.pipeline, _SIGHTING, identify_arrival(arrival), payload)


def record_refused(settings: Settings, pipeline: Pipeline, arrival: Arrival, error: TollgateError) -> None:
    """Note that this file cannot be taken in (its name, its kind), with the reason, so that it is refused once."""
    payload = {
        **msgspec.to_builtins(arrival),
        "status": "refused",
        "name": Path(arrival.path).name,
        "error": type(error).__name__,
        "reason": error.message,
        "next_step": error.next_step,
    }
    write_record(settings, pipeline.name, _SIGHTING, identify_arrival(arrival), payload)


def list_refused(settings: Settings, pipeline: Pipeline) -> list[dict[str, Any]]:
    """Refused files, oldest first: ``name``, ``reason``, ``next_step``, ``recorded_at``."""
    return [r for _, r in list_records(settings, pipeline.name, _SIGHTING) if r["status"] == "refused"]


def find_verdict(settings: Settings, refresh: Refresh, rules_version: str | None = None) -> dict[str, Any] | None:
    """The verdict on this content of this partition, or None when it has to be judged (again).

    None also for content that was judged as another format or, if ``rules_version`` is given, by other rules; and for
    content that was published but has been replaced since: landing it again means to go back to it.
    """
    verdict = read_record(settings, refresh.pipeline, _REFRESH, _key(refresh))
    if verdict is None or verdict["fingerprint"] != refresh.fingerprint or verdict["format"] != refresh.format:
        return None
    if rules_version is not None and verdict.get("rules_version") != rules_version:
        return None
    if verdict["status"] == "published":
        current = find_partition(settings, refresh.pipeline, refresh.partition)
        if current is None or current.fingerprint != refresh.fingerprint:
            return None
    return verdict


def record_verdict(settings: Settings, refresh: Refresh, arrival: Arrival, status: Status, **facts: Any) -> None:
    """Write the verdict, then the sighting; a kill between the two means one more look at the same content.

    ``facts``: run_id, report_path, docs_path, rows, quarantined, reason, rules_version, version: plain JSON values or
    contracts. An earlier verdict that differs in status or rules is kept under ``earlier``, newest last.
    """
    before = read_record(settings, refresh.pipeline, _REFRESH, _key(refresh))
    earlier: list[dict[str, Any]] = []
    if before is not None:
        earlier = before.pop("earlier", [])
        if (before["status"], before.get("rules_version")) != (status, facts.get("rules_version")):
            earlier = [*earlier, before]
    payload = {
        **msgspec.to_builtins(facts),
        **msgspec.to_builtins(refresh),
        "status": status,
        "landed_mtime_ns": arrival.mtime_ns,
        "earlier": earlier,
    }
    write_record(settings, refresh.pipeline, _REFRESH, _key(refresh), payload)
    record_sighting(settings, refresh, arrival)


def list_verdicts(settings: Settings, pipeline: Pipeline) -> list[dict[str, Any]]:
    """The newest verdict of each partition, in the order of the partitions' names."""
    newest: dict[str, dict[str, Any]] = {}
    for _, verdict in list_records(settings, pipeline.name, _REFRESH):
        newest[verdict["partition"]] = verdict
    return [newest[partition] for partition in sorted(newest)]
