"""What the watcher has to know after it was killed: one small file, written when something in it has changed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from include.records import write_file_atomically
from include.settings import Settings


@dataclass
class Delivery:
    """A refresh on its way to customers: its run, and since when its time runs."""

    pipeline: str
    run_id: str
    since: float
    looked_at: float = 0.0


@dataclass
class Memory:
    """``highest_id`` of the runs seen (-1: none was ever looked for), which of them were ``open``, and which of the
    newest were judged and are ``closed``. Freshness: until when a pipeline's partitions were ``judged``, and which are
    ``late``, with their due time. ``slow``: when a version's answers were last called slow."""

    highest_id: int = -1
    open: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)
    deliveries: dict[str, Delivery] = field(default_factory=dict)
    judged: dict[str, float] = field(default_factory=dict)
    late: dict[str, dict[str, float]] = field(default_factory=dict)
    slow: dict[str, float] = field(default_factory=dict)


class Keeper:
    """Reads and writes the memory of one home."""

    def __init__(self, settings: Settings) -> None:
        self.path: Path = settings.home / "sla" / "memory.json"
        self._written = b""

    def read(self) -> Memory:
        """What was written last; an empty one when there is none, or another version of Tollgate wrote it."""
        try:
            self._written = self.path.read_bytes()
            return msgspec.json.decode(self._written, type=Memory)
        except (FileNotFoundError, msgspec.DecodeError):
            return Memory()

    def write(self, memory: Memory) -> None:
        """Keep ``memory``, unless nothing has changed."""
        content = msgspec.json.encode(memory)
        if content != self._written:
            write_file_atomically(self.path, content)
            self._written = content
