"""The candidate's process: the real serving program on a socket beside the endpoint, with a limit to its memory."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from include.declaration.models import Pipeline
from include.deployment.local.aside import LOG_NAME, read_log, run_program
from include.deployment.local.client import Endpoint, ask
from include.errors import EndpointUnavailable
from include.settings import Settings

_SOCKETS = "candidate-*.sock"


@dataclass(frozen=True)
class Candidate:
    """A running candidate; ``socket`` is its file's name in the endpoint's folder."""

    socket: str
    process: subprocess.Popen[bytes]
    log: Path

    def describe_end(self) -> str | None:
        """How the process ended, or None while it runs."""
        code = self.process.poll()
        if code is None:
            return None
        return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"

    def read_log(self) -> tuple[str, ...]:
        """The last lines that it wrote."""
        return read_log(self.log)


class CandidateBroken(Exception):
    """The candidate ended, or did not get as far as answering."""


@contextlib.contextmanager
def run_candidate(
    settings: Settings, pipeline: Pipeline, version: str, model_dir: Path, folder: Path
) -> Iterator[Candidate]:
    """Run ``version`` until the block is left; it ends with this thread in any case. Call it under the rollout's lock:
    sockets of candidates before it are cleared away."""
    for left in folder.glob(_SOCKETS):
        left.unlink()
    name = f"candidate-{secrets.token_hex(4)}.sock"
    place = ["--uds", str(folder / name)]
    with tempfile.TemporaryDirectory(prefix="tollgate-candidate-") as logs:
        log = Path(logs) / LOG_NAME
        try:
            with run_program(settings, pipeline, version, model_dir, place, log) as process:
                yield Candidate(name, process, log)
        finally:
            (folder / name).unlink(missing_ok=True)


def wait_until_ready(candidate: Candidate, folder: Path, seconds: float) -> None:
    """Return when the candidate has its model. Raises CandidateBroken when it ends, or has none after ``seconds``."""
    deadline = time.monotonic() + seconds
    endpoint = Endpoint("", 0, socket=folder / candidate.socket)
    problem = "it did not start to listen"
    while time.monotonic() < deadline:
        ended = candidate.describe_end()
        if ended:
            raise CandidateBroken(ended)
        try:
            reply = ask(endpoint, "GET", "/ping", seconds=2.0)
        except EndpointUnavailable:
            pass
        else:
            if reply.status == 200:
                return
            if reply.body.get("status") == "broken":
                raise CandidateBroken(str(reply.body.get("reason")))
            problem = f"it was still {reply.body.get('status')}"
        time.sleep(0.05)
    raise CandidateBroken(f"{problem} when its time was over")
