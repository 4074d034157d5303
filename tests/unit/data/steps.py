"""Steps that several tests of include.data take: landing bytes, and publishing a month with a split of its rows."""

from __future__ import annotations

from pathlib import Path

from include.contracts import Arrival, GateReport, PartitionRef, Refresh, SplitRows
from include.data.landing import find_arrival
from include.data.publish import publish_partition
from include.data.snapshot import take_in
from include.declaration import Pipeline
from include.settings import Settings
from tests.unit.factory import land_rows, make_rows


def land_bytes(settings: Settings, pipeline: Pipeline, name: str, content: bytes = b"x", done: bool = True) -> Path:
    """Write a file in place, with its marker if ``done``."""
    path = settings.landing_root / pipeline.name / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if done:
        path.with_name(f"{name}.done").touch()
    return path


def take_month(settings: Settings, pipeline: Pipeline, partition: str, seed: int = 1) -> tuple[Arrival, Refresh]:
    """Land and take in 40 parcels of a month; another seed is other content."""
    land_rows(settings, pipeline, partition, make_rows(partition, 40, seed))
    arrival = find_arrival(settings, pipeline, partition)
    return arrival, take_in(settings, pipeline, arrival)


def split_month(settings: Settings, refresh: Refresh, kept: int = 38, quarantined: int = 2) -> SplitRows:
    """Write the two files of a split with as many rows as said."""
    folder = settings.work_root / "split"
    folder.mkdir(parents=True, exist_ok=True)
    paths = folder / f"{refresh.fingerprint[:8]}-kept.parquet", folder / f"{refresh.fingerprint[:8]}-set-aside.parquet"
    for path, rows in zip(paths, (kept, quarantined), strict=True):
        make_rows(refresh.partition, rows).to_parquet(path, index=False)
    return SplitRows(str(paths[0]), str(paths[1]), 40, kept, quarantined, {"distance_positive": quarantined})


def make_report(partition: str, rules_version: str = "rules-1", verdict: str = "pass") -> GateReport:
    """A gate's report on 40 rows."""
    return GateReport("parcels", "refresh", partition, verdict, 40, 9, 9, rules_version, "duckdb", 0.1)  # type: ignore[arg-type]


def publish_month(
    settings: Settings, pipeline: Pipeline, partition: str, seed: int = 1, rules_version: str = "rules-1"
) -> PartitionRef:
    """Land, take in and publish a month."""
    _, refresh = take_month(settings, pipeline, partition, seed)
    report = make_report(partition, rules_version)
    return publish_partition(settings, pipeline, refresh, split_month(settings, refresh), report)
