"""What the endpoint counts, cheaply enough for every request: one addition in shared memory each.

The Prometheus client's own counters were measured: 5 µs for the five numbers of a request, and 18 µs in its mode for
several processes, where these take 1 µs. It is used for what it is best at, the text (see ``exposition``).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal

import msgspec

from include.serving.board import CELLS, KEY_BYTES, Board

# Upper bounds in seconds: from a compiled model's single row to what SageMaker would no longer wait for.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BUCKETS_NS = tuple(round(bound * 1e9) for bound in BUCKETS)
_SUM = CELLS - 1
# A version's name is the caller's own; a longer one is cut so that a key fits its row.
_LONGEST_LABEL = 60


@dataclass(frozen=True)
class Metric:
    """One metric: a gauge starts from zero in a new worker, the others go on. A summary's first two cells are how many
    and their sum, in billionths."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "summary"]
    help: str
    labels: tuple[str, ...] = ()


REQUESTS = Metric("tollgate_requests", "counter", "Requests answered, by path and status.", ("path", "status"))
ERRORS = Metric("tollgate_errors", "counter", "Answers that were errors, by error code.", ("error_code",))
LATENCY = Metric(
    "tollgate_request_seconds",
    "histogram",
    "Time from a request's head to its predictions, by model version.",
    ("model_version",),
)
ROWS = Metric(
    "tollgate_rows", "counter", "Rows scored, by version and what computed them.", ("model_version", "scoring_path")
)
RULES = Metric(
    "tollgate_prediction_rules",
    "counter",
    "Answers that a prediction rule changed or refused, by version and rule.",
    ("model_version", "rule"),
)
CAPTURED = Metric("tollgate_captured", "counter", "Requests captured, by version.", ("model_version",))
NOT_CAPTURED = Metric(
    "tollgate_not_captured", "counter", "Requests that were to be captured and are not, by reason.", ("reason",)
)
IN_FLIGHT = Metric("tollgate_requests_in_flight", "gauge", "Requests to /invocations being answered now.")
QUEUED = Metric("tollgate_requests_queued", "gauge", "Large requests that wait for a scoring thread or are scored.")
REFUSED = Metric(
    "tollgate_refused", "counter", "Requests turned away so that others are served, by reason.", ("reason",)
)
CUT = Metric("tollgate_connections_cut", "counter", "Connections ended by the endpoint, by reason.", ("reason",))
SWAPS = Metric("tollgate_swaps", "counter", "Models swapped in, in any worker, by version.", ("model_version",))
RESTARTS = Metric("tollgate_worker_restarts", "counter", "Workers that ended by themselves and were started again.")
CANDIDATE = Metric(
    "tollgate_candidate_requests",
    "counter",
    "Requests given to a candidate beside the champion, by version, by who sent them and by what came of it.",
    ("model_version", "source", "outcome"),
)
DIFFERENCE = Metric(
    "tollgate_candidate_difference",
    "summary",
    "Mean prediction of the candidate minus that of the champion on the same request.",
    ("model_version", "source"),
)
UNCOUNTED = Metric("tollgate_other", "counter", "Counts of series for which there was no room left.")

METRICS = {
    metric.name: metric
    for metric in (
        REQUESTS,
        ERRORS,
        LATENCY,
        ROWS,
        RULES,
        CAPTURED,
        NOT_CAPTURED,
        IN_FLIGHT,
        QUEUED,
        REFUSED,
        CUT,
        SWAPS,
        RESTARTS,
        CANDIDATE,
        DIFFERENCE,
        UNCOUNTED,
    )
}


class Counters:
    """The counts of one worker. ``cells[find(metric, …)] += 1`` is the whole of counting; each series is written by
    one thread only."""

    def __init__(self, board: Board, slot: int = 0) -> None:
        self.board = board
        self.cells = board.cells
        self.slot = slot
        self._found: dict[tuple[str, ...], int] = {}
        self._lock = threading.Lock()
        for row, key in enumerate(board.list_keys(slot)):
            series = tuple(msgspec.json.decode(key))
            cell = board.locate_row(slot, row)
            self._found[series] = cell
            if METRICS[series[0]].kind == "gauge":
                self.cells[cell] = 0
        self._uncounted = self.find(UNCOUNTED)

    def find(self, metric: Metric, *labels: str) -> int:
        """The first cell of a series; a new one gets its row. Without a row left, that of everything uncounted."""
        series = (metric.name, *labels)
        cell = self._found.get(series)
        return self._add(series) if cell is None else cell

    def _add(self, series: tuple[str, ...]) -> int:
        with self._lock:
            if series in self._found:
                return self._found[series]
            key = msgspec.json.encode(_cut_labels(series))
            cell = self.board.add_row(self.slot, key) if len(key) <= KEY_BYTES - 2 else None
            if cell is None:
                return self._uncounted
            self._found[series] = cell
            return cell

    def count(self, metric: Metric, *labels: str) -> None:
        """Add one to a counter."""
        self.cells[self.find(metric, *labels)] += 1

    def observe(self, cell: int, nanoseconds: int) -> None:
        """Add one duration to the histogram whose first cell is ``cell``."""
        self.cells[cell + bisect_left(_BUCKETS_NS, nanoseconds)] += 1
        self.cells[cell + _SUM] += nanoseconds


def _cut_labels(series: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name[:_LONGEST_LABEL] for name in series)


def read_count(board: Board, metric: Metric, *labels: str) -> int:
    """What one counter's series has come to in all workers and their parent."""
    return read_series(board, metric.name).get(_cut_labels((metric.name, *labels)), [0])[0]


def sum_counts(board: Board, metric: Metric) -> int:
    """What all series of one counter have come to."""
    return sum(cells[0] for cells in read_series(board, metric.name).values())


def read_series(board: Board, name: str = "") -> dict[tuple[str, ...], list[int]]:
    """Every series, or those of the metric ``name``, their cells added up over all workers and their parent."""
    begin = b'["%s"' % name.encode() if name else b""
    total: dict[tuple[str, ...], list[int]] = {}
    for slot in range(board.workers + 1):
        for row, key in enumerate(board.list_keys(slot)):
            if not key.startswith(begin):
                continue
            cell = board.locate_row(slot, row)
            cells = board.cells[cell : cell + CELLS].tolist()
            series = tuple(msgspec.json.decode(key))
            total[series] = [a + b for a, b in zip(total.get(series, [0] * CELLS), cells, strict=True)]
    return total
