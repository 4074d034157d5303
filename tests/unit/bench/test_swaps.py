"""The bench of swaps counts those that took place under load, and ends where its figures would say nothing."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.endpoint import swaps
from bench.endpoint.servers import Running
from bench.endpoint.swaps import Round, check_rounds, check_versions, make_rows, swap_until_end
from bench.endpoint.wrk import Load, run_load

RUNNING = Running("tollgate", 1, 1, Path("log"))


def make_round(swaps: int = 8, failed: int = 0, unnamed: int = 0, p99: float = 1.5) -> Round:
    return Round(Load(300, 3.0, 1.0, 1.0, 9.0, 0), Load(300, 3.0, 1.0, p99, 9.0, failed, unnamed), swaps)


def test_failed_requests_of_every_round_are_added_up() -> None:
    rounds = [make_round(failed=failed) for failed in (0, 2, 1)]
    check_rounds(rounds)
    failed, tail = make_rows(rounds)
    assert (failed.value, failed.measure[:35]) == (3, "failed requests during 24 swaps bet")
    assert tail.ratio == pytest.approx(1.5)


def test_too_few_swaps_and_answers_without_a_version_are_no_figure() -> None:
    with pytest.raises(SystemExit, match="Only 19 swaps"):
        check_rounds([make_round(10), make_round(9)])
    with pytest.raises(SystemExit, match="1 answers did not name"):
        check_rounds([make_round(20), make_round(20, unnamed=1)])


def test_it_swaps_to_the_end_and_what_ends_later_does_not_count() -> None:
    window: Future[Load] = Future()
    calls = []

    def swap() -> None:
        calls.append(len(calls))
        if len(calls) == 4:
            window.set_result(make_round().during)

    assert swap_until_end(window, swap) == 3
    assert len(calls) == 4


def test_each_version_answers_as_its_own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = iter("2121")
    monkeypatch.setattr(swaps, "ask", lambda port, body: (200, b'{"predictions": [0.5]}'))
    with pytest.raises(SystemExit, match="answer alike"):
        check_versions(versions.__next__, RUNNING, "", {"1": [0.5], "2": [0.5]})
    with pytest.raises(SystemExit, match="Version 2 answers"):
        check_versions(versions.__next__, RUNNING, "", {"1": [0.5], "2": [0.25]})


class _Forgetful(BaseHTTPRequestHandler):
    """Names its version in every second answer."""

    protocol_version = "HTTP/1.1"
    answered = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).answered += 1
        self.send_response(200)
        if self.answered % 2:
            self.send_header("x-model-version", "1")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.fixture
def forgetful() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Forgetful)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.skipif(shutil.which("wrk") is None, reason="needs wrk")
def test_wrk_counts_answers_that_name_no_version(forgetful: int, tmp_path: Path) -> None:
    bodies = tmp_path / "bodies.txt"
    bodies.write_text("{}\n")
    load = run_load("wrk", forgetful, bodies, 1, 1, count_unnamed=True)
    assert load.failed == 0
    assert load.unnamed == pytest.approx(load.requests / 2, abs=1)
    assert run_load("wrk", forgetful, bodies, 1, 1).unnamed == 0
