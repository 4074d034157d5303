"""The real serving program off to the side: started on one model directory, never the live one, and always stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from include.declaration.models import Pipeline
from include.deployment.local.client import Endpoint, ask
from include.errors import EndpointUnavailable
from include.settings import Settings

_STOP_SECONDS = 5.0
_LOG_LINES = 15
LOG_NAME = "server.log"
_HOST = "127.0.0.1"


class NotReady(Exception):
    """The server did not get as far as answering. ``broken``: by its own word, so that another try ends the same."""

    def __init__(self, reason: str, *, broken: bool = False) -> None:
        super().__init__(reason)
        self.broken = broken


@dataclass(frozen=True)
class AsideServer:
    """A server of one version in a process of its own; ``folder`` holds its port and its log while it runs."""

    version: str
    process: subprocess.Popen[bytes]
    folder: Path

    def read_log(self) -> tuple[str, ...]:
        """The last lines that it wrote."""
        return read_log(self.folder / LOG_NAME)


@contextlib.contextmanager
def run_aside(settings: Settings, pipeline: Pipeline, version: str, model_dir: Path) -> Iterator[AsideServer]:
    """Start the serving program on ``model_dir`` at a free port of this machine; see ``run_program``."""
    with tempfile.TemporaryDirectory(prefix="tollgate-aside-") as scratch:
        folder = Path(scratch)
        place = ["--host", _HOST, "--port", "0", "--port-file", str(folder / "port")]
        with run_program(settings, pipeline, version, model_dir, place, folder / LOG_NAME) as process:
            yield AsideServer(version, process, folder)


@contextlib.contextmanager
def run_program(
    settings: Settings, pipeline: Pipeline, version: str, model_dir: Path, place: list[str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """The serving program with one worker on ``model_dir``; ``place`` is its arguments that say where it listens.

    It has the memory that the declaration gives a candidate, so that one which eats memory ends alone. It is stopped
    whatever happens, with all that it started, and ends with this thread even when the process is killed.
    """
    command = [sys.executable, "-m", "include.serving", "--pipeline", pipeline.name, *place]
    command += ["--memory-mb", str(round(pipeline.deployment.rollout.candidate_memory_mb))]
    command += ["--model-dir", str(model_dir), "--model-version", version]
    command += ["--parent", str(os.getpid()), "--workers", "1"]
    with log.open("wb") as out:
        # A group of its own: stopping it reaches whatever it started, and a Ctrl-C meant for us does not.
        process = subprocess.Popen(
            command,
            cwd=settings.project_root,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop_group(process)


def read_log(log: Path) -> tuple[str, ...]:
    """The last lines of a program's log."""
    return tuple(log.read_text(errors="replace").splitlines()[-_LOG_LINES:]) if log.is_file() else ()


def wait_until_ready(settings: Settings, server: AsideServer, deadline: float) -> Endpoint:
    """Where the server listens, once it is ready to answer. Raises NotReady, at the latest at ``deadline``."""
    problem = "it did not start to listen"
    port_file = server.folder / "port"
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise NotReady(f"it ended with exit code {server.process.returncode}")
        if port_file.is_file():
            endpoint = Endpoint(_HOST, int(port_file.read_text()), settings.endpoint_token)
            try:
                reply = ask(endpoint, "GET", "/ping", seconds=min(5.0, seconds_left(deadline)))
            except EndpointUnavailable as error:
                problem = error.message
            else:
                if reply.status == 200:
                    return endpoint
                if reply.body.get("status") == "broken":
                    raise NotReady(str(reply.body.get("reason")), broken=True)
                problem = f"it was still {reply.body.get('status')}"
        time.sleep(0.05)
    raise NotReady(f"{problem} when its time was over")


def seconds_left(deadline: float) -> float:
    """Seconds until ``deadline`` (monotonic); never none, so that a wait can still see what is there."""
    return max(deadline - time.monotonic(), 0.05)


def _stop_group(server: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_STOP_SECONDS)
            # The leader is gone; whatever is left of its group goes now.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            return
