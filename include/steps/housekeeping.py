"""What nobody's run does: closing what dead runs left open, freeing what they held, removing what is not used any more.

Each step goes over all pipelines and returns a sentence of what it did. ``is_alive(key)`` says whether the run of that
key (``<dag_id>/<run_id>``) still works; whoever cannot be asked about is alive.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from include.captured import locate_captured
from include.contracts import Arrival
from include.data.claims import lift_claims
from include.data.trainings import list_open, note_stop, read_claims
from include.declaration.loader import load_pipelines
from include.declaration.models import Pipeline
from include.errors import TerminalError
from include.gates.docs import KEPT_RESULTS
from include.gates.reports import prune_reports
from include.serving.capture.convert import convert_closed
from include.serving.capture.folder import MEBIBYTE
from include.settings import Settings
from include.tracking.runs import sweep_abandoned

IsAlive = Callable[[str], bool]

# A week: a run that failed is looked at and cleared within days, and a mail's links are opened within days. All of this
# can be made again, or downloaded again, by the task that needs it.
UNUSED_SECONDS = 7 * 24 * 3600
_NO_WORD = "Its run ended without a verdict and could not say why; see the run."


def close_abandoned_runs(settings: Settings, is_alive: IsAlive) -> str:
    """Close the MLflow runs whose DAG run is over. Raises TrackingUnavailable when MLflow does not answer."""

    def close(pipeline: Pipeline) -> str:
        closed = sweep_abandoned(settings, pipeline.name, is_alive)
        return f"closed {len(closed)} abandoned MLflow runs ({', '.join(closed)})" if closed else ""

    return tell_all(settings, close)


def note_dead_trainings(settings: Settings, is_alive: IsAlive) -> str:
    """Write down which trainings ended without a verdict and without a word: their runs were killed or deleted."""

    def note(pipeline: Pipeline) -> str:
        dead = [run for run in list_open(settings, pipeline.name) if not is_alive(run)]
        # Looked at again: what they wrote before they ended is there by now.
        dead = [run for run in list_open(settings, pipeline.name) if run in dead]
        for run in dead:
            note_stop(settings, pipeline.name, run, _NO_WORD)
        return f"{', '.join(dead)} ended without a verdict" if dead else ""

    return tell_all(settings, note)


def lift_stale_claims(settings: Settings, is_alive: IsAlive) -> str:
    """Let other runs take the arrivals that runs which are over had claimed and left."""

    def lift(pipeline: Pipeline) -> str:
        lifted, left = lift_claims(settings, pipeline, is_alive)
        told = []
        if lifted:
            told.append(f"{_list_names(lifted)} can be taken by another run")
        if left:
            told.append(f"{_list_names(left)} failed too often to be tried again by itself: trigger data_refresh")
        return "; ".join(told)

    return tell_all(settings, lift)


def prune_files(settings: Settings, is_alive: IsAlive) -> str:
    """Remove training sets, splits, downloads and drafts unused for a week, and old gate reports beyond the last 20;
    convert the captured requests that an endpoint left and keep them within their bound.

    Never a training set of a run that is alive, nor a report that a record names. Published partitions, snapshots and
    records are not touched: with them and what is in MLflow, every registered version can be made again.
    """
    now = time.time()

    def prune(pipeline: Pipeline) -> str:
        removed = 0
        for path in _list_unused(settings, pipeline, now - UNUSED_SECONDS):
            if not _is_in_use(settings, pipeline, path, is_alive):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed += 1
        reports = prune_reports(settings, pipeline.name, KEPT_RESULTS, now - UNUSED_SECONDS)
        told = [f"removed {removed} unused work files and folders, {reports} gate reports"] if removed + reports else []
        captured = _keep_captured(settings, pipeline)
        return "; ".join([*told, *captured])

    return tell_all(settings, prune)


def _keep_captured(settings: Settings, pipeline: Pipeline) -> list[str]:
    """What an endpoint that runs does by itself; one that was stopped leaves it."""
    most = int(pipeline.deployment.data_capture.max_mb * MEBIBYTE)
    done = convert_closed(locate_captured(settings, pipeline.name), most)
    told = [f"wrote {done.rows} captured rows as Parquet"] if done.files else []
    return [*told, f"set {done.damaged} damaged segments aside"] if done.damaged else told


def tell_all(settings: Settings, work: Callable[[Pipeline], str]) -> str:
    """Do it for every pipeline; one that cannot be done for good, such as a deleted experiment, stops no other."""
    told: list[str] = []
    failed: list[TerminalError] = []
    for pipeline in load_pipelines(settings).pipelines.values():
        try:
            done = work(pipeline)
        except TerminalError as error:
            failed.append(error)
        else:
            told += [f"{pipeline.name}: {done}."] if done else []
    if failed:
        raise failed[0] if len(failed) == 1 else ExceptionGroup(f"{len(failed)} pipelines failed", failed)
    return " ".join(told) or "There was nothing to do."


def _list_names(arrivals: list[Arrival]) -> str:
    return ", ".join(Path(arrival.path).name for arrival in arrivals)


def _list_unused(settings: Settings, pipeline: Pipeline, older_than: float) -> Iterator[Path]:
    """Entries of the work folders in which nothing was written, and that nobody used, since ``older_than``."""
    work = settings.work_root / pipeline.name
    for folder in (work / "sets", work / "models", work / "predictions", work / "gates"):
        yield from _list_older(folder, older_than)
    yield from _list_older(settings.data_root / pipeline.name / "work", older_than)  # splits


def _list_older(folder: Path, older_than: float) -> list[Path]:
    entries = list(folder.iterdir()) if folder.is_dir() else []
    return [entry for entry in entries if _read_last_use(entry) < older_than]


def _read_last_use(path: Path) -> float:
    try:
        return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
    except FileNotFoundError:
        return time.time()  # somebody removes files in it just now


def _is_in_use(settings: Settings, pipeline: Pipeline, path: Path, is_alive: IsAlive) -> bool:
    """Whether the run that claimed a training set's window is alive: it may wait for longer than a week."""
    if path.parent.name != "sets":
        return False
    # Here, because it brings pandas, and most of the time there is no old set to ask about.
    from include.training.storage import find_stored_set

    stored = find_stored_set(path)
    if stored is None:
        return False
    claims = read_claims(settings, pipeline.name).values()
    return any(claim["digest"] == stored.window_digest and is_alive(claim["claimed_by"]) for claim in claims)
