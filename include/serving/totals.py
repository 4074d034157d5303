"""What all workers and their parent have counted together, read by any of them while the others go on counting."""

from __future__ import annotations

import msgspec

from include.serving.board import Board
from include.serving.counters import Metric
from include.serving.rows import CELLS, Rows
from include.serving.versions import LONGEST_NAME, VERSIONS


def read_count(board: Board, metric: Metric, *labels: str) -> int:
    """What one counter's series has come to."""
    series = (metric.name, *(name[:LONGEST_NAME] for name in labels))
    return read_series(board, metric).get(series, [0])[0]


def sum_counts(board: Board, metric: Metric) -> int:
    """What all series of one counter have come to: one that is not counted by version, or some would be gone."""
    return sum(cells[0] for cells in read_series(board, metric).values())


def read_series(board: Board, *metrics: Metric) -> dict[tuple[str, ...], list[int]]:
    """Every series, or those of ``metrics``, their cells added up."""
    begins = tuple(b'["%s"' % metric.name.encode() for metric in metrics) or (b"",)
    found: dict[bytes, list[int]] = {}
    for slot in range(board.workers + 1):
        _add_up(found, board, board.get_rows(slot), begins)
    for place in range(VERSIONS):
        found.update(_read_version(board, place, begins))
    return {tuple(msgspec.json.decode(key)): cells for key, cells in found.items()}


def _read_version(board: Board, place: int, begins: tuple[bytes, ...]) -> dict[bytes, list[int]]:
    generation = board.versions.get_generation(place)
    found: dict[bytes, list[int]] = {}
    if not generation:
        return found
    for slot in range(board.workers + 1):
        rows = board.get_version_rows(slot, place)
        if rows.generation == generation:  # else that worker has nothing of this version
            _add_up(found, board, rows, begins)
    # A worker wipes its rows only when the place is another version's already: what was read is whole, or not told.
    return found if board.versions.get_generation(place) == generation else {}


def _add_up(found: dict[bytes, list[int]], board: Board, rows: Rows, begins: tuple[bytes, ...]) -> None:
    for row, key in enumerate(rows.list_keys()):
        if key.startswith(begins):
            cell = rows.locate(row)
            cells = board.cells[cell : cell + CELLS].tolist()
            before = found.get(key)
            found[key] = cells if before is None else [a + b for a, b in zip(before, cells, strict=True)]
