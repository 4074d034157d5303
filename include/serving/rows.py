"""Rows of counts in shared memory: each a key, then the cells of the widest metric. One process writes them."""

from __future__ import annotations

import mmap
import struct

KEY_BYTES = 160
# A histogram of 16 buckets, one above them, and the sum.
CELLS = 18
_GENERATION, _USED, _HEAD_CELLS = 0, 1, 2
_HEAD_BYTES = _HEAD_CELLS * 8


def measure_rows(most: int) -> int:
    """How many bytes ``most`` rows take."""
    return _HEAD_BYTES + most * (KEY_BYTES + CELLS * 8)


class Rows:
    """Room for ``most`` rows that begins at byte ``at`` of the memory, whose 64-bit integers are ``cells``.

    ``generation`` says whose rows they are where that changes: see ``versions``. 0 is nobody's.
    """

    def __init__(self, memory: mmap.mmap, cells: memoryview[int], at: int, most: int) -> None:
        self._memory = memory
        self._cells = cells
        self._most = most
        self._head = at // 8
        self._keys_at = at + _HEAD_BYTES
        self._cells_at = (self._keys_at + most * KEY_BYTES) // 8

    @property
    def generation(self) -> int:
        """Whose rows they are."""
        return self._cells[self._head + _GENERATION]

    def begin(self, generation: int) -> None:
        """Forget all rows: those to come are of ``generation``."""
        self._cells[self._head + _GENERATION] = 0  # nobody reads what is half wiped, whenever its writer is killed
        self._cells[self._head + _USED] = 0
        size = self._most * CELLS * 8
        self._memory[self._cells_at * 8 : self._cells_at * 8 + size] = bytes(size)
        self._cells[self._head + _GENERATION] = generation

    def list_keys(self) -> list[bytes]:
        """The keys of the rows in use, in their order."""
        used = self._cells[self._head + _USED]
        content = self._memory[self._keys_at : self._keys_at + used * KEY_BYTES]
        starts = range(0, used * KEY_BYTES, KEY_BYTES)
        return [content[at + 2 : at + 2 + struct.unpack_from("<H", content, at)[0]] for at in starts]

    def add(self, key: bytes) -> int | None:
        """Take another row for ``key`` and return its first cell, or None when there is no row left or no room."""
        row = self._cells[self._head + _USED]
        if row == self._most or len(key) > KEY_BYTES - 2:
            return None
        start = self._keys_at + row * KEY_BYTES
        self._memory[start : start + 2 + len(key)] = struct.pack("<H", len(key)) + key
        # Only now: who reads sees complete keys.
        self._cells[self._head + _USED] = row + 1
        return self.locate(row)

    def locate(self, row: int) -> int:
        """The first cell of a row."""
        return self._cells_at + row * CELLS
