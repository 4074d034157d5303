"""What a caller was told is captured is in the table exactly once, whoever is killed when."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from include.captured import list_captured
from include.scoring.scorer import Scorer
from include.serving.capture.convert import convert_closed
from include.serving.capture.folder import list_segments
from include.settings import PROJECT_ROOT
from tests.unit.asking import AskingThreads
from tests.unit.factory import make_pipeline
from tests.unit.served_models import point_at, save_compiled, serve, wait_for

ROW = {"year": 2013, "month": 1, "day": 5, "hour": 9, "carrier": "AA", "distance": 100.0}
CONVERT = [sys.executable, "-m", "include.serving.capture.convert"]

pytestmark = pytest.mark.slow


def write_models(scorer: Scorer, home: Path, **capture: float) -> None:
    """Versions 1 and 2, which are captured; the depot is private."""
    folder = home / "serving" / "parcels"
    defaults = {"initial_sampling_percentage": 100.0, "rotate_mb": 0.1, "rotate_seconds": 1.0, "max_mb": 512.0}
    for version in ("1", "2"):
        path = save_compiled(make_pipeline(), scorer, folder / "models" / version) / "MLmodel"
        document = yaml.safe_load(path.read_text())
        facts = document["metadata"]["tollgate"]
        facts["data_capture"] = {"enable_capture": True, **defaults, **capture}
        facts["request"]["depot"]["private"] = True
        path.write_text(yaml.safe_dump(document))
    point_at(folder, "1")


class Callers(AskingThreads):
    """Callers with an id for each request; ``acknowledged`` holds those whose answer said that they are captured."""

    def __init__(self, port: int, count: int = 4) -> None:
        super().__init__(count)
        self.port = port
        # Not id(self): the next callers may be given the memory of these.
        self._name = uuid.uuid4().hex
        self.acknowledged: set[str] = set()
        self.answered = 0

    def _call(self, number: int) -> None:
        connection = None
        body = json.dumps({"instances": [{**ROW, "depot": "Jane Private"}] * (1 + number % 3)})
        asked = 0
        while not self._stop.is_set():
            connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            asked += 1
            name = f"{self._name}-{number}-{asked}"
            try:
                connection.request(
                    "POST", "/invocations", body, {"content-type": "application/json", "x-request-id": name}
                )
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = None
                time.sleep(0.02)
                continue
            self.answered += 1
            if response.getheader("x-captured") is not None:
                assert response.getheader("x-captured") == name
                self.acknowledged.add(name)


def convert_all(folder: Path) -> None:
    """As the next endpoint would; no segment is in use any more."""
    convert_closed(folder, 1 << 40)
    assert list_segments(folder) == []


def check_table(folder: Path, acknowledged: set[str]) -> None:
    found: Counter[tuple[str, int]] = Counter()
    for path in list_captured(folder):
        table = pq.read_table(path)
        assert "depot" not in table.column_names
        found.update(zip(table["request_id"].to_pylist(), table["row"].to_pylist(), strict=True))
    assert set(found.values()) <= {1}, "no row is there twice"
    assert acknowledged <= {name for name, row in found if row == 0}
    for name, _ in found:
        assert (name, int(name.split("-")[1]) % 3) in found, "a request is there with all of its rows"
    for path in folder.rglob("*"):
        assert not path.is_file() or b"Jane Private" not in path.read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_killed_at_random_moments_lose_nothing_that_was_acknowledged(
    scorer: Scorer, tmp_path: Path, workers: int
) -> None:
    home, folder = tmp_path / "home", tmp_path / "home" / "captured" / "parcels"
    write_models(scorer, home)
    acknowledged: set[str] = set()
    random.seed(workers)
    for round_ in range(4):
        with serve(home / "run", "--pipeline", "parcels", "--workers", str(workers), home=home) as server:
            server.wait_ready()
            with Callers(server.port) as callers:
                for _ in range(2):
                    before = len(callers.acknowledged)
                    wait_for(lambda before=before, all_=callers.acknowledged: len(all_) > before + 50, 60)
                    time.sleep(random.uniform(0, 0.7))
                    if workers > 1:
                        os.kill(random.choice(server.ask("GET", "/version")[1]["workers"])["pid"], signal.SIGKILL)
                    elif round_ % 2:
                        point_at(home / "serving" / "parcels", random.choice("12"))
                server.process.kill()
                server.process.wait(10)
            acknowledged |= callers.acknowledged
    assert len(acknowledged) > 400
    wait_for(lambda: not _is_converting(folder))
    convert_all(folder)
    check_table(folder, acknowledged)


def _is_converting(folder: Path) -> bool:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return str(folder) in listed


def test_a_running_endpoint_converts_by_itself_also_what_a_killed_one_left(scorer: Scorer, tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "home" / "captured" / "parcels"
    write_models(scorer, home)
    with serve(home / "run", "--pipeline", "parcels", home=home) as server:
        server.wait_ready()
        with Callers(server.port, 2) as first:
            wait_for(lambda: len(first.acknowledged) > 20)
            server.process.kill()
            server.process.wait(10)
    with serve(home / "run", "--pipeline", "parcels", home=home) as server:
        server.wait_ready()
        with Callers(server.port, 2) as second:
            wait_for(lambda: len(second.acknowledged) > 20)
        expected = first.acknowledged | second.acknowledged
        wait_for(lambda: expected <= _read_names(folder), 60)
        assert server.stop() == 0
    convert_all(folder)
    check_table(folder, expected)


def _read_names(folder: Path) -> set[str]:
    return {name for path in list_captured(folder) for name in pq.read_table(path)["request_id"].to_pylist()}


def test_a_conversion_killed_anywhere_loses_and_doubles_nothing(scorer: Scorer, tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "home" / "captured" / "parcels"
    # The endpoint itself converts nothing meanwhile.
    write_models(scorer, home, rotate_seconds=3600.0, rotate_mb=0.02)
    with serve(home / "run", "--pipeline", "parcels", home=home) as server:
        server.wait_ready()
        with Callers(server.port) as callers:
            wait_for(lambda: len(callers.acknowledged) > 2000, 120)
            server.process.kill()
            server.process.wait(10)
    random.seed(3)
    killed = 0
    for _ in range(40):
        left = len(list_segments(folder))
        process = subprocess.Popen([*CONVERT, str(folder), "--max-mb", "512"], cwd=PROJECT_ROOT)
        # Once it is at work, which takes it a while to be.
        deadline = time.monotonic() + 20
        while len(list_segments(folder)) == left and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.02))
        killed += process.poll() is None
        process.kill()
        process.wait(10)
        if not list_segments(folder):
            break
    assert killed >= 3
    convert_all(folder)
    assert not list(folder.glob(".*.part"))
    check_table(folder, callers.acknowledged)


def test_the_bound_of_the_disk_holds_at_every_moment(scorer: Scorer, tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "home" / "captured" / "parcels"
    write_models(scorer, home, rotate_mb=0.05, rotate_seconds=0.5, max_mb=0.6)
    highest = 0
    with serve(home / "run", "--pipeline", "parcels", "--workers", "2", home=home) as server:
        server.wait_ready()
        with Callers(server.port) as callers:
            seen: set[str] = set()
            deadline = time.monotonic() + 90
            # Until some were converted and removed again, so that the bound was met in earnest.
            while time.monotonic() < deadline and len(seen) - len(list_captured(folder)) < 3:
                highest = max(highest, _measure(folder))
                seen |= {path.name for path in list_captured(folder)}
                time.sleep(0.01)
        assert len(seen) - len(list_captured(folder)) >= 3
        assert server.ask("GET", "/version")[1]["capture"]["state"] in ("on", "stopped")
    assert len(callers.acknowledged) > 500
    assert 0.2 * (1 << 20) < highest <= 0.6 * (1 << 20)


def _measure(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def test_a_sandbox_captures_nothing(scorer: Scorer, tmp_path: Path) -> None:
    write_models(scorer, tmp_path / "home")
    model = tmp_path / "home" / "serving" / "parcels" / "models" / "1"
    arguments = ("--pipeline", "parcels", "--model-dir", str(model))
    with serve(tmp_path / "run", *arguments, home=tmp_path / "home") as server:
        server.wait_ready()
        with Callers(server.port, 1) as callers:
            wait_for(lambda: callers.answered > 20)
        assert server.ask("GET", "/version")[1]["capture"] is None
    assert not callers.acknowledged
    assert not (tmp_path / "home" / "captured").exists()


def test_the_endpoint_itself_never_loads_pyarrow(scorer: Scorer, tmp_path: Path) -> None:
    write_models(scorer, tmp_path / "home")
    with serve(tmp_path / "run", "--pipeline", "parcels", home=tmp_path / "home") as server:
        server.wait_ready()
        with Callers(server.port, 1) as callers:
            wait_for(lambda: len(callers.acknowledged) > 20)
        wait_for(lambda: list_captured(tmp_path / "home" / "captured" / "parcels"), 60)
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert "pyarrow" not in maps
        assert "sklearn" not in maps
