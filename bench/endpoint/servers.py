"""Starting and stopping the servers, each in a process group of its own on a free port of 127.0.0.1."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.rollout import PROBE_HEADER
from include.settings import PROJECT_ROOT

# MLflow's server imports itself for 15 s on a quiet machine, and several start at once.
_START_SECONDS = 180.0
_LOOK_SECONDS = 0.02
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class Plan:
    """How to start a server: its command and what it needs in the environment, with ``{port}`` for its port."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A started server."""

    name: str
    pid: int
    port: int
    log: Path


@contextlib.contextmanager
def start(plan: Plan, folder: Path) -> Iterator[Running]:
    """Start a server; it and whatever it started are gone at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    port, log = find_port(), folder / f"{plan.name}.log"

    def put_port(text: str) -> str:
        return text.replace("{port}", str(port))

    kept = {n: v for n, v in os.environ.items() if not n.startswith(("TOLLGATE_", "MLFLOW_", "OMP_", "BENTOML_"))}
    # Some start others by name: uvicorn of this environment, not of another.
    path = f"{Path(plan.command[0]).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [put_port(part) for part in plan.command],
            cwd=PROJECT_ROOT,
            env={**kept, "PATH": path, "HOME": str(folder)} | {n: put_port(v) for n, v in plan.env.items()},
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield Running(plan.name, process.pid, port, log)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def find_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(port: int, body: str) -> tuple[int, bytes]:
    """Status and content of one POST to /invocations, marked as no customer's: ours does not capture it."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("POST", "/invocations", body, {"content-type": "application/json", PROBE_HEADER: "bench"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def read_version(port: int) -> dict[str, Any]:
    """What an endpoint of ours says of itself and of what it serves."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/version")
        facts: dict[str, Any] = json.loads(connection.getresponse().read())
        return facts
    finally:
        connection.close()


def wait_for_answer(running: Running, body: str) -> list[float]:
    """Ask until the server answers, and return its predictions. Ends the bench when it does not in time."""
    deadline = time.monotonic() + _START_SECONDS
    status: object = "nothing"
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, content = ask(running.port, body)
            if status == 200:
                return read_predictions(content)
        time.sleep(_LOOK_SECONDS)
    said = running.log.read_text(errors="replace")[-2000:]
    raise SystemExit(f"{running.name} did not answer within {_START_SECONDS:.0f} s (last: {status}):\n{said}")


def read_predictions(content: bytes) -> list[float]:
    """The predictions of an answer in MLflow's shape."""
    return [float(value) for value in json.loads(content)["predictions"]]
