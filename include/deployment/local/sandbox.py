"""A candidate in the real serving program, off to the side: real rows, a wrong request, one deadline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from include.declaration.models import Pipeline
from include.deployment.local.aside import AsideServer, NotReady, run_aside, seconds_left, wait_until_ready
from include.deployment.local.replay import check_refusal, clip_scores, read_stored_rows, replay_rows
from include.deployment.local.switch import ask_version
from include.errors import AnswersDiffer, EndpointUnavailable, SandboxFailed
from include.settings import Settings


@dataclass(frozen=True)
class SandboxReport:
    """What the sandbox showed: ``rows`` stored rows in ``requests`` requests, their largest difference from the
    stored scores, the seconds until the server was ready and those of the whole check."""

    version: str
    rows: int
    requests: int
    max_difference: float
    start_seconds: float
    seconds: float


def check_sandbox(
    settings: Settings, pipeline: Pipeline, version: str, model_dir: Path, holdout_predictions: str
) -> SandboxReport:
    """Start the serving program on ``model_dir`` and ask it ``sandbox_rows`` stored rows in every format.

    The server is stopped whatever happens, and ends with this process even when that is killed. Raises SandboxFailed
    with the server's last log lines when it does not get ready, or does not answer as expected, within
    ``sandbox_seconds``.
    """
    started = time.monotonic()
    deadline = started + pipeline.deployment.sandbox_seconds
    stored = read_stored_rows(pipeline, holdout_predictions, pipeline.deployment.sandbox_rows)
    with run_aside(settings, pipeline, version, model_dir) as server:
        try:
            endpoint = wait_until_ready(settings, server, deadline)
            ready = time.monotonic()
            stored = clip_scores(stored, ask_version(endpoint, seconds_left(deadline))["prediction_rules"])
            replay = replay_rows(endpoint, version, stored, every_format=True, seconds=seconds_left(deadline))
            check_refusal(endpoint, version, stored, seconds_left(deadline))
        except (AnswersDiffer, EndpointUnavailable, NotReady) as error:
            raise _fail(server, getattr(error, "reason", None) or str(error)) from error
    seconds = time.monotonic() - started
    return SandboxReport(version, replay.rows, replay.requests, replay.max_difference, ready - started, seconds)


def _fail(server: AsideServer, reason: str) -> SandboxFailed:
    lines = server.read_log()
    shown = "\n".join(lines) or "(it wrote nothing)"
    return SandboxFailed(
        f"Version {server.version} failed in the sandbox: {reason.rstrip('.')}. The server's last lines:\n{shown}\n",
        next_step="Nothing was deployed. Mend the cause and deploy again, or raise deployment.sandbox_seconds.",
        version=server.version,
        reason=reason,
        log=lines,
    )
