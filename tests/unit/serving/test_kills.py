"""kill -9 of the server and of each worker while versions are swapped: no answer is another version's, and afterwards
the pointer's version is served."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.pointer import read_pointer
from include.scoring.scorer import Scorer
from tests.unit.asking import AskingThreads
from tests.unit.factory import make_pipeline
from tests.unit.served_models import Server, fit_scorer, make_requests, point_at, save_compiled, serve, wait_for

pytestmark = pytest.mark.slow

VERSIONS = 6
WORKERS = 3


@pytest.fixture(scope="module")
def other(scorer: Scorer) -> Scorer:
    return fit_scorer(make_pipeline(), seed=2)


@pytest.fixture
def home(scorer: Scorer, other: Scorer, tmp_path: Path) -> Path:
    """A TOLLGATE_HOME with versions 0 to 5; the odd ones are another model than the even ones."""
    for number in range(VERSIONS):
        folder = tmp_path / "serving" / "parcels" / "models" / str(number)
        save_compiled(make_pipeline(), other if number % 2 else scorer, folder)
    point_at(tmp_path / "serving" / "parcels", "0")
    return tmp_path


@pytest.fixture
def folder(home: Path) -> Path:
    return home / "serving" / "parcels"


class Callers(AskingThreads):
    """Four that ask without a pause, whatever becomes of the server. Every answer must be that of the version which it
    names; ``wrong`` are those that are not."""

    def __init__(self, port: int, scorer: Scorer, other: Scorer) -> None:
        super().__init__(4)
        requests = make_requests(make_pipeline(), 5, seed=3)
        self._body = requests.to_csv(index=False).encode()
        self._right = [each.predict(requests) for each in (scorer, other)]
        assert np.abs(self._right[0] - self._right[1]).min() > 1e-4
        self._port = port
        self.wrong: list[Any] = []
        self.answers: Counter[tuple[int, str]] = Counter()

    def wait_for_versions(self, count: int) -> None:
        """Wait until so many versions have answered from now on."""
        before = Counter(self.answers)
        wait_for(lambda: sum(status == 200 for status, _ in Counter(self.answers) - before) >= count)

    def _call(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._stop.is_set():
            try:
                connection.request("POST", "/invocations", self._body, {"content-type": "text/csv"})
                response = connection.getresponse()
                answer = json.loads(response.read())
            except (OSError, http.client.HTTPException):
                connection.close()  # what was on its way in a killed process is lost
                self._stop.wait(0.005)
                continue
            self._check(response.status, response.getheader("x-model-version") or "", answer)

    def _check(self, status: int, named: str, answer: Any) -> None:
        self.answers[status, named] += 1
        if status == 200:
            right = self._right[int(named) % 2]
            if answer["model_version"] != named or np.abs(np.array(answer["predictions"]) - right).max() > 1e-9:
                self.wrong.append((named, answer))
        elif status != 503 or answer["error_code"] != "NOT_READY":
            self.wrong.append((status, answer))


@contextmanager
def swapping(folder: Path) -> Iterator[None]:
    """Point at another version about ten times a second."""
    stop = threading.Event()

    def swap() -> None:
        for number in itertools.count(int(read_version(folder)) + 1):
            if stop.wait(0.1):
                return
            point_at(folder, str(number % VERSIONS))

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def read_version(folder: Path) -> str:
    pointer = read_pointer(folder)
    assert pointer is not None
    return pointer.version


def wait_until_all_serve(server: Server, folder: Path, count: int) -> None:
    wanted = read_version(folder)

    def look() -> bool:
        workers = server.ask("GET", "/version")[1]["workers"]
        return len(workers) == count and all(each["accepting"] and each["version"] == wanted for each in workers)

    wait_for(look, 120)


def test_each_worker_killed_while_versions_are_swapped(home: Path, folder: Path, scorer: Scorer, other: Scorer) -> None:
    with serve(home / "run", "--pipeline", "parcels", "--workers", str(WORKERS), home=home) as server:
        wait_until_all_serve(server, folder, WORKERS)
        with Callers(server.port, scorer, other) as callers:
            for slot in range(WORKERS):
                with swapping(folder):
                    callers.wait_for_versions(3)
                    killed = server.ask("GET", "/version")[1]["workers"][slot]["pid"]
                    os.kill(killed, signal.SIGKILL)
                    wait_for(lambda killed=killed: killed not in read_pids(server))
                wait_until_all_serve(server, folder, WORKERS)
                assert {server.ask("GET", "/ping")[1]["model_version"] for _ in range(20)} == {read_version(folder)}
    assert callers.wrong == []
    assert {status for status, _ in callers.answers} == {200}, "the others went on answering"


def read_pids(server: Server) -> list[int]:
    return [each["pid"] for each in server.ask("GET", "/version")[1]["workers"]]


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_the_server_killed_while_versions_are_swapped(
    workers: int, home: Path, folder: Path, scorer: Scorer, other: Scorer
) -> None:
    arguments = ("--pipeline", "parcels", "--workers", str(workers))
    server = Server(home / "run", *arguments, home=home)
    try:
        with Callers(server.port, scorer, other) as callers:
            for _ in range(3):
                wait_until_all_serve(server, folder, workers)
                with swapping(folder):
                    callers.wait_for_versions(3)
                    server.process.kill()
                    server.process.wait(10)
                # At once, as a supervisor would: none of the old workers may be in the way, or answer from now on.
                server = Server(home / "run", *arguments, home=home, port=server.port)
                wait_for(lambda server=server: server.ask("GET", "/ping")[0] == 200)
                assert server.ask("GET", "/ping")[1]["model_version"] == read_version(folder)
    finally:
        server.process.kill()
        server.process.wait(10)
    assert callers.wrong == []
