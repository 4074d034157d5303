"""Memory that the workers of one endpoint share: what each of them serves, and what each has counted.

Made before the workers are forked. Every worker writes only its own block, and everything it wrote survives its death,
so totals never go back when a worker is killed.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import Any

import msgspec

from include.serving.rows import Rows, measure_rows
from include.serving.versions import VERSIONS, VERSIONS_BYTES, Versions

# Rows of what is counted for no version: by path and status, by error code, by reason.
ROWS = 512
# Rows of one version: outcomes of its rollout and what it served with take 30, each of its prediction rules one.
VERSION_ROWS = 64
_STATE_BYTES = 8192
# Sequence and length of the state; whether the worker takes connections, and how many it has.
_SEQUENCE, _LENGTH, _ACCEPTING, _CONNECTIONS = range(4)
_HEAD_CELLS = 8
_ROWS_AT = _HEAD_CELLS * 8 + _STATE_BYTES
_VERSIONS_AT = _ROWS_AT + measure_rows(ROWS)
_BLOCK = _VERSIONS_AT + VERSIONS * measure_rows(VERSION_ROWS)


class Board:
    """Blocks for ``workers`` workers and, as the last one, for their parent. ``cells`` are its 64-bit integers, and
    ``versions`` says which versions have rows."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        blocks = (workers + 1) * _BLOCK
        # Anonymous and shared: inherited by fork, gone with the last process.
        self._memory = mmap.mmap(-1, blocks + VERSIONS_BYTES)
        self.cells = memoryview(self._memory).cast("q")
        self.versions = Versions(self._memory, self.cells, blocks)

    def write_state(self, slot: int, state: dict[str, Any]) -> None:
        """Say what worker ``slot`` is and serves. Only that worker calls it, from one thread at a time; a reader never
        sees half of it."""
        content = msgspec.json.encode(state)
        if len(content) > _STATE_BYTES:
            shown = {**state, "pointer_error": None, "rollout_error": None, "reason": "too long to be shown"}
            content = msgspec.json.encode(shown)
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

    def get_rows(self, slot: int) -> Rows:
        """Where ``slot`` counts what it counts for no version."""
        return Rows(self._memory, self.cells, slot * _BLOCK + _ROWS_AT, ROWS)

    def get_version_rows(self, slot: int, place: int) -> Rows:
        """Where ``slot`` counts for the version that has ``place`` of ``versions``."""
        at = slot * _BLOCK + _VERSIONS_AT + place * measure_rows(VERSION_ROWS)
        return Rows(self._memory, self.cells, at, VERSION_ROWS)

    def list_used_versions(self) -> set[str]:
        """The versions that a living worker serves or gives requests to."""
        states = self.read_states()
        return {state[name] for state in states for name in ("version", "candidate") if state.get(name)}
