"""What the endpoint counts, cheaply enough for every request: one addition in shared memory each.

The Prometheus client's own counters were measured: 5 µs for the five numbers of a request, and 18 µs in its mode for
several processes, where these take 1 µs. It is used for what it is best at, the text (see ``exposition``).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from include.errors import TerminalError
from include.serving.board import VERSION_ROWS, Board
from include.serving.rows import CELLS, Rows
from include.serving.versions import LONGEST_NAME

# Upper bounds in seconds: from a compiled model's single row to what SageMaker would no longer wait for.
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_BUCKETS_NS = tuple(round(bound * 1e9) for bound in BUCKETS)
_SUM = CELLS - 1


@dataclass(frozen=True)
class Metric:
    """One metric: a gauge starts from zero in a new worker, the others go on. A summary's first two cells are how many
    and their sum, in billionths. What is counted ``by_version`` goes when the version is long gone."""

    name: str
    kind: Literal["counter", "gauge", "histogram", "summary"]
    help: str
    labels: tuple[str, ...] = ()

    @property
    def by_version(self) -> bool:
        """Whether its first label is a version."""
        return self.labels[:1] == ("model_version",)


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
CAPTURED_IN_ALL = Metric("tollgate_captured_in_all", "counter", "Requests captured, of all versions ever served.")
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
        CAPTURED_IN_ALL,
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


@dataclass(frozen=True)
class _Place:
    """Where one worker counts for one version, or for none; ``found`` holds the first cell of each series."""

    rows: Rows
    number: int = 0
    generation: int = 0
    found: dict[tuple[str, ...], int] = field(default_factory=dict)

    def add(self, series: tuple[str, ...]) -> int | None:
        cell = self.rows.add(msgspec.json.encode([name[:LONGEST_NAME] for name in series]))
        if cell is not None:
            self.found[series] = cell
        return cell

    def recall(self) -> None:
        """Go on with what was counted before this process was started."""
        for row, key in enumerate(self.rows.list_keys()):
            self.found[tuple(msgspec.json.decode(key))] = self.rows.locate(row)


class Counters:
    """The counts of one worker. ``cells[find(metric, …)] += 1`` is the whole of counting; each series is written by
    one thread only.

    A version's cells may be kept for as long as it is served or tried, and by the requests that it had then: a dozen
    other versions have come and gone before its rows become another's.
    """

    def __init__(self, board: Board, slot: int = 0) -> None:
        self.board = board
        self.cells = board.cells
        self.slot = slot
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}
        self._common = _Place(board.get_rows(slot))
        self._common.recall()
        for series, cell in self._common.found.items():
            if METRICS[series[0]].kind == "gauge":
                self.cells[cell] = 0
        self._uncounted = self.find(UNCOUNTED)

    def find(self, metric: Metric, *labels: str) -> int:
        """The first cell of a series; a new one gets its row. Without a row left, that of everything uncounted."""
        cell = self._find(metric, labels)
        return self._uncounted if cell is None else cell

    def reserve(self, metric: Metric, *labels: str) -> int:
        """The first cell of a series that must be counted by itself. Raises TerminalError without a row for it."""
        cell = self._find(metric, labels)
        if cell is None:
            version = labels[0][:LONGEST_NAME]
            raise TerminalError(
                f"Worker {self.slot} has no row left in which to count {metric.name} of version {version}: a version "
                f"has {VERSION_ROWS}, one of them for each of its prediction rules.",
                next_step="Declare fewer prediction rules, or start the endpoint anew (make stop, make run).",
                metric=metric.name,
                version=version,
            )
        return cell

    def _find(self, metric: Metric, labels: tuple[str, ...]) -> int | None:
        place = self._find_place(labels[0][:LONGEST_NAME]) if metric.by_version else self._common
        if place is None:
            return None
        series = (metric.name, *labels)
        cell = place.found.get(series)
        if cell is None:
            with self._lock:
                cell = place.found.get(series)
                return place.add(series) if cell is None else cell
        return cell

    def _find_place(self, version: str) -> _Place | None:
        place = self._places.get(version)
        if place is not None and self._holds(place):
            return place
        with self._lock:
            used = {name[:LONGEST_NAME] for name in self.board.list_used_versions()}
            taken = self.board.versions.take(version, used)
            if taken is None:
                return None
            number, generation = taken
            rows = self.board.get_version_rows(self.slot, number)
            if rows.generation != generation:
                rows.begin(generation)
            place = _Place(rows, number, generation)
            place.recall()
            kept = {name: each for name, each in self._places.items() if self._holds(each)}
            self._places = {**kept, version: place}
            return place

    def _holds(self, place: _Place) -> bool:
        """Whether it is still its version's."""
        return self.board.versions.get_generation(place.number) == place.generation

    def count(self, metric: Metric, *labels: str) -> None:
        """Add one to a counter."""
        self.cells[self.find(metric, *labels)] += 1

    def observe(self, cell: int, nanoseconds: int) -> None:
        """Add one duration to the histogram whose first cell is ``cell``."""
        self.cells[cell + bisect_left(_BUCKETS_NS, nanoseconds)] += 1
        self.cells[cell + _SUM] += nanoseconds
