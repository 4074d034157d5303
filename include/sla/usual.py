"""What tasks, runs and whole deliveries usually take: the last durations of each, kept by the watcher itself.

``sla/durations/<dag>.json``: name (a task, ``run`` or ``served``) to its newest durations, oldest first, each with the
rows it worked on, 0 where that is not known or means nothing. Readable without Airflow's database.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from include.records import write_file_atomically
from include.runtime.usual import Usual, choose_similar, measure_usual
from include.settings import Settings

RUN, SERVED = "run", "served"
MOST = 50


class Durations:
    """The durations of every DAG; ``add`` writes at once, reading is from memory after the first time."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.home / "sla" / "durations"
        self._known: dict[str, dict[str, list[tuple[int, float]]]] = {}

    def _name(self, dag_id: str) -> Path:
        return self._folder / f"{dag_id}.json"

    def _read(self, dag_id: str) -> dict[str, list[tuple[int, float]]]:
        if dag_id not in self._known:
            try:
                stored = json.loads(self._name(dag_id).read_bytes())
            except FileNotFoundError:
                stored = {}
            self._known[dag_id] = {
                name: [(int(rows), float(seconds)) for rows, seconds in runs] for name, runs in stored.items()
            }
        return self._known[dag_id]

    def add(self, dag_id: str, taken: Mapping[str, list[tuple[int, float]]]) -> None:
        """Keep what was ``taken``: name to (rows, seconds) of each."""
        known = self._read(dag_id)
        for name, runs in taken.items():
            known[name] = [*known.get(name, []), *((rows, round(seconds, 3)) for rows, seconds in runs)][-MOST:]
        write_file_atomically(self._name(dag_id), json.dumps(known, sort_keys=True).encode())

    def find_usual(self, dag_id: str, name: str, rows: int = 0) -> Usual | None:
        """What ``name`` usually takes with about as many rows (0: not known); None before it was ever done."""
        return measure_usual(choose_similar(self._read(dag_id).get(name, []), rows or None))
