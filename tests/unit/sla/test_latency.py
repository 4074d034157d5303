"""The endpoint's own figures against the objective: what is surely too slow is told, chance is not."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from include.sla.latency import chance_of_more, judge_quantile, read_counts, subtract_counts
from include.sla.plan import PlannedLatency
from tests.unit.sla.conftest import Scene

BOUNDS = ("0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "+Inf")


class Endpoint:
    """Answers /metrics with what was counted; ``count`` adds answers of so many ms."""

    def __init__(self) -> None:
        self.counts: dict[str, list[float]] = {}
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = endpoint.write().encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/metrics"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count(self, version: str, *milliseconds: float) -> None:
        self.counts.setdefault(version, []).extend(milliseconds)

    def write(self) -> str:
        lines = ["# HELP tollgate_request_seconds Time", "# TYPE tollgate_request_seconds histogram"]
        for version, taken in self.counts.items():
            for bound in BOUNDS:
                n = sum(value <= float(bound) * 1000 for value in taken)
                lines.append(f'tollgate_request_seconds_bucket{{le="{bound}",model_version="{version}"}} {n}.0')
            lines.append(f'tollgate_request_seconds_count{{model_version="{version}"}} {len(taken)}.0')
        return "\n".join([*lines, ""])


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.server.shutdown()
    running.server.server_close()


def ask(scene: Scene, endpoint: Endpoint, **objectives: float) -> None:
    quantiles = {{"p50": "0.5", "p95": "0.95", "p99": "0.99"}[name]: bound for name, bound in objectives.items()}
    latency = PlannedLatency(endpoint.address, quantiles, every=60.0, requests=200)
    scene.plan = replace(scene.plan, latency=latency)
    scene.start()


def test_slow_answers_are_told_once_an_hour_with_the_figures(scene: Scene, endpoint: Endpoint) -> None:
    ask(scene, endpoint, p99=5.0)
    endpoint.count("3", *[1.0] * 1000)
    scene.look(0)
    endpoint.count("3", *[1.0] * 900, *[20.0] * 100)
    assert scene.look(30) == 0, "it looks once a minute"
    assert scene.look(61) == 1
    text = scene.read_texts()[0]
    assert "version 3 answers slowly: p99 above 5 ms" in text
    assert "100 of 1,000 answers took surely longer, 10.0% where 1% may" in text
    assert "between 10 ms and 25 ms" in text
    for minute in range(2, 60):
        endpoint.count("3", *[20.0] * 300)
        assert scene.look(60 * minute + 1) == 0
    scene.start()
    scene.look(3601)  # a new watcher has no look before
    endpoint.count("3", *[20.0] * 300)
    assert scene.look(3662) == 1


def test_a_new_version_is_judged_by_its_own_answers_and_soon(scene: Scene, endpoint: Endpoint) -> None:
    ask(scene, endpoint, p50=5.0)
    endpoint.count("3", *[1.0] * 5000)
    scene.look(0)
    endpoint.count("4", *[8.0] * 50)
    assert scene.look(61) == 0, "too few answers to say anything"
    endpoint.count("4", *[8.0] * 160)
    assert scene.look(67) == 1, "and not a minute later"
    assert "version 4 answers slowly: p50 above 5 ms" in scene.read_texts()[0]


def test_an_endpoint_that_just_keeps_its_objective_is_never_called_slow(scene: Scene, endpoint: Endpoint) -> None:
    """One in a hundred answers may be slower than p99; a thousand looks at such answers."""
    ask(scene, endpoint, p99=5.0)
    endpoint.count("3", 1.0)
    scene.look(0)
    draw = random.Random(20260926)
    total = dict.fromkeys(map(float, BOUNDS), 0.0)
    for _ in range(1000):
        slow = sum(draw.random() < 0.01 for _ in range(500))
        window = {bound: 500.0 - (slow if bound < 0.025 else 0) for bound in total}
        assert judge_quantile(window, 0.99, 5.0) is None


def test_what_lies_in_the_objectives_own_bucket_counts_as_in_time() -> None:
    counts = {0.01: 0.0, 0.025: 1000.0, float("inf"): 1000.0}
    assert judge_quantile(counts, 0.5, 20.0) is None, "it may have been 11 ms"
    breach = judge_quantile(counts, 0.5, 10.0)
    assert breach is not None and (breach.slow, breach.low, breach.high) == (1000, 10.0, 25.0)


def test_the_tail_of_the_binomial_is_scipys() -> None:
    from scipy.stats import binom  # type: ignore[import-untyped]

    for n, k, share in ((200, 10, 0.01), (1000, 80, 0.05), (500, 260, 0.5), (10**6, 10_400, 0.01), (50, 50, 0.5)):
        assert chance_of_more(k, n, share) == pytest.approx(float(binom.sf(k - 1, n, share)), rel=1e-6)
    assert chance_of_more(0, 100, 0.01) == 1.0


def test_an_endpoint_that_was_started_anew_counts_from_zero() -> None:
    assert subtract_counts({0.1: 5.0}, {0.1: 90.0}) == {0.1: 5.0}
    assert subtract_counts({0.1: 95.0}, {0.1: 90.0}) == {0.1: 5.0}


def test_the_text_is_that_of_the_real_endpoint() -> None:
    from include.serving.counters import LATENCY

    bucket = LATENCY.name + '_bucket{{le="{}",model_version="3"}} {}\n'
    assert read_counts(bucket.format("0.001", "12.0") + bucket.format("+Inf", "13.0")) == {
        "3": {0.001: 12.0, float("inf"): 13.0}
    }


def test_an_endpoint_that_does_not_answer_is_no_miss(scene: Scene, endpoint: Endpoint) -> None:
    ask(scene, endpoint, p99=5.0)
    scene.plan = replace(scene.plan, latency=PlannedLatency("http://127.0.0.1:9/metrics", {"0.99": 5.0}, 60.0, 200))
    scene.start()
    assert scene.look(0) == scene.look(100) == 0
