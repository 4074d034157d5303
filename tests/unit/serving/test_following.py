"""Following the pointer: swaps under load, pointers that cannot be followed, kills in the middle."""

from __future__ import annotations

import concurrent.futures
import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from include.declaration import Pipeline
from include.pointer import locate_pointer
from include.scoring.scorer import Scorer
from tests.unit.served_models import Server, make_requests, point_at, save_compiled, save_model, wait_for
from tests.unit.serving.steps import ROW, follow


def test_nothing_deployed_yet_is_said_and_the_first_pointer_is_taken_up(
    tmp_path: Path, folder: Path, pipeline: Pipeline, scorer: Scorer
) -> None:
    with follow(tmp_path) as server:
        wait_for(lambda: server.ask("GET", "/ping")[1]["status"] == "no model deployed yet")
        assert server.ask("GET", "/ping")[0] == 503
        status, body = server.ask("POST", "/invocations", {"instances": [ROW]})
        assert (status, body["error_code"]) == (503, "NOT_READY")
        save_model(pipeline, scorer, folder / "models" / "1")
        pointer = point_at(folder, "1")
        version = server.wait_ready("1")
        assert version["swapped_at"] == pointer.swapped_at
        assert version["model_dir"] == str(folder / "models" / "1")


def test_ten_swaps_under_load_fail_no_request_and_each_answer_is_its_versions(
    tmp_path: Path, folder: Path, pipeline: Pipeline, scorer: Scorer
) -> None:
    from tests.unit.served_models import fit_scorer

    other = fit_scorer(pipeline, seed=2)
    requests = make_requests(pipeline, 5, seed=3)
    right = {"even": scorer.predict(requests).tolist(), "odd": other.predict(requests).tolist()}
    body = requests.to_csv(index=False).encode()
    for number in range(11):
        save_model(pipeline, other if number % 2 else scorer, folder / "models" / str(number))
    pointer = point_at(folder, "0")
    seen: Counter[str] = Counter()
    stop = threading.Event()

    def load(server: Server) -> list[Any]:
        failures = []
        while not stop.is_set():
            try:
                status, answer = server.ask("POST", "/invocations", body, "text/csv")
            except Exception as error:
                failures.append(repr(error))
                continue
            expected = right["odd" if int(answer.get("model_version", 0)) % 2 else "even"]
            if status != 200 or not np.allclose(answer["predictions"], expected, rtol=0, atol=1e-12):
                failures.append((status, answer))
            else:
                seen[answer["model_version"]] += 1
        return failures

    with follow(tmp_path) as server, concurrent.futures.ThreadPoolExecutor(4) as pool:
        server.wait_ready("0")
        running = [pool.submit(load, server) for _ in range(4)]
        for number in range(1, 11):
            pointer = point_at(folder, str(number), pointer)
            server.wait_ready(str(number))
        stop.set()
        failures = [failure for future in running for failure in future.result()]
        assert server.ask("GET", "/version")[1]["previous"]["version"] == "9"
    assert failures == []
    assert seen.total() > 20
    assert len(seen) >= 8


def test_a_pointer_that_is_unusable_keeps_the_old_version_and_is_reported(
    tmp_path: Path, folder: Path, pipeline: Pipeline, scorer: Scorer
) -> None:
    save_model(pipeline, scorer, folder / "models" / "1")
    good = point_at(folder, "1")
    with follow(tmp_path) as server:
        server.wait_ready("1")

        def read_problem() -> Any:
            return server.ask("GET", "/version")[1]["pointer_error"]

        locate_pointer(folder).write_text("{ not a pointer")
        assert wait_for(read_problem)["version"] is None
        assert server.ask("GET", "/ping") == (200, {"status": "ready", "model_version": "1"})
        point_at(folder, "2", good)
        problem = wait_for(lambda: (read_problem() or {}).get("version") == "2" and read_problem())
        assert "models/2" in problem["message"]
        assert server.ask("POST", "/invocations", {"instances": [ROW]})[1]["model_version"] == "1"
        locate_pointer(folder).unlink()
        wait_for(lambda: "gone" in read_problem()["message"])
        point_at(folder, "1")
        wait_for(lambda: read_problem() is None)
        assert server.ask("GET", "/version")[1]["version"] == "1"


def test_a_broken_first_version_is_told_apart_from_starting(tmp_path: Path, folder: Path) -> None:
    (folder / "models" / "1").mkdir(parents=True)
    point_at(folder, "1")
    with follow(tmp_path) as server:
        body = wait_for(lambda: (answer := server.ask("GET", "/ping")[1])["status"] == "broken" and answer)
        assert "MLmodel" in body["reason"]


def test_a_restart_on_a_broken_version_serves_the_one_before_it(
    tmp_path: Path, folder: Path, pipeline: Pipeline, scorer: Scorer
) -> None:
    save_compiled(pipeline, scorer, folder / "models" / "1")
    point_at(folder, "2", point_at(folder, "1"))
    with follow(tmp_path) as server:
        version = server.wait_ready("1")
        assert version["pointer_error"]["version"] == "2"
        assert server.ask("GET", "/ping")[0] == 200


def test_a_server_killed_in_the_middle_of_a_swap_serves_the_pointers_version_when_restarted(
    tmp_path: Path, folder: Path, pipeline: Pipeline, scorer: Scorer
) -> None:
    for version in ("1", "2"):
        save_compiled(pipeline, scorer, folder / "models" / version)
    pointer = point_at(folder, "1")
    with follow(tmp_path) as server:
        server.wait_ready("1")
        point_at(folder, "2", pointer)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait(10)
    with follow(tmp_path) as server:
        assert server.wait_ready("2")["pointer_error"] is None
