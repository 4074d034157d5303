"""What is written to a run: tags, parameters once, metrics without doubles, artifacts."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from include.errors import TrackingConflict
from include.settings import Settings
from include.tracking.client import open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTE_TAG = "mlflow.note.content"
# What MLflow takes in one batch, and in one value, before it refuses or silently cuts.
_BATCH = 100
_PARAM_LENGTH = 6000
MAX_TAG_LENGTH = 8000


def write_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags, as many as there are, in batches that MLflow takes."""
    from mlflow.entities import RunTag

    entries = [RunTag(name, value) for name, value in tags.items()]
    for start in range(0, len(entries), _BATCH):
        client.log_batch(run_id, tags=entries[start : start + _BATCH])


def set_tags(settings: Settings, run_id: str, tags: Mapping[str, str]) -> None:
    """Set (or replace) tags. Raises TrackingConflict for a value that MLflow would cut off."""
    for name, value in tags.items():
        if len(value) > MAX_TAG_LENGTH:
            raise TrackingConflict(
                f"Tag {name!r} has {len(value)} characters; MLflow keeps {MAX_TAG_LENGTH}.",
                next_step="Log it as an artifact.",
                tag=name,
            )
    with open_client(settings) as client:
        write_tags(client, run_id, tags)


def read_tags(settings: Settings, run_id: str) -> dict[str, str]:
    """The run's tags."""
    with open_client(settings) as client:
        return dict(client.get_run(run_id).data.tags)


def read_params(settings: Settings, run_id: str) -> dict[str, str]:
    """The run's parameters, as MLflow's text."""
    with open_client(settings) as client:
        return dict(client.get_run(run_id).data.params)


def _param_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    if len(text) <= _PARAM_LENGTH:
        return text
    # Keep what a person reads and let a change anywhere still show.
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[: _PARAM_LENGTH - 80]}… sha256:{digest}"


def log_params(settings: Settings, run_id: str, params: Mapping[str, Any]) -> None:
    """Log parameters once; the same value again is fine. Raises TrackingConflict naming a changed one."""
    from mlflow.entities import Param

    wanted = {name: _param_text(value) for name, value in params.items()}
    with open_client(settings) as client:
        present = client.get_run(run_id).data.params
        changed = {n: (present[n], v) for n, v in wanted.items() if n in present and present[n] != v}
        if changed:
            listed = "; ".join(f"{n}: {old[:80]!r} is now {new[:80]!r}" for n, (old, new) in changed.items())
            raise TrackingConflict(
                f"MLflow run {run_id} was made with other parameters ({listed}).",
                next_step="A run's parameters never change: start a new run for them.",
                run_id=run_id,
                changed=sorted(changed),
            )
        entries = [Param(name, value) for name, value in wanted.items() if name not in present]
        for start in range(0, len(entries), _BATCH):
            client.log_batch(run_id, params=entries[start : start + _BATCH])


def log_metrics(settings: Settings, run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Log metrics; one that is already there with this step and value is not written a second time.

    Infinity is written as NaN: MLflow's SQL store would turn it into a finite number.
    """
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    with open_client(settings) as client:
        present = client.get_run(run_id).data.metrics
        entries = []
        for name, given in metrics.items():
            value = float(given) if math.isfinite(given) else math.nan
            if name in present:
                points = [point.value for point in client.get_metric_history(run_id, name) if point.step == step]
                if points and (points[-1] == value or (math.isnan(points[-1]) and math.isnan(value))):
                    continue
            entries.append(Metric(name, value, now, step))
        if entries:
            client.log_batch(run_id, metrics=entries)


def log_artifact(settings: Settings, run_id: str, path: Path, folder: str | None = None) -> None:
    """Store a file, or a folder's files, below ``folder`` of the run's artifacts; a repeat replaces it."""
    with open_client(settings) as client:
        if path.is_dir():
            client.log_artifacts(run_id, str(path), folder)
        else:
            client.log_artifact(run_id, str(path), folder)


def log_text(settings: Settings, run_id: str, text: str, name: str) -> None:
    """Store ``text`` as the artifact ``name`` (such as ``blessing.md``)."""
    with open_client(settings) as client:
        client.log_text(run_id, text, name)


def log_json(settings: Settings, run_id: str, document: Any, name: str) -> None:
    """Store ``document`` (plain JSON types; NaN stays NaN) as the artifact ``name``."""
    log_text(settings, run_id, json.dumps(document, indent=1, sort_keys=True), name)


def read_artifact(settings: Settings, run_id: str, name: str) -> bytes:
    """Content of one artifact. Raises TrackingConflict when the run has none of that name."""
    from mlflow.exceptions import MlflowException

    with open_client(settings) as client, tempfile.TemporaryDirectory() as folder:
        missing = TrackingConflict(
            f"MLflow run {run_id} has no artifact {name!r}.",
            next_step="It was made by something else, or its artifacts were deleted; name another run.",
            run_id=run_id,
            artifact=name,
        )
        parent = name.rpartition("/")[0]
        if name not in {item.path for item in client.list_artifacts(run_id, parent or None)}:
            raise missing
        try:
            return Path(client.download_artifacts(run_id, name, folder)).read_bytes()
        except (MlflowException, FileNotFoundError) as error:
            if isinstance(error, MlflowException) and error.error_code == "INTERNAL_ERROR":
                raise
            raise missing from error


def set_note(settings: Settings, run_id: str, markdown: str) -> None:
    """Write the text that MLflow shows at the top of the run's page."""
    text = markdown if len(markdown) <= MAX_TAG_LENGTH else f"{markdown[: MAX_TAG_LENGTH - 40]}\n\n… (shortened)"
    set_tags(settings, run_id, {NOTE_TAG: text})
