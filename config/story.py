"""The story of ``make run``: refreshes land one after the other, each after the verdict on the one before.

Everything between landing and verdict is Airflow's doing; the story only lands files and reads the ledger. A pipeline
has a story when its folder holds ``story.py`` with ``write_refreshes(folder, limit)``, which yields partition,
description and file.
"""

from __future__ import annotations

import hashlib
import importlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.api import AirflowApi
from config.environment import Site
from config.landing import land_file
from include.console.history import HistoryRow, read_history
from include.declaration import Pipeline
from include.declaration.loader import load_pipelines

FINAL = ("blocked", "stopped", "refused", "too slow", "rolled back", "deployed")
# Nothing more comes of these by itself. While this story plays, the runs say more: a person's no, or a failed task.
_OVER = (*FINAL, "not deployed")
UNDECIDED = ("stopped", "waited too long")
Progress = Callable[[str], None]
_STEP_SECONDS = 900.0
# With no run queued or running for this long, nothing more will come of a refresh.
_QUIET_SECONDS = 10.0
_NOTICE_SECONDS = 60.0


@dataclass(frozen=True)
class Step:
    """One refresh and what became of it; ``outcome`` is that of its ``row`` of the history, or one of UNDECIDED.

    A training that was stopped, whenever that was, is no verdict.
    """

    partition: str
    what: str
    outcome: str
    why: str
    seconds: float
    row: HistoryRow | None = None


def find_stories(site: Site) -> list[Pipeline]:
    """Declared pipelines that have a story."""
    loaded = load_pipelines(site.settings)
    return [p for p in loaded.pipelines.values() if (Path(p.folder) / "story.py").is_file()]


def _find_row(site: Site, pipeline: Pipeline, partition: str, fingerprint: str) -> HistoryRow | None:
    rows = read_history(site.settings, pipeline.name)
    return next((row for row in rows if (row.partition, row.fingerprint) == (partition, fingerprint)), None)


def _list_own_runs(api: AirflowApi, pipeline: Pipeline) -> list[dict[str, Any]]:
    return [run for run in api.list_runs("~") if str(run["dag_id"]).startswith(f"{pipeline.name}.")]


def _describe_failures(api: AirflowApi, runs: Sequence[dict[str, Any]]) -> str:
    """Each failed run with its failed tasks and the last line of the first one's log; "" when none failed."""
    described = []
    for run in runs:
        tasks = [task for task in api.list_tasks(run["dag_id"], run["dag_run_id"]) if task["state"] == "failed"]
        names = ", ".join(task["task_id"] for task in tasks) or "no task"
        text = f"{run['dag_id']} {run['dag_run_id']} failed in {names}"
        if tasks:
            first = tasks[0]
            log = api.read_log(
                *(run["dag_id"], run["dag_run_id"], first["task_id"], first["try_number"], first["map_index"])
            )
            errors = [line for line in log.splitlines() if "Error" in line.partition(":")[0]]
            text += f": {errors[-1]}" if errors else ""
        described.append(text)
    return "; ".join(described)


def _follow(
    site: Site, pipeline: Pipeline, api: AirflowApi, partition: str, file: Path, progress: Progress
) -> tuple[str, str, HistoryRow | None]:
    """Land one file unless it was judged before; outcome, why and the history's row once there is a verdict."""
    with file.open("rb") as content:
        fingerprint = hashlib.file_digest(content, "sha256").hexdigest()
    row = _find_row(site, pipeline, partition, fingerprint)
    if row is not None and row.outcome == "stopped":
        progress("stopped before")
        return row.outcome, f"{row.why} Trigger {pipeline.name}.train_model to try again.", row
    if row is not None and row.outcome in _OVER:
        progress("judged before")
        return row.outcome, row.why, row
    since = datetime.now(UTC).isoformat()
    if row is None:
        land_file(site.settings, pipeline, partition, file)
        progress("landed")
    shown = ""
    deadline = time.monotonic() + _STEP_SECONDS
    busy_at = time.monotonic()
    while time.monotonic() < deadline:
        row = _find_row(site, pipeline, partition, fingerprint)
        if row is not None and row.outcome != shown:
            shown = row.outcome
            progress(shown)
            busy_at = time.monotonic()
        if row is not None and row.outcome in FINAL:
            return row.outcome, row.why, row
        runs = _list_own_runs(api, pipeline)
        if any(run["state"] in ("queued", "running") for run in runs):
            busy_at = time.monotonic()
        # Before the first verdict Airflow has still to notice the file; after it, the next run follows at once.
        patience = _NOTICE_SECONDS if row is None else _QUIET_SECONDS
        if time.monotonic() - busy_at > patience:
            failed = [run for run in runs if run["state"] == "failed" and str(run["queued_at"] or "") >= since]
            why = _describe_failures(api, failed)
            if not why and row is not None and row.outcome == "training":
                why = f"nobody works on its training any more, {row.training}"
            if not why and row is not None:
                # From an earlier story: whatever it waited for is over (a later version was deployed, say).
                return row.outcome, row.why, row
            progress("stopped")
            return "stopped", why or "Airflow did not take the file up", row
        time.sleep(0.5)
    progress("no verdict in time")
    why = f"no verdict within {_STEP_SECONDS:.0f} s; look at {site.settings.airflow_public_url}"
    return "waited too long", why, row


def _load_writer(pipeline: Pipeline) -> Callable[[Path, int | None], Iterator[tuple[str, str, Path]]]:
    module = importlib.import_module(f"{pipeline.package}.story")
    writer: Callable[[Path, int | None], Iterator[tuple[str, str, Path]]] = module.write_refreshes
    return writer


def play_story(site: Site, pipeline: Pipeline, api: AirflowApi, limit: int | None, write: Progress) -> list[Step]:
    """Land every refresh of the pipeline's story and return what became of each; ``write`` gets pieces of lines."""
    steps = []
    with tempfile.TemporaryDirectory(dir=site.run_folder, prefix="story-") as folder:
        for partition, what, file in _load_writer(pipeline)(Path(folder), limit):
            write(f"  {partition}{f' ({what})' if what else ''}:")
            began = time.monotonic()
            outcome, why, row = _follow(site, pipeline, api, partition, file, lambda piece: write(f" {piece} …"))
            seconds = time.monotonic() - began
            write(f" {seconds:.0f} s\n")
            steps.append(Step(partition, what, outcome, why, seconds, row))
            if outcome in UNDECIDED:
                break  # the next refresh lands after the verdict on this one, and there is none
    return steps


def sample_requests(site: Site, pipeline: Pipeline, count: int) -> list[tuple[dict[str, Any], float | None]]:
    """Real rows of the newest published partition as requests, each with what really happened (1, 0 or None)."""
    import pandas as pd

    from include.data.publish import list_partitions
    from include.training.assembly import assemble
    from include.training.labels import make_labels
    from include.training.references import load_references

    newest = list_partitions(site.settings, pipeline)[-1]
    rows = pd.read_parquet(newest.path)
    # All rows, as in training: a request may be made of others than its own row.
    requests = assemble(pipeline, rows, load_references(pipeline))
    labels = make_labels(pipeline, rows)
    samples = []
    for position in pd.Series(range(len(rows))).sample(count, random_state=pipeline.training.seed):
        request = {
            str(name): None if pd.isna(value) else value for name, value in requests.iloc[position].to_dict().items()
        }
        label = labels[position]
        samples.append((request, None if pd.isna(label) else float(label)))
    return samples
