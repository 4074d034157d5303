"""The landing folder: which files have arrived whole and were not dealt with yet.

``landing/<pipeline>/<partition>.<parquet|csv>``; completeness is judged by ``include.data.settling``. Names ending in
``.part`` or ``.done`` and names starting with a dot are never arrivals, and neither are folders. Every other entry is
one, even when its name or kind cannot be used: it is listed until its refusal is in the ledger, so that a mistake is
refused visibly instead of being waited for.
"""

from __future__ import annotations

import os
import stat as stat_kinds
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from include.contracts import Arrival
from include.data.ledger import is_known
from include.data.names import check_partition, landing_folder, show_name, split_file_name
from include.data.settling import Memory
from include.declaration import Pipeline
from include.errors import PartitionNameError, RefreshMissing
from include.settings import Settings


def _scan_folder(folder: Path) -> dict[str, os.stat_result]:
    """Name → lstat of everything that is not a folder; a missing folder is an empty one."""
    found = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    stat = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # renamed or removed since the listing
                if not stat_kinds.S_ISDIR(stat.st_mode):
                    found[entry.name] = stat
    except FileNotFoundError:
        pass
    return found


def stamp_folder(settings: Settings, pipeline_name: str) -> int:
    """A number that changes when a file comes, goes or is renamed (not when one grows); 0 while nothing is there."""
    try:
        return (settings.landing_root / pipeline_name).stat().st_mtime_ns
    except OSError:
        return 0


def _is_candidate(name: str) -> bool:
    return not name.startswith(".") and not name.endswith((".part", ".done"))


def _read_partition(pipeline: Pipeline, name: str) -> str:
    partition, _ = split_file_name(pipeline, name)
    try:
        check_partition(pipeline, partition)
    except PartitionNameError:
        return ""  # take_in raises it again, where the refusal is recorded
    return partition


@dataclass(frozen=True)
class Look:
    """What one look at the folder found. ``settles_in``: seconds until a file that waits may be complete."""

    arrivals: list[Arrival]
    settles_in: float | None


def _look_for_complete(settings: Settings, pipeline: Pipeline, only_unknown: bool) -> Look:
    folder = landing_folder(settings, pipeline)
    entries = _scan_folder(folder)
    memory = Memory.load(settings.work_root / pipeline.name / "landing.json")
    pending = set()
    complete = []
    for name, stat in entries.items():
        if not _is_candidate(name):
            continue
        shown = show_name(name)
        arrival = Arrival(pipeline.name, "", str(folder / shown), stat.st_size, stat.st_mtime_ns, stat.st_ino)
        known = is_known(settings, pipeline.name, arrival)
        if known and only_unknown:
            continue
        if not known:
            pending.add(shown)
            if not memory.judge_file(shown, stat, entries.get(f"{name}.done"), pipeline.data.settle_seconds):
                continue
        complete.append(Arrival(pipeline.name, _read_partition(pipeline, name), *_facts(arrival)))
    parts = {show_name(name.removesuffix(".part")): stat for name, stat in entries.items() if name.endswith(".part")}
    memory.note_parts(parts, pending)
    memory.save()
    return Look(complete, min(memory.settles_in, default=None))


def _has_format(pipeline: Pipeline, arrival: Arrival) -> bool:
    return split_file_name(pipeline, Path(arrival.path).name)[1] is not None


def _facts(arrival: Arrival) -> tuple[str, int, int, int]:
    return arrival.path, arrival.size, arrival.mtime_ns, arrival.inode


def look_for_arrivals(settings: Settings, pipeline: Pipeline) -> Look:
    """Files that are complete and not in the ledger, by partition, then oldest first; unusable names come last.

    Cheap enough for every second: one listing, one stat and one look into the ledger per file, nothing is opened.
    """

    def order(arrival: Arrival) -> tuple[bool, datetime, int, str]:
        usable = bool(arrival.partition)
        start = pipeline.data.parse_partition(arrival.partition) if usable else datetime.min
        return not usable, start, arrival.mtime_ns, arrival.path

    look = _look_for_complete(settings, pipeline, only_unknown=True)
    return replace(look, arrivals=sorted(look.arrivals, key=order))


def find_arrivals(settings: Settings, pipeline: Pipeline) -> list[Arrival]:
    """The arrivals of ``look_for_arrivals``."""
    return look_for_arrivals(settings, pipeline).arrivals


def find_arrival(settings: Settings, pipeline: Pipeline, partition: str) -> Arrival:
    """The newest complete file of ``partition``, whether it was dealt with before or not; of a declared format if any.

    Raises PartitionNameError when the name is not usable, RefreshMissing when there is no such file, or none that is
    complete; the look is remembered, so the same call succeeds once the file has settled.
    """
    check_partition(pipeline, partition)
    look = _look_for_complete(settings, pipeline, only_unknown=False)
    found = [arrival for arrival in look.arrivals if arrival.partition == partition]
    if found:
        return max(found, key=lambda arrival: (_has_format(pipeline, arrival), arrival.mtime_ns, arrival.path))
    folder = landing_folder(settings, pipeline)
    waiting = sorted(
        name for name in _scan_folder(folder) if _is_candidate(name) and split_file_name(pipeline, name)[0] == partition
    )
    problem = f"{waiting[0]} is still being written" if waiting else "there is no such file"
    raise RefreshMissing(
        f"Partition {partition} of {pipeline.name} is not in {folder}: {problem}.",
        next_step=f"Land {partition}.{pipeline.data.formats[0]}, or wait {pipeline.data.settle_seconds:g} s and retry.",
        pipeline=pipeline.name,
        partition=partition,
        landing=str(folder),
    )
