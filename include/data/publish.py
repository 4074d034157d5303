"""Publishing a gated refresh as an immutable, content-addressed version of its partition.

``data/<pipeline>/partitions/<partition>/<version>/{rows.parquet, quarantined.parquet, manifest.json}`` appears whole,
by one rename; then ``current.json`` beside the versions is replaced. Old versions stay: trainings refer to them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from include.contracts import GateReport, PartitionRef, Refresh, SplitRows, pack, unpack
from include.data.files import copy_synced, sweep_drafts
from include.data.names import check_partition
from include.data.snapshot import read_intake_number
from include.declaration import Pipeline
from include.errors import GateBlocked, PartitionNameError, TerminalError
from include.records import sync_path, utc_now, write_file_atomically
from include.settings import Settings

ROWS, QUARANTINED, MANIFEST, CURRENT = "rows.parquet", "quarantined.parquet", "manifest.json", "current.json"


def _partitions_folder(settings: Settings, pipeline_name: str) -> Path:
    return settings.data_root / pipeline_name / "partitions"


def name_version(fingerprint: str, rules_version: str) -> str:
    """The version that this content gets under these rules: the same both, the same version."""
    return hashlib.sha256(f"{fingerprint} {rules_version}".encode()).hexdigest()[:16]


def _count_rows(path: Path) -> int:
    import pyarrow.parquet

    return int(pyarrow.parquet.read_metadata(path).num_rows)


def _check_split(refresh: Refresh, split: SplitRows) -> None:
    """Raise TerminalError unless both files hold the rows they are said to, and together all that landed."""
    files = {"kept": Path(split.kept_path), "quarantined": Path(split.quarantined_path)}
    facts = {"pipeline": refresh.pipeline, "partition": refresh.partition, "landed": split.landed}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise TerminalError(
            f"The split of {refresh.pipeline} {refresh.partition} is gone: {', '.join(missing)}.",
            next_step="Run the refresh again from its split.",
            missing=missing,
            **facts,
        )
    counted = {name: _count_rows(path) for name, path in files.items()}
    declared = {"kept": split.kept, "quarantined": split.quarantined}
    if counted != declared or split.kept + split.quarantined != split.landed:
        raise TerminalError(
            f"Rows of {refresh.pipeline} {refresh.partition} would be lost: {split.landed} landed, the split says "
            f"{split.kept} kept and {split.quarantined} quarantined, its files hold {counted['kept']} and "
            f"{counted['quarantined']}.",
            next_step="Nothing was published; run the refresh again, and report this if it repeats.",
            **facts,
            **counted,
        )


def _build_version(folder: Path, ref: PartitionRef, refresh: Refresh, split: SplitRows, report: GateReport) -> None:
    """Make the version's folder whole in a draft beside it and rename it; a version that is there already stays."""
    _check_split(refresh, split)
    draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=".part"))
    try:
        copy_synced(Path(split.kept_path), draft / ROWS)
        copy_synced(Path(split.quarantined_path), draft / QUARANTINED)
        manifest = {
            **pack(ref),
            "landed": split.landed,
            "reasons": dict(split.reasons),
            "refresh": pack(refresh),
            "findings": pack(report.findings),
        }
        write_file_atomically(draft / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True).encode())
        draft.chmod(0o755)
        try:
            draft.rename(folder)
        except OSError:
            if not (folder / MANIFEST).is_file():  # anything but: another run published the same version first
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    sync_path(folder.parent)


def publish_partition(
    settings: Settings, pipeline: Pipeline, refresh: Refresh, split: SplitRows, report: GateReport
) -> PartitionRef:
    """Publish the kept rows (the quarantined ones beside them) and make this version the partition's current one.

    Idempotent, and safe to be killed at any point. The pointer does not move from a content that was taken in later.
    Raises GateBlocked for a report that blocks, TerminalError when published + quarantined would not be what landed.
    """
    check_partition(pipeline, refresh.partition)
    if report.verdict == "block":
        raise GateBlocked(
            f"{pipeline.name} {refresh.partition} was blocked by its gate and cannot be published.",
            next_step="Land a corrected file.",
            report=report,
            rules=[finding.rule for finding in report.findings],
        )
    version = name_version(refresh.fingerprint, report.rules_version)
    folder = _partitions_folder(settings, pipeline.name) / refresh.partition / version
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep_drafts(folder.parent)
    ref = PartitionRef(
        pipeline=pipeline.name,
        partition=refresh.partition,
        version=version,
        fingerprint=refresh.fingerprint,
        path=str(folder / ROWS),
        rows=split.kept,
        quarantined=split.quarantined,
        verdict=report.verdict,
        rules_version=report.rules_version,
        report_path=report.report_path,
        docs_path=report.docs_path,
        published_at=utc_now(),
    )
    if not folder.is_dir():
        _build_version(folder, ref, refresh, split, report)
    # The stored version says when and with how many rows; only where its newest report lies may differ.
    stored = _read_ref(folder / MANIFEST, folder)
    ref = replace(stored, report_path=report.report_path, docs_path=report.docs_path)
    _move_current(settings, ref)
    return ref


def _move_current(settings: Settings, ref: PartitionRef) -> None:
    current = find_partition(settings, ref.pipeline, ref.partition)
    if current is not None and current.fingerprint != ref.fingerprint:
        facts = (settings, ref.pipeline, ref.partition)
        if read_intake_number(*facts, current.fingerprint) > read_intake_number(*facts, ref.fingerprint):
            return  # a correction overtook this run
    path = _partitions_folder(settings, ref.pipeline) / ref.partition / CURRENT
    write_file_atomically(path, json.dumps(pack(ref), indent=1, sort_keys=True).encode())


def _read_ref(path: Path, folder: Path) -> PartitionRef:
    """The reference stored at ``path``, with the place of the rows as it is now (the state folder may have moved)."""
    return replace(unpack(PartitionRef, json.loads(path.read_bytes())), path=str(folder / ROWS))


def find_partition(settings: Settings, pipeline_name: str, partition: str) -> PartitionRef | None:
    """The current version of a partition, or None when none is published."""
    folder = _partitions_folder(settings, pipeline_name) / partition
    try:
        stored: dict[str, Any] = json.loads((folder / CURRENT).read_bytes())
    except FileNotFoundError:
        return None
    return _read_ref(folder / CURRENT, folder / str(stored["version"]))


def _is_declared(pipeline: Pipeline, partition: str) -> bool:
    try:
        check_partition(pipeline, partition)
    except PartitionNameError:
        return False
    return True


def list_partitions(settings: Settings, pipeline: Pipeline) -> list[PartitionRef]:
    """The current version of each published partition, oldest first; one outside the declared bounds is left out."""
    root = _partitions_folder(settings, pipeline.name)
    names = [path.name for path in root.iterdir() if _is_declared(pipeline, path.name)] if root.is_dir() else []
    found = [find_partition(settings, pipeline.name, name) for name in sorted(names, key=pipeline.data.parse_partition)]
    return [ref for ref in found if ref is not None]


def list_versions(settings: Settings, pipeline: Pipeline, partition: str) -> list[PartitionRef]:
    """Every published version of a partition, first published first, as it was when it was published."""
    check_partition(pipeline, partition)
    root = _partitions_folder(settings, pipeline.name) / partition
    manifests = [path for path in root.glob(f"*/{MANIFEST}") if not path.parent.name.startswith(".")]
    refs = [_read_ref(path, path.parent) for path in manifests]
    return sorted(refs, key=lambda ref: (ref.published_at, ref.version))
