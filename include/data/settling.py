"""When is a landed file complete? What the watcher remembers from one look at the folder to the next.

A file is complete as soon as one of these holds:

1. *Marked*: ``<name>.done`` exists and is not older than the file (an old marker says nothing about a rewrite).
2. *Renamed*: an earlier look saw ``<name>.part`` with this file's inode; a rename keeps the inode, so this very file
   was finished and then renamed.
3. *Settled*: its size, modification time and inode stayed the same for ``settle_seconds`` between our own looks. The
   time is measured by the monotonic clock, so neither a clock that jumps nor a modification time in the future can
   make a half-written file look old.

The memory is a small file, so the triggerer, a task and a restarted process share it; losing it costs one more wait.
"""

from __future__ import annotations

import json
import os
import platform
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.records import write_file_atomically


def _read_boot_id() -> str:
    # Readings of the monotonic clock may be compared only within one boot of one machine.
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return platform.node()


@dataclass
class Memory:
    """What was seen. ``since``: name → [size, mtime_ns, inode, monotonic second]; ``parts``: name → [inode, size]."""

    path: Path
    since: dict[str, list[float]] = field(default_factory=dict)
    parts: dict[str, list[int]] = field(default_factory=dict)
    # Seconds until the files of this look that are not complete yet will be, if nobody touches them; not stored.
    settles_in: list[float] = field(default_factory=list)
    _stored: str = ""

    @classmethod
    def load(cls, path: Path) -> Memory:
        """Read the memory at ``path``; one that is missing, damaged or of another boot is empty."""
        memory = cls(path)
        try:
            stored: dict[str, Any] = json.loads(path.read_bytes())
            if stored["boot"] == _read_boot_id():
                memory.since = {str(name): list(seen) for name, seen in stored["since"].items()}
                memory.parts = {str(name): list(seen) for name, seen in stored["parts"].items()}
                memory._stored = memory._dump()
        except FileNotFoundError:
            pass
        except (ValueError, KeyError, TypeError, AttributeError):
            memory.since, memory.parts = {}, {}
        return memory

    def _dump(self) -> str:
        return json.dumps({"boot": _read_boot_id(), "since": self.since, "parts": self.parts}, sort_keys=True)

    def save(self) -> None:
        """Write the memory if it changed."""
        content = self._dump()
        if content != self._stored and (self.since or self.parts or self.path.exists()):
            write_file_atomically(self.path, content.encode())
            self._stored = content

    def judge_file(self, name: str, stat: os.stat_result, done: os.stat_result | None, settle_seconds: float) -> bool:
        """Note this look at ``name`` and say whether the file is complete."""
        now = time.monotonic()
        signature = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
        seen = self.since.get(name)
        if seen is None or seen[:3] != signature or seen[3] > now:
            self.since[name] = seen = [*signature, now]
        if done is not None and done.st_mtime_ns >= stat.st_mtime_ns:
            return True
        part = self.parts.get(name)
        if part is not None and part[0] == stat.st_ino and stat.st_size >= part[1]:
            return True
        left = seen[3] + settle_seconds - now
        if left > 0:
            self.settles_in.append(left)
        return left <= 0

    def note_parts(self, parts: dict[str, os.stat_result], pending: set[str]) -> None:
        """Remember the ``.part`` files of this look; forget what is neither being written nor waiting any more."""
        kept = {name: seen for name, seen in self.parts.items() if name in pending}
        self.parts = kept | {name: [stat.st_ino, stat.st_size] for name, stat in parts.items()}
        self.since = {name: seen for name, seen in self.since.items() if name in pending}
