"""The serving process itself: how it stops, with whom it ends, and what it never imports."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.declaration import Pipeline
from include.scoring.scorer import Scorer
from include.serving import server as server_module
from include.serving.follow import Endpoint
from include.serving.limits import Limits
from include.serving.server import bind_port
from include.settings import PROJECT_ROOT
from tests.unit.served_models import Server, ask, save_model, serve, wait_for
from tests.unit.serving.local_server import read_all
from tests.unit.serving.steps import ROW


def refuses_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_sigterm_finishes_the_requests_under_way_and_exits_with_zero(
    tmp_path: Path, pipeline: Pipeline, scorer: Scorer
) -> None:
    model = save_model(pipeline, scorer, tmp_path / "model")
    with serve(tmp_path / "run", "--model-dir", str(model)) as server:
        server.wait_ready()
        body = json.dumps({"dataframe_records": [ROW] * 20_000}).encode()
        head = f"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as caller:
            caller.sendall(head.encode() + b"\r\n\r\n" + body[:-1])
            wait_for(lambda: server.read_metrics()["tollgate_requests_in_flight",] == 1)
            server.process.terminate()
            wait_for(lambda: refuses_connections(server.port))
            # What was begun before the signal may be sent, scored and answered after it.
            caller.sendall(body[-1:])
            answer = read_all(caller)
        assert server.process.wait(30) == 0
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert len(json.loads(answer.partition(b"\r\n\r\n")[2])["predictions"]) == 20_000
        assert '"stopped"' in server.log.read_text()


def test_a_taken_port_is_one_clear_message_and_exit_code_78(server: Server) -> None:
    command = [sys.executable, "-m", "include.serving", "--pipeline", "parcels", "--port", str(server.port)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert f"port {server.port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path, pipeline: Pipeline, scorer: Scorer) -> None:
    """As a sandbox must: its task may be killed with SIGKILL, which runs no cleaning up."""
    model = save_model(pipeline, scorer, tmp_path / "model")
    port_file = tmp_path / "port"
    starter = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'include.serving', '--model-dir', sys.argv[1], '--port', '0',"
        " '--port-file', sys.argv[2], '--host', '127.0.0.1', '--parent', str(os.getpid())], start_new_session=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", starter, str(model), str(port_file)], cwd=PROJECT_ROOT)
    try:
        port = int(wait_for(lambda: port_file.is_file() and port_file.read_text()))
        assert wait_for(lambda: ask(port, "GET", "/ping"))
    finally:
        parent.kill()
        parent.wait(10)

    assert wait_for(lambda: refuses_connections(port), 10)


def test_the_serving_process_imports_no_mlflow_and_no_gate(server: Server) -> None:
    maps = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "sklearn" in maps
    code = "import sys, include.serving.__main__, include.scoring.scorer; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "False"


async def answer_nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that is never asked."""


def test_the_event_loop_waits_for_a_thread_no_longer_than_a_small_answer_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[float] = []
    stub = SimpleNamespace(run=lambda sockets: seen.append(sys.getswitchinterval()))
    monkeypatch.setattr(server_module, "build_server", lambda *_: stub)
    before, handlers = sys.getswitchinterval(), {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        endpoint = Endpoint("made_up")
        with bind_port("127.0.0.1", 0) as listener:
            server_module.run_server(answer_nothing, listener, Limits(), endpoint.counters)
    finally:
        sys.setswitchinterval(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert seen == [pytest.approx(0.0005)]
