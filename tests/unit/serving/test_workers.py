"""Several workers on one port: killed, swapped, scraped, stopped; callers notice only the version on their answers."""

from __future__ import annotations

import concurrent.futures
import http.client
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from include.scoring.scorer import Scorer
from include.settings import PROJECT_ROOT
from tests.unit.factory import make_pipeline
from tests.unit.served_models import Server, ask, fit_scorer, point_at, save_compiled, serve, wait_for

ROW = {"year": 2013, "month": 1, "day": 5, "hour": 9, "carrier": "AA", "distance": 100.0}
ROWS = {"instances": [ROW]}
COUNT = 3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TOLLGATE_HOME with versions 0 to 4 of the toy pipeline, and one that cannot be loaded."""
    home = tmp_path_factory.mktemp("workers")
    models = home / "serving" / "parcels" / "models"
    other = fit_scorer(make_pipeline(), seed=2)
    for number in range(5):
        save_compiled(make_pipeline(), other if number % 2 else scorer, models / str(number))
    (models / "broken").mkdir()
    return home


@pytest.fixture(scope="module")
def folder(home: Path) -> Path:
    return home / "serving" / "parcels"


@pytest.fixture(scope="module")
def running(home: Path, folder: Path) -> Iterator[Server]:
    point_at(folder, "0")
    with serve(home / "run", "--pipeline", "parcels", "--workers", str(COUNT), home=home) as running:
        yield running


@pytest.fixture
def server(running: Server, folder: Path) -> Server:
    """All workers at work, on version 0."""
    point_at(folder, "0")
    wait_until_all_take(running, "0")
    return running


def read_workers(server: Server) -> list[dict[str, Any]]:
    return list(server.ask("GET", "/version")[1]["workers"])


def wait_until_all_take(server: Server, version: str | None = None) -> list[dict[str, Any]]:
    def look() -> Any:
        workers = read_workers(server)
        ready = all(each["accepting"] and version in (None, each["version"]) for each in workers)
        return workers if len(workers) == COUNT and ready else None

    return list(wait_for(look, 120))


class Load:
    """Callers that ask without a pause, each on a connection of its own that it opens again when it breaks."""

    def __init__(self, port: int, callers: int) -> None:
        self.port = port
        self.answers: Counter[tuple[int, str]] = Counter()
        self.broken = 0
        self.after_broken: list[int] = []
        self.lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        content = json.dumps(ROWS).encode()
        connection = None
        retried = False
        while not self._stop.is_set():
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                connection.request("POST", "/invocations", content, {"content-type": "application/json"})
                response = connection.getresponse()
                body = json.loads(response.read())
            except (OSError, http.client.HTTPException):
                # What was on its way in a killed process is lost; the caller asks again, once.
                with self.lock:
                    self.broken += 1
                connection.close()
                connection, retried = None, True
                continue
            assert response.getheader("x-model-version") == body.get("model_version")
            with self.lock:
                self.answers[response.status, str(body.get("model_version"))] += 1
                if retried:
                    self.after_broken.append(response.status)
            retried = False


def test_a_killed_worker_is_replaced_and_every_callers_next_request_is_answered(server: Server) -> None:
    asked = server.read_metrics().get(("tollgate_requests_total", "/invocations", "200"), 0.0)
    with Load(server.port, 8) as load:
        for slot in range(COUNT):
            before = wait_until_all_take(server)
            answered = sum(load.answers.values())
            killed = before[slot]["pid"]
            os.kill(killed, signal.SIGKILL)
            wait_for(lambda killed=killed: killed not in [each["pid"] for each in read_workers(server)])
            wait_until_all_take(server)
            assert sum(load.answers.values()) > answered, "the others went on answering"
    assert set(load.answers) == {(200, "0")}, "never a 503 from one that is still loading"
    assert set(load.after_broken) <= {200}
    assert load.broken == len(load.after_broken), "one retry was enough for each"
    metrics = server.read_metrics()
    assert metrics["tollgate_worker_restarts_total",] == COUNT
    counted = metrics["tollgate_requests_total", "/invocations", "200"] - asked
    answered = sum(load.answers.values())
    # A worker may die between counting and the answer's way out.
    assert answered <= counted <= answered + load.broken
    assert metrics["tollgate_requests_in_flight",] == 0


def test_all_workers_follow_the_pointer_within_a_second(server: Server, folder: Path) -> None:
    pointer = point_at(folder, "0")
    took = []
    with Load(server.port, 4) as load:
        for number in range(1, 5):
            pointer = point_at(folder, str(number), pointer)
            written = time.monotonic()

            def all_serve(number: int = number) -> bool:
                return all(each["version"] == str(number) for each in read_workers(server))

            wait_for(all_serve, 20)
            took.append(time.monotonic() - written)
            # From here on no answer comes from an older version.
            assert {server.ask("POST", "/invocations", ROWS)[1]["model_version"] for _ in range(30)} == {str(number)}
    # The median: the machine of a test may have other things to do for a moment.
    assert statistics.median(took) < 1.0, took
    assert load.broken == 0
    assert {status for status, _ in load.answers} == {200}
    assert {version for _, version in load.answers} >= {"1", "2", "3", "4"}
    path = server.ask("GET", "/version")[1]["scoring_path"]
    assert server.read_metrics()["tollgate_model_workers", "4", path] == COUNT


def test_a_version_that_workers_cannot_load_is_the_endpoints_error_whichever_is_asked(
    server: Server, folder: Path
) -> None:
    point_at(folder, "broken", point_at(folder, "0"))
    wait_for(lambda: all(each["pointer_error"] for each in read_workers(server)))
    for _ in range(10):
        assert server.ask("GET", "/version")[1]["pointer_error"]["version"] == "broken"
        assert server.ask("POST", "/invocations", ROWS)[1]["model_version"] == "0"


def test_connections_that_callers_keep_are_shared_by_all_workers(server: Server) -> None:
    def share() -> Counter[int] | None:
        """Who has how many of twelve; None unless each has some."""
        kept = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(4 * COUNT)]
        pids: Counter[int] = Counter()
        for connection in kept:
            connection.request("GET", "/version")
            pids[json.loads(connection.getresponse().read())["pid"]] += 1
        for connection in kept:
            connection.close()
        return pids if len(pids) == COUNT and min(pids.values()) >= 2 else None

    # A worker that a busy machine keeps from running for 10 ms leaves its share to the others, as it should: once more.
    wait_for(share, 10)


def test_the_counts_of_all_workers_are_one(server: Server) -> None:
    before = server.read_metrics().get(("tollgate_requests_total", "/invocations", "200"), 0.0)
    asked = 0
    pids = set()
    while len(pids) < COUNT and asked < 2000:
        asked += 1
        assert server.ask("POST", "/invocations", ROWS)[0] == 200
        pids.add(server.ask("GET", "/version")[1]["pid"])
    assert len(pids) == COUNT, "each worker had its share"
    for _ in range(10):  # whichever worker is asked
        assert server.read_metrics()["tollgate_requests_total", "/invocations", "200"] - before == asked


def test_sigterm_finishes_what_is_under_way_and_leaves_no_process(server: Server) -> None:
    """The last test of the shared server."""
    pids = [each["pid"] for each in read_workers(server)]
    large = json.dumps({"dataframe_records": [ROW] * 30_000}).encode()

    def count_answered() -> float:
        return server.read_metrics().get(("tollgate_requests_total", "/invocations", "200"), 0.0)

    def find_under_way(before: float) -> float | None:
        """How many are being answered once all four have come."""
        seen = server.read_metrics()
        under_way = seen["tollgate_requests_in_flight",]
        answered = seen.get(("tollgate_requests_total", "/invocations", "200"), 0.0) - before
        return under_way if under_way + answered >= 4 else None

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in range(10):
            before = count_answered()
            running = [pool.submit(ask, server.port, "POST", "/invocations", large) for _ in range(4)]
            under_way = None
            while under_way is None:
                under_way = find_under_way(before)
            if under_way:
                break
            concurrent.futures.wait(running)  # they were quicker than the look
        assert under_way, "nothing was under way"
        assert server.stop() == 0
        assert [(future.result()[0], len(future.result()[1]["predictions"])) for future in running] == [
            (200, 30_000)
        ] * 4
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=5)


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Server]:
    """Workers with nothing to load: all but the first wait for their turn."""
    with serve(tmp_path / "run", "--pipeline", "parcels", "--workers", str(COUNT), home=tmp_path) as server:
        wait_for(lambda: len(read_workers(server)) == COUNT)
        yield server


def test_only_one_worker_speaks_while_there_is_no_model_and_a_stop_waits_for_none(waiting: Server) -> None:
    assert [each["accepting"] for each in read_workers(waiting)].count(True) == 1
    # It says "starting" until it has looked.
    wait_for(lambda: waiting.ask("GET", "/ping")[1]["status"] == "no model deployed yet")
    started = time.monotonic()
    assert waiting.stop() == 0
    assert time.monotonic() - started < 5


def test_when_the_one_that_speaks_dies_another_does(waiting: Server) -> None:
    first = next(each["pid"] for each in read_workers(waiting) if each["accepting"])
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: first not in [each["pid"] for each in read_workers(waiting)])
    assert waiting.ask("GET", "/ping")[0] == 503


def test_workers_end_with_their_parent(waiting: Server) -> None:
    pids = [each["pid"] for each in read_workers(waiting)]
    waiting.process.kill()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 10)


def test_a_worker_that_dies_at_once_is_started_at_growing_intervals() -> None:
    code = (
        "import os, socket, time\n"
        "from include.serving.board import Board\n"
        "from include.serving.workers import run_workers\n"
        "work = lambda slot: os._exit(3) if slot else time.sleep(60)\n"
        "run_workers(Board(2), socket.socket(), work, 1)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        pauses = [json.loads(process.stdout.readline())["restart_in_seconds"] for _ in range(4)]
        assert pauses == [0.1, 0.2, 0.4, 0.8]
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait(10)
