"""The ledger: one JSON document per thing that happened, written once and whole, readable without any database.

``records/<pipeline>/<kind>/<key>.json``. Kinds in use: ``refresh`` (partition@fingerprint), ``training`` (window
digest), ``stopped`` (as its training), ``features`` (gate report), ``blessing`` and ``fit`` (MLflow run id),
``latency``, ``not_deployed``, ``rollout``, ``deployment`` and ``mending`` (timestamped), ``left`` (version number),
``disagreement`` (the present one), ``kserve`` (version number), ``attempt`` (MLflow run id@rung), ``sla`` (mail id).
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from include.errors import TerminalError
from include.settings import Settings

# Every path component of a record: no separators, no leading dot, so no name can leave the ledger's folder.
_SAFE = re.compile(r"[A-Za-z0-9_@+=-][A-Za-z0-9_.@+=-]{0,199}")


def utc_now() -> str:
    """The current time as ISO 8601 in UTC with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def sync_path(path: Path) -> None:
    """Flush a file's content, or a folder's renames, to disk, so that they survive a power loss."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; none of the new names is lost with the power."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_path(path.parent)


def write_file_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` ; a reader, or a machine losing power, sees the old or the new, whole."""
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def _record_path(settings: Settings, pipeline: str, kind: str, key: str) -> Path:
    for part in (pipeline, kind, key):
        if not _SAFE.fullmatch(part):
            raise TerminalError(
                f"{part!r} cannot name a record.",
                next_step="Use letters, digits and _ . @ + = - only, not starting with a dot.",
                part=part,
            )
    return settings.records_root / pipeline / kind / f"{key}.json"


def write_record(settings: Settings, pipeline: str, kind: str, key: str, payload: Mapping[str, Any]) -> None:
    """Write (or replace) one record; ``recorded_at`` is added."""
    document = {"recorded_at": utc_now(), **payload}
    content = json.dumps(document, indent=1, sort_keys=True, allow_nan=True).encode()
    write_file_atomically(_record_path(settings, pipeline, kind, key), content)


def create_record(settings: Settings, pipeline: str, kind: str, key: str, payload: Mapping[str, Any]) -> bool:
    """Write a record that must not exist yet; of several callers at once exactly one gets True.

    The document is complete before it gets its name, so nobody reads a half-written one.
    """
    path = _record_path(settings, pipeline, kind, key)
    document = {"recorded_at": utc_now(), **payload}
    draft = path.with_name(f".{key}.{os.getpid()}-{threading.get_ident()}.draft")
    write_file_atomically(draft, json.dumps(document, indent=1, sort_keys=True, allow_nan=True).encode())
    try:
        # A hard link fails when the name is taken, which a rename does not.
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def read_record(settings: Settings, pipeline: str, kind: str, key: str) -> dict[str, Any] | None:
    """Return one record, or None when there is none."""
    try:
        content = _record_path(settings, pipeline, kind, key).read_bytes()
    except FileNotFoundError:
        return None
    record: dict[str, Any] = json.loads(content)
    return record


def list_records(settings: Settings, pipeline: str, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ``(key, record)`` of one kind, oldest first by ``recorded_at``."""
    folder = settings.records_root / pipeline / kind
    found = []
    for path in folder.glob("*.json") if folder.is_dir() else ():
        if not path.name.startswith("."):
            found.append((path.stem, json.loads(path.read_bytes())))
    yield from sorted(found, key=lambda item: str(item[1].get("recorded_at", "")))
