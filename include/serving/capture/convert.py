"""``python -m include.serving.capture.convert FOLDER --max-mb N``: closed segments to Parquet, then end.

A process of its own, because pyarrow needs more memory than a whole endpoint, and at a low priority. It may be
killed anywhere: a segment is removed only when its Parquet file, whose name follows from the segment, is there whole.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from include.records import sync_path
from include.serving.capture.folder import MEBIBYTE, NoRoom, claim_closed, list_segments, make_room, prepare_folder
from include.serving.capture.segment import SegmentHead, hold_lock, read_segment
from include.serving.log import log_event
from include.serving.parent import follow_parent

if TYPE_CHECKING:
    import pyarrow as pa

# The endpoint comes first, but a machine that is always busy must not keep segments from ever being converted.
_NICE = 10
_KINDS: dict[str, Any] = {"number": float | None, "string": str | None}


@dataclass(frozen=True)
class Converted:
    """What one call did: segments made into Parquet files with so many rows, and those that were set aside."""

    files: int = 0
    rows: int = 0
    damaged: int = 0


def convert_closed(folder: Path, most: int) -> Converted:
    """Convert every segment that nobody writes to, then keep to ``most`` bytes. One process at a time; others wait."""
    files = rows = damaged = 0
    if not folder.is_dir():
        return Converted()
    prepare_folder(folder)
    with hold_lock(folder / ".convert.lock"):
        for left in folder.glob(".*.part"):
            left.unlink()
        for path in list_segments(folder):
            with claim_closed(folder, path) as claimed:
                if not claimed:
                    continue
                try:
                    count = _convert(folder, path)
                except (ValueError, msgspec.MsgspecError) as error:
                    # Kept for a person, and counted as the Parquet files are.
                    path.rename(folder / f"{_name_time(path.stat().st_mtime)}-{path.stem}.damaged")
                    log_event("captured_segment_damaged", folder=str(folder), segment=path.name, error=str(error))
                    damaged += 1
                    continue
                files += count > 0
                rows += count
        with hold_lock(folder / ".lock"), contextlib.suppress(NoRoom):
            make_room(folder, most)
    return Converted(files, rows, damaged)


def _convert(folder: Path, path: Path) -> int:
    """Write the segment's rows, then remove it; gives their number."""
    found = read_segment(path)
    if found is None:
        path.unlink()
        return 0
    head, payloads = found
    first, table = _build_table(head, payloads)
    target = folder / f"{_name_time(first)}-{path.stem}.parquet"
    if not target.exists():
        part = folder / f".{target.name}.part"
        _write_parquet(table, part)
        part.rename(target)
        sync_path(folder)
    path.unlink()
    return int(table.num_rows)


def _name_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S.%fZ")


def _define_record(row: Any) -> Any:
    """A record as ``Recorder`` encodes it; ``by``: version and scoring path, where it was not the head's."""
    fields: list[Any] = [
        ("at", float),
        ("request_id", bytes),
        ("rows", list[row]),
        ("predictions", list[float]),
        ("by", tuple[str, str] | None, None),
    ]
    return msgspec.defstruct("Record", fields, array_like=True)


def _build_table(head: SegmentHead, payloads: Sequence[memoryview]) -> tuple[float, pa.Table]:
    """The time of the first record, and a row for each row of each request."""
    import pyarrow as pa

    row: Any = tuple.__class_getitem__(tuple(_KINDS[kind] for _, kind in head.columns))
    decode = msgspec.msgpack.Decoder(_define_record(row)).decode
    times: list[int] = []
    names: list[str] = []
    places: list[int] = []
    versions: list[str] = []
    paths: list[str] = []
    rows: list[tuple[Any, ...]] = []
    predictions: list[float] = []
    first = 0.0
    for payload in payloads:
        record = decode(payload)
        count = len(record.rows)
        first = first or record.at
        version, path = record.by or (head.model_version, head.scoring_path)
        times += [round(record.at * 1e6)] * count
        names += [record.request_id.decode()] * count
        places += range(count)
        versions += [version] * count
        paths += [path] * count
        rows += record.rows
        predictions += record.predictions
    columns = {
        "captured_at": pa.array(times, pa.timestamp("us", "UTC")),
        "request_id": pa.array(names, pa.string()),
        "row": pa.array(places, pa.int32()),
        "model_version": pa.array(versions, pa.string()),
        "scoring_path": pa.array(paths, pa.string()),
        "prediction": pa.array(predictions, pa.float64()),
    }
    values = zip(*rows, strict=True) if head.columns else ()
    for (column, kind), cells in zip(head.columns, values, strict=True):
        columns[column] = pa.array(cells, pa.float64() if kind == "number" else pa.string())
    return first, pa.table(columns)


def _write_parquet(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as out:
        pq.write_table(table, out, compression="zstd")
        out.flush()
        os.fsync(out.fileno())


def main(arguments: list[str] | None = None) -> int:
    """Convert what is closed; the exit code is 1 when something was damaged."""
    parser = argparse.ArgumentParser(prog="python -m include.serving.capture.convert", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--max-mb", type=float, required=True)
    parser.add_argument("--parent", type=int, help="end when the process with this id ends")
    asked = parser.parse_args(arguments)
    if asked.parent is not None:
        follow_parent(asked.parent)
    os.nice(_NICE)
    done = convert_closed(asked.folder, int(asked.max_mb * MEBIBYTE))
    if done.files:
        log_event("captured", folder=str(asked.folder), files=done.files, rows=done.rows)
    return 1 if done.damaged else 0


if __name__ == "__main__":
    sys.exit(main())
