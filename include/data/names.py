"""Names of partitions and of landed files: the only place where a name from outside becomes one we use in a path."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Literal

from include.contracts import Arrival
from include.declaration import Pipeline
from include.errors import PartitionNameError
from include.settings import Settings

Format = Literal["parquet", "csv"]
# No separator, no leading dot, no "@" (which joins partition and fingerprint): safe in any path and record key.
_SAFE = re.compile(r"[A-Za-z0-9_+=-][A-Za-z0-9_.+=-]{0,99}")


def show_name(name: str) -> str:
    """``name`` as text that every store takes: bytes that are not UTF-8 become backslash escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def quote_name(name: str) -> str:
    """``name`` for a message: quoted, control characters escaped, at most 80 characters of it."""
    return repr(name if len(name) <= 80 else name[:77] + "…")


def check_partition(pipeline: Pipeline, partition: str) -> None:
    """Raise PartitionNameError unless ``partition`` is written as declared, in its bounds and safe in a path."""
    data = pipeline.data
    try:
        start = data.parse_partition(partition)
        early = start < data.parse_partition(data.first)
        late = data.last is not None and start > data.parse_partition(data.last)
        problem = f"outside {data.first} to {data.last or 'now'}" if early or late else ""
    except (ValueError, TypeError, OverflowError):
        problem = f"not written as {data.partition_format}"
    if not problem and not _SAFE.fullmatch(partition):
        problem = "not usable as a file name"
    if problem:
        raise PartitionNameError(
            f"{quote_name(str(partition))} is not a partition of {pipeline.name}: it is {problem}.",
            next_step=f"Name it like {data.first}; the declaration's data.first and data.last bound what is accepted.",
            pipeline=pipeline.name,
            partition=str(partition),
        )


def split_file_name(pipeline: Pipeline, name: str) -> tuple[str, Format | None]:
    """Partition text and format of a file name; the format is None when the extension is not a declared one."""
    for format_ in pipeline.data.formats:
        if name.endswith(f".{format_}"):
            return name.removesuffix(f".{format_}"), format_
    return Path(name).stem, None


def landing_folder(settings: Settings, pipeline: Pipeline) -> Path:
    """Folder in which the pipeline's refreshes arrive; it need not exist."""
    return settings.landing_root / pipeline.name


def identify_arrival(arrival: Arrival) -> str:
    """A short key of this very file as it lay there: same name, size, modification time and inode give the same key."""
    facts = (Path(arrival.path).name, arrival.size, arrival.mtime_ns, arrival.inode)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
