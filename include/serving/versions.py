"""Which versions have rows of counts: one table that all workers share, so that they forget a version together.

An endpoint meets new versions for as long as it runs and has room for some. If each worker made room for itself, the
sum over all of them would go back while some still count a version that others have forgotten.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import threading
import weakref
from collections.abc import Iterator, Set

# Versions that are served or tried are never forgotten; beside those there is room for the last dozen.
VERSIONS = 16
# A version's name is the caller's own; a longer one is cut.
LONGEST_NAME = 60
_NAME_BYTES = 4 * LONGEST_NAME
# Of each place: whose it is now, when it was last known to be in use, and the version's name.
_GENERATION, _USED_AT, _LENGTH, _HEAD_CELLS = 0, 1, 2, 3
_PLACE_BYTES = _HEAD_CELLS * 8 + _NAME_BYTES
# Before all places: a number that only grows. It stands for time, and each generation is another one.
_NUMBER_BYTES = 8
VERSIONS_BYTES = _NUMBER_BYTES + VERSIONS * _PLACE_BYTES


class Versions:
    """The table at byte ``at`` of the memory, whose 64-bit integers are ``cells``.

    A version that takes the place of another gets a new generation. Rows are a version's as long as they are of the
    generation that its place has, so one change here has all workers forget the version before. Names are cut already.
    """

    def __init__(self, memory: mmap.mmap, cells: memoryview[int], at: int) -> None:
        self._memory = memory
        self._cells = cells
        self._at = at // 8
        self._lock = threading.Lock()
        # An empty file in memory, which all processes inherit: only to be locked.
        self._file = os.memfd_create("tollgate-versions")
        weakref.finalize(self, os.close, self._file)

    def get_generation(self, place: int) -> int:
        """Whose the place is now; 0: nobody's."""
        return self._cells[self._locate(place) + _GENERATION]

    def take(self, version: str, in_use: Set[str]) -> tuple[int, int] | None:
        """The place of ``version`` and its generation, to be asked for when it is met; ``in_use`` are those that are
        served or tried. A new one takes the place of the version that has been out of use for longest; None without."""
        with self._hold():
            held = [self._read_name(place) for place in range(VERSIONS)]
            for place, name in enumerate(held):
                if name in in_use or name == version:
                    self._cells[self._locate(place) + _USED_AT] = self._count_on()
            if version in held:
                place = held.index(version)
                return place, self.get_generation(place)
            free = [place for place, name in enumerate(held) if name not in in_use]
            if not free:
                return None
            place = min(free, key=lambda each: self._cells[self._locate(each) + _USED_AT])
            self._give(place, version)
            return place, self.get_generation(place)

    def _give(self, place: int, version: str) -> None:
        head = self._locate(place)
        name = version.encode()
        start = (head + _HEAD_CELLS) * 8
        # Nobody's in between: a kill here leaves a place that is free.
        self._cells[head + _GENERATION] = 0
        self._memory[start : start + len(name)] = name
        self._cells[head + _LENGTH] = len(name)
        number = self._count_on()
        self._cells[head + _USED_AT] = number
        self._cells[head + _GENERATION] = number

    def _read_name(self, place: int) -> str | None:
        head = self._locate(place)
        if not self._cells[head + _GENERATION]:
            return None
        start = (head + _HEAD_CELLS) * 8
        return self._memory[start : start + self._cells[head + _LENGTH]].decode()

    def _count_on(self) -> int:
        self._cells[self._at] += 1
        return self._cells[self._at]

    def _locate(self, place: int) -> int:
        return self._at + (_NUMBER_BYTES + place * _PLACE_BYTES) // 8

    @contextlib.contextmanager
    def _hold(self) -> Iterator[None]:
        """Be the only one to change the table. The kernel's lock ends with the process that has it, and is not one
        between threads."""
        with self._lock:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)
