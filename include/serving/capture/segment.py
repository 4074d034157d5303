"""A segment: a file of records that one process appends to through memory, and that is whole whenever it is killed.

The file is mapped and shared, so what was copied into it is the kernel's, and a process killed the next instant loses
nothing. (Power is another matter: the kernel writes within half a minute, and the checksums find what was not.) Its
blocks are allocated beforehand, because a write to a full disk through memory would kill the process.

Layout: magic, end of the last whole record, length of the head, the head (MessagePack), then records: length and CRC-32
of the payload, and the payload. A lock on the file says that somebody writes to it.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

_MAGIC = int.from_bytes(b"TGCAPT01", "little")
_FIXED = 24
_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<QQQ")
FRAME_BYTES = _FRAME.size


class SegmentHead(msgspec.Struct, frozen=True):
    """What the records of a segment have in common, but for those that name who answered instead. ``columns``: name and
    kind of each column of their rows."""

    model_version: str
    scoring_path: str
    columns: tuple[tuple[str, str], ...]


def frame_record(payload: bytes) -> bytes:
    """A record as it stands in a segment."""
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


class Segment:
    """An open segment. Only its process appends, one call at a time; closing gives up the lock."""

    def __init__(self, path: Path, memory: mmap.mmap) -> None:
        self.path = path
        self.begun_at = 0.0
        self._memory = memory
        self._cells = memoryview(memory)[:_FIXED].cast("Q")
        self._size = len(memory)
        self._at = 0

    def begin(self, head: SegmentHead) -> None:
        """Say what its records will be; before the first one."""
        content = msgspec.msgpack.encode(head)
        end = _FIXED + len(content)
        self._memory[_FIXED:end] = content
        self._cells[0], self._cells[2] = _MAGIC, len(content)
        self._at = self._cells[1] = end
        self.begun_at = time.monotonic()

    def append(self, record: bytes) -> bool:
        """Keep a framed record; False when there is no room for it."""
        at = self._at
        end = at + len(record)
        if end > self._size:
            return False
        self._memory[at:end] = record
        # Last: until now the record is not there.
        self._cells[1] = self._at = end
        return True

    def close(self) -> None:
        """Let others have it."""
        self._cells.release()
        self._memory.close()

    def discard(self) -> None:
        """Remove it: it holds nothing."""
        self.path.unlink(missing_ok=True)
        self.close()


def create_segment(folder: Path, size: int) -> Segment:
    """A locked segment of ``size`` bytes, without a head. Call it under the folder's lock. Raises OSError."""
    path = folder / f"{secrets.token_hex(8)}.segment"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.posix_fallocate(handle, 0, size)
        # The map keeps a handle of its own, and with it the lock.
        return Segment(path, mmap.mmap(handle, size))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def claim_segment(path: Path) -> Iterator[bool]:
    """Hold a segment that nobody writes to; False when somebody does, or it is gone. Call it under the folder's lock
    only to begin: the claim itself may last."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def read_segment(path: Path) -> tuple[SegmentHead, list[memoryview]] | None:
    """The head and the payloads of all whole records; None for a segment that was never used.

    What follows a record that is not whole is not told from it, and left out. Raises ValueError when even the head is
    not whole.
    """
    content = memoryview(path.read_bytes())
    if len(content) < _FIXED or not any(content[:_FIXED]):
        return None
    magic, end, length = _HEAD.unpack_from(content)
    at = _FIXED + length
    if magic != _MAGIC or at > len(content):
        raise ValueError("it does not begin as a segment does")
    head = msgspec.msgpack.decode(content[_FIXED:at], type=SegmentHead)
    payloads = []
    while at + FRAME_BYTES <= min(end, len(content)):
        size, checksum = _FRAME.unpack_from(content, at)
        payload = content[at + FRAME_BYTES : at + FRAME_BYTES + size]
        if len(payload) != size or zlib.crc32(payload) != checksum:
            break
        payloads.append(payload)
        at += FRAME_BYTES + size
    return (head, payloads) if payloads else None


@contextlib.contextmanager
def hold_lock(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for it; it is released by whatever ends the process."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
