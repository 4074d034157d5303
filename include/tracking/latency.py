"""What answering cost a version: beside its blessing in MLflow, on its run and on the registered version."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from include.contracts import LatencyFigures, LatencyReport, ModelVersion, pack
from include.describe import LATENCY_HEADING, describe_latency
from include.settings import Settings
from include.tracking.client import open_client
from include.tracking.entries import MAX_TAG_LENGTH, NOTE_TAG, log_artifact, log_metrics, read_tags, set_note
from include.tracking.registry import DESCRIPTION_LENGTH

LATENCY_TAG = "tollgate.latency"


def log_latency(
    settings: Settings, version: ModelVersion, report: LatencyReport, times: Mapping[str, Any], plot: Path
) -> None:
    """Store a measurement: on the version's run the figures as metrics, the report with every answer's time, the text
    and the picture; on the version itself tags and a part of its description. A repeat replaces it."""
    text = describe_latency(report)
    document = {**pack(report), "times_ms": {name: _round_times(blocks) for name, blocks in times.items()}}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "latency.json").write_text(json.dumps(document, sort_keys=True))
        (folder / "latency.md").write_text(text)
        (folder / "latency.png").write_bytes(plot.read_bytes())
        log_artifact(settings, version.run_id, folder, "latency")
    log_metrics(settings, version.run_id, _list_metrics(report.candidate))
    note = read_tags(settings, version.run_id).get(NOTE_TAG, "")
    set_note(settings, version.run_id, _put_section(note, text, MAX_TAG_LENGTH))
    with open_client(settings) as client:
        entry = client.get_model_version(version.pipeline, version.version)
        description = _put_section(entry.description or "", text, DESCRIPTION_LENGTH)
        client.update_model_version(version.pipeline, version.version, description)
        for name, value in _list_tags(report).items():
            if entry.tags.get(name) != value:
                client.set_model_version_tag(version.pipeline, version.version, name, value)


def _round_times(blocks: Any) -> list[list[float]]:
    return [[round(time, 4) for time in block] for block in blocks]


def _list_metrics(figures: LatencyFigures) -> dict[str, float]:
    metrics = {f"latency_{name}": getattr(figures, name) for name in ("p50_ms", "p95_ms", "p99_ms", "cpu_ms")}
    metrics["latency_requests_per_second"] = figures.requests_per_second
    return {name: value for name, value in metrics.items() if value is not None}


def _list_tags(report: LatencyReport) -> dict[str, str]:
    figures = {f"{LATENCY_TAG}_{name}": f"{getattr(report.candidate, name):.3f}" for name in ("p50_ms", "p99_ms")}
    ratio = next((check.observed for check in report.checks if check.kind == "change"), None)
    return {
        LATENCY_TAG: "passed" if report.passed else "refused",
        **figures,
        f"{LATENCY_TAG}_compared_with": report.champion.version if report.champion else "none",
        f"{LATENCY_TAG}_ratio": "none" if ratio is None else f"{ratio:.3f}",
    }


def _put_section(text: str, section: str, length: int) -> str:
    """``section`` at the end of ``text``, in place of one of before; where both are too long, ``text`` is cut."""
    before = text.partition(f"\n\n{LATENCY_HEADING}")[0].rstrip()
    room = length - len(section) - 2
    if len(before) > room:
        before = f"{before[: max(room - 2, 0)]} …"
    return f"{before}\n\n{section}".strip()[:length]
