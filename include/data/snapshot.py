"""Taking a refresh in: our own immutable copy, hashed while it is copied.

A copy, never a link: whoever writes the landing file in place could otherwise change what was gated.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat as stat_kinds
import tempfile
from pathlib import Path

from include.contracts import Arrival, Refresh
from include.data.files import sweep_drafts
from include.data.names import Format, check_partition, identify_arrival, landing_folder, quote_name, split_file_name
from include.declaration import Pipeline
from include.errors import PartitionNameError, RefreshChanged, RefreshMissing, RefreshUnreadable
from include.records import sync_path, write_file_atomically
from include.settings import Settings

_CHUNK = 1 << 20


def _changed(pipeline: Pipeline, arrival: Arrival, when: str) -> RefreshChanged:
    return RefreshChanged(
        f"{arrival.path} changed {when}.",
        next_step="Nothing to do: what it holds now is noticed as a new arrival once it is complete.",
        pipeline=pipeline.name,
        partition=arrival.partition,
        landing=str(Path(arrival.path).parent),
    )


def _unreadable(path: Path, format_: str, reason: str, next_step: str) -> RefreshUnreadable:
    message = f"{quote_name(path.name)} cannot be taken in: {reason}."
    return RefreshUnreadable(message, next_step=next_step, path=str(path), format=format_, reason=reason)


def _check_arrival(settings: Settings, pipeline: Pipeline, arrival: Arrival) -> tuple[Path, Format]:
    """Path and format of an arrival that lies in the pipeline's own folder under a usable name."""
    path = Path(arrival.path)
    partition, format_ = split_file_name(pipeline, path.name)
    check_partition(pipeline, partition)
    if path.parent != landing_folder(settings, pipeline) or arrival.partition not in ("", partition):
        raise PartitionNameError(
            f"{quote_name(arrival.path)} is not where partition {quote_name(arrival.partition)} arrives.",
            next_step=f"Land it as {landing_folder(settings, pipeline)}/<partition>.<format>.",
            partition=arrival.partition,
            path=arrival.path,
        )
    if format_ is None:
        allowed = ", ".join(f".{known}" for known in pipeline.data.formats)
        reason = f"its extension {quote_name(path.suffix)} is none of {allowed}"
        raise _unreadable(path, path.suffix.lstrip("."), reason, f"Land the data as {allowed}.")
    return path, format_


def _open_regular(pipeline: Pipeline, arrival: Arrival, path: Path, format_: str) -> int:
    # No symbolic links (they lead out of the folder) and no waiting for the other end of a pipe.
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise RefreshMissing(
            f"{arrival.path} is no longer there.",
            next_step="Land it again.",
            pipeline=pipeline.name,
            partition=arrival.partition,
            landing=str(path.parent),
        ) from None
    except OSError as error:
        kind = "it is a symbolic link" if error.errno == errno.ELOOP else f"opening it failed ({error.strerror})"
        raise _unreadable(path, format_, kind, "Land a plain file that Tollgate may read.") from error
    if not stat_kinds.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _unreadable(path, format_, "it is not a plain file", "Land a plain file.")
    return handle


def _matches(stat: os.stat_result, arrival: Arrival) -> bool:
    same = (stat.st_size, stat.st_mtime_ns) == (arrival.size, arrival.mtime_ns)
    return same and arrival.inode in (0, stat.st_ino)


def _copy_hashed(source: int, draft: int, size: int) -> tuple[str, int]:
    """Copy and hash; stops once more than ``size`` bytes came, for a file that grows as fast as it is read."""
    digest, copied = hashlib.sha256(), 0
    with os.fdopen(draft, "wb") as out:
        while copied <= size and (chunk := os.read(source, _CHUNK)):
            digest.update(chunk)
            out.write(chunk)
            copied += len(chunk)
        out.flush()
        os.fsync(out.fileno())
    return digest.hexdigest(), copied


def take_in(settings: Settings, pipeline: Pipeline, arrival: Arrival) -> Refresh:
    """Copy the arrival to ``data/<pipeline>/snapshots/<partition>@<hash>.<format>`` and return what was copied.

    Idempotent. Raises PartitionNameError or RefreshUnreadable for what can never be taken in (record it with
    ``record_refused``), RefreshMissing (retryable) when the file went, RefreshChanged when it is another one by now.
    """
    path, format_ = _check_arrival(settings, pipeline, arrival)
    partition = path.name.removesuffix(f".{format_}")
    folder = settings.data_root / pipeline.name / "snapshots"
    folder.mkdir(parents=True, exist_ok=True)
    sweep_drafts(folder)
    source = _open_regular(pipeline, arrival, path, format_)
    draft_handle, draft = tempfile.mkstemp(dir=folder, prefix=f".{partition}.", suffix=".part")
    try:
        if not _matches(os.fstat(source), arrival):
            os.close(draft_handle)
            raise _changed(pipeline, arrival, "after it was noticed")
        fingerprint, copied = _copy_hashed(source, draft_handle, arrival.size)
        if copied != arrival.size or not _matches(os.fstat(source), arrival):
            raise _changed(pipeline, arrival, "while it was copied")
        snapshot = folder / f"{partition}@{fingerprint[:16]}.{format_}"
        Path(draft).chmod(0o444)
        Path(draft).replace(snapshot)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    finally:
        os.close(source)
    sync_path(folder)
    _note_intake(folder, partition, fingerprint, arrival)
    return Refresh(pipeline.name, partition, fingerprint, str(snapshot), format_, arrival.size, arrival.path)


def _intake_path(folder: Path, partition: str, fingerprint: str) -> Path:
    return folder / f"{partition}@{fingerprint[:16]}.intake.json"


def _note_intake(folder: Path, partition: str, fingerprint: str, arrival: Arrival) -> None:
    """Number the intakes of a partition, so that a late retry of an old content cannot replace a newer one.

    Taking the same file in again keeps its number; the same content in a newly landed file gets a new one.
    """
    file_key = identify_arrival(arrival)
    path = _intake_path(folder, partition, fingerprint)
    numbers = {known: json.loads(known.read_bytes()) for known in folder.glob(f"{partition}@*.intake.json")}
    if path in numbers and numbers[path]["file"] == file_key:
        return
    number = 1 + max((int(known["number"]) for known in numbers.values()), default=0)
    write_file_atomically(path, json.dumps({"number": number, "file": file_key}).encode())


def read_intake_number(settings: Settings, pipeline_name: str, partition: str, fingerprint: str) -> int:
    """When this content was last taken in, as a number that grows within its partition; 0 when it never was."""
    folder = settings.data_root / pipeline_name / "snapshots"
    try:
        return int(json.loads(_intake_path(folder, partition, fingerprint).read_bytes())["number"])
    except FileNotFoundError:
        return 0
