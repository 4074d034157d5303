"""Memory that the workers of one endpoint share: what each of them serves, and what each has counted.

Made before the workers are forked. Every worker writes only its own block, and everything it wrote survives its death,
so totals never go back when a worker is killed.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from typing import Any

import msgspec

# One row of counts: a key, then the widest metric's cells (a histogram of 16 buckets, one above them, and the sum).
ROWS = 512
KEY_BYTES = 160
CELLS = 18
_STATE_BYTES = 8192
# Rows in use; sequence and length of the state; whether the worker takes connections, and how many it has.
_USED, _SEQUENCE, _LENGTH, _ACCEPTING, _CONNECTIONS = range(5)
_HEAD_CELLS = 8
_KEYS_AT = _HEAD_CELLS * 8 + _STATE_BYTES
_CELLS_AT = _KEYS_AT + ROWS * KEY_BYTES
_BLOCK = _CELLS_AT + ROWS * CELLS * 8


class Board:
    """Blocks for ``workers`` workers and, as the last one, for their parent. ``cells`` are its 64-bit integers."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        # Anonymous and shared: inherited by fork, gone with the last process.
        self._memory = mmap.mmap(-1, (workers + 1) * _BLOCK)
        self.cells = memoryview(self._memory).cast("q")

    def write_state(self, slot: int, state: dict[str, Any]) -> None:
        """Say what worker ``slot`` is and serves. Only that worker calls it; a reader never sees half of it."""
        content = msgspec.json.encode(state)
        if len(content) > _STATE_BYTES:
            content = msgspec.json.encode({**state, "pointer_error": None, "reason": "too long to be shown"})
        head = slot * _BLOCK // 8
        start = slot * _BLOCK + _HEAD_CELLS * 8
        # Odd while it is being written; a writer killed in between left an odd one, which counts as written anew.
        writing = self.cells[head + _SEQUENCE] | 1
        self.cells[head + _SEQUENCE] = writing
        self._memory[start : start + len(content)] = content
        self.cells[head + _LENGTH] = len(content)
        self.cells[head + _SEQUENCE] = writing + 1

    def read_states(self) -> list[dict[str, Any]]:
        """What every living worker says of itself, in the order of their slots."""
        found = (self._read_state(slot) for slot in range(self.workers))
        return [state for state in found if state is not None]

    def _read_state(self, slot: int) -> dict[str, Any] | None:
        head = slot * _BLOCK // 8
        start = slot * _BLOCK + _HEAD_CELLS * 8
        for _ in range(1000):  # a writer needs microseconds; one that died in between never ends
            before = self.cells[head + _SEQUENCE]
            length = self.cells[head + _LENGTH]
            content = self._memory[start : start + length]
            if before % 2 == 0 and self.cells[head + _SEQUENCE] == before:
                if not length:
                    return None
                with contextlib.suppress(msgspec.DecodeError):  # a processor may show writes in another order
                    state: dict[str, Any] = msgspec.json.decode(content)
                    return {**state, "accepting": self.is_accepting(slot)}
        return None

    def set_accepting(self, slot: int) -> None:
        """Note that worker ``slot`` takes connections from now on."""
        self.cells[slot * _BLOCK // 8 + _ACCEPTING] = 1

    def is_accepting(self, slot: int) -> bool:
        """Whether worker ``slot`` takes connections, or has been told to."""
        return bool(self.cells[slot * _BLOCK // 8 + _ACCEPTING])

    def clear_worker(self, slot: int) -> None:
        """Forget what a worker that ended said of itself, but not what it counted. Its parent calls it."""
        head = slot * _BLOCK // 8
        for place in (_ACCEPTING, _CONNECTIONS, _LENGTH, _SEQUENCE):
            self.cells[head + place] = 0

    def locate_connections(self, slot: int) -> int:
        """The cell in which worker ``slot`` keeps the number of its open connections."""
        return slot * _BLOCK // 8 + _CONNECTIONS

    def count_connections(self) -> int:
        """How many connections all workers have open."""
        return sum(self.cells[self.locate_connections(slot)] for slot in range(self.workers))

    def has_more_connections(self, slot: int, more: int) -> bool:
        """Whether worker ``slot``, with ``more`` than it has noted, has more than another that takes connections."""
        others = (other for other in range(self.workers) if other != slot and self.is_accepting(other))
        own = self.cells[self.locate_connections(slot)] + more
        return any(self.cells[self.locate_connections(other)] < own for other in others)

    def list_keys(self, slot: int) -> list[bytes]:
        """The keys of the rows that ``slot`` uses, in their order."""
        start = slot * _BLOCK + _KEYS_AT
        used = self.cells[slot * _BLOCK // 8 + _USED]
        keys = (self._memory[start + row * KEY_BYTES : start + (row + 1) * KEY_BYTES] for row in range(used))
        return [key[2 : 2 + struct.unpack_from("<H", key)[0]] for key in keys]

    def add_row(self, slot: int, key: bytes) -> int | None:
        """Take another row for ``key`` and return its first cell, or None when there is no row left."""
        head = slot * _BLOCK // 8
        row = self.cells[head + _USED]
        if row == ROWS:
            return None
        start = slot * _BLOCK + _KEYS_AT + row * KEY_BYTES
        self._memory[start : start + 2 + len(key)] = struct.pack("<H", len(key)) + key
        # Only now: who reads sees complete keys.
        self.cells[head + _USED] = row + 1
        return self.locate_row(slot, row)

    def locate_row(self, slot: int, row: int) -> int:
        """The first cell of a row."""
        return (slot * _BLOCK + _CELLS_AT) // 8 + row * CELLS
