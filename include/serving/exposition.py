"""The text of GET /metrics: the counts of all workers, in the format that the caller's Accept header prefers.

Work-only module: the Prometheus client is imported at the first scrape.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from include.serving.board import Board
from include.serving.counters import BUCKETS, METRICS, Metric
from include.serving.rows import CELLS
from include.serving.totals import read_series

_BOUNDS = [*map(str, BUCKETS), "+Inf"]


def render_metrics(board: Board, accept: str) -> tuple[bytes, str]:
    """The body of GET /metrics and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_BoardCollector(board))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class _BoardCollector(Collector):
    def __init__(self, board: Board) -> None:
        self._board = board

    def describe(self) -> Iterable[Family]:
        return []

    def collect(self) -> Iterator[Family]:
        families: dict[str, Family] = {metric.name: _make_family(metric) for metric in METRICS.values()}
        for (name, *labels), cells in sorted(read_series(self._board).items()):
            family = families[name]
            if isinstance(family, HistogramMetricFamily):
                buckets = list(zip(_BOUNDS, accumulate(cells[: CELLS - 1]), strict=True))
                family.add_metric(labels, buckets, cells[CELLS - 1] / 1e9)
            elif isinstance(family, SummaryMetricFamily):
                family.add_metric(labels, cells[0], cells[1] / 1e9)
            elif isinstance(family, (CounterMetricFamily, GaugeMetricFamily)):
                family.add_metric(labels, cells[0])
        yield from families.values()
        yield from self._describe_workers()

    def _describe_workers(self) -> Iterator[Family]:
        """What is served now, from what the workers say of themselves."""
        states = self._board.read_states()
        served = Counter((str(state["version"]), str(state["scoring_path"])) for state in states if state["version"])
        models = GaugeMetricFamily(
            "tollgate_model_workers", "Workers that serve a version now.", labels=["model_version", "scoring_path"]
        )
        for labels, count in served.items():
            models.add_metric(labels, count)
        yield models
        workers = GaugeMetricFamily("tollgate_workers", "Workers by state.", labels=["state"])
        for state, count in Counter(str(state["state"]) for state in states).items():
            workers.add_metric([state], count)
        yield workers
        open_now = self._board.count_connections()
        yield GaugeMetricFamily("tollgate_connections", "Connections that are open now.", value=open_now)


def _make_family(metric: Metric) -> Family:
    if metric.kind == "histogram":
        return HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    if metric.kind == "summary":
        return SummaryMetricFamily(metric.name, metric.help, labels=metric.labels)
    if metric.kind == "counter":
        return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
