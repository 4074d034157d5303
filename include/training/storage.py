"""Training sets on disk: a folder that is there whole or not at all."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from include.contracts import TrainingSet
from include.records import sync_path

LEFTOVER_SECONDS = 3600.0
SET_FILE = "set.json"


class _StoredSet(msgspec.Struct):
    """What ``set.json`` holds: the training set, the SHA-256 of each file, and facts for a person."""

    set: TrainingSet
    files: dict[str, str]
    facts: dict[str, Any]


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """``frame`` (float64 numbers; text as str and None) as an Arrow table of doubles, with NaN as null, and strings."""
    arrays = {}
    for name in frame.columns:
        values = frame[name]
        kind = pa.float64() if values.dtype == np.float64 else pa.string()
        arrays[str(name)] = pa.array(values, type=kind, from_pandas=True)
    return pa.table(arrays)


def find_stored_set(folder: Path) -> TrainingSet | None:
    """The training set in ``folder``, or None when there is none or one of its files is gone."""
    try:
        stored = msgspec.json.decode((folder / SET_FILE).read_bytes(), type=_StoredSet)
    except FileNotFoundError:
        return None
    if not all((folder / name).is_file() for name in stored.files):
        return None
    # The state folder may have been moved since.
    return dataclasses.replace(stored.set, folder=str(folder))


def parse_partition_versions(stored_set: bytes) -> dict[str, str]:
    """Partition to published version, oldest first, from the content of a ``set.json``."""
    partitions: dict[str, str] = json.loads(stored_set)["facts"]["partitions"]
    return partitions


def store_set(
    made: TrainingSet, frames: Mapping[str, pa.Table], tables_json: bytes, facts: Mapping[str, Any]
) -> TrainingSet:
    """Write the files beside ``made.folder`` and rename them there as one; return what is stored then.

    Whoever prepared the same set meanwhile wrote the same content, so the first one stays.
    """
    folder = Path(made.folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(folder)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, table in frames.items():
            pq.write_table(table, partial / name)
        (partial / "tables.json").write_bytes(tables_json)
        files = {path.name: _hash_file(path) for path in sorted(partial.iterdir())}
        stored = _StoredSet(set=made, files=files, facts=dict(facts))
        (partial / SET_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(stored), indent=1))
        for path in partial.iterdir():
            sync_path(path)
        partial.chmod(0o755)
        return _put_in_place(partial, folder, made)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _put_in_place(partial: Path, folder: Path, made: TrainingSet) -> TrainingSet:
    there = find_stored_set(folder)
    if there is not None:
        return there
    if folder.exists():  # a set that lost a file: nobody can be using it
        shutil.rmtree(folder)
    try:
        partial.rename(folder)
    except OSError:
        there = find_stored_set(folder)
        if there is None:
            raise
        return there
    sync_path(folder.parent)
    return made


def _remove_leftovers(folder: Path) -> None:
    """Remove what a killed preparation of the same set left, once it is older than any preparation lasts."""
    for partial in folder.parent.glob(f".{folder.name}.*"):
        if partial.stat().st_mtime < time.time() - LEFTOVER_SECONDS:
            shutil.rmtree(partial, ignore_errors=True)


def _hash_file(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
