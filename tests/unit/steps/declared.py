"""Toy pipelines declared on disk, and state that looks as if nobody had touched it for long."""

from __future__ import annotations

import os
import time
from pathlib import Path

from include.contracts import GateReport, SplitRows
from include.data.landing import find_arrival
from include.data.publish import publish_partition
from include.data.snapshot import take_in
from include.declaration import Pipeline
from include.declaration.loader import get_pipeline
from include.settings import Settings
from tests.unit.factory import land_rows, make_rows

DECLARATION = """
from include.declaration import Deployment, LocalTarget
from tests.unit.factory import make_pipeline

PIPELINE = make_pipeline({name!r}, deployment=Deployment(target=LocalTarget(port_offset={offset})))
"""


def write_pipeline(settings: Settings, name: str, offset: int = 0) -> Pipeline:
    """Declare the toy pipeline under ``name`` in the settings' own folder of pipelines."""
    folder = settings.pipelines_path / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "pipeline.py").write_text(DECLARATION.format(name=name, offset=offset))
    (folder / "features.py").write_text("from tests.unit.toy.features import *  # noqa: F403\n")
    return get_pipeline(settings, name)


def publish_month(settings: Settings, pipeline: Pipeline, month: str, folder: Path) -> None:
    """Land and publish the 400 parcels of a month; the split lies in ``folder``."""
    frame = make_rows(month)
    land_rows(settings, pipeline, month, frame)
    refresh = take_in(settings, pipeline, find_arrival(settings, pipeline, month))
    kept, aside = folder / f"{month}-kept.parquet", folder / f"{month}-aside.parquet"
    frame.to_parquet(kept, index=False)
    frame.head(0).to_parquet(aside, index=False)
    report = GateReport(pipeline.name, "refresh", month, "pass", len(frame), 1, 1, "rules", "duckdb", 0.1)
    split = SplitRows(str(kept), str(aside), len(frame), len(frame), 0)
    publish_partition(settings, pipeline, refresh, split, report)


def age_files(folder: Path, seconds: float) -> None:
    """Let everything in ``folder`` have been written ``seconds`` ago."""
    then = time.time() - seconds
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (then, then))
