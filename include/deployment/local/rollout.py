"""The guarded rollout: a candidate beside the champion, with a growing share of the requests, judged all the time.

The candidate has a process of its own. The champion's workers give it its share and answer themselves where it fails,
so what happens here costs no customer an answer: it decides who answers, and whether the candidate becomes champion.
"""

from __future__ import annotations

import time
from pathlib import Path

from include.contracts import ModelVersion
from include.declaration.models import Pipeline
from include.deployment.local.candidate import run_candidate, wait_until_ready
from include.deployment.local.client import Endpoint
from include.deployment.local.deploy import deploy_version, verify_deployment
from include.deployment.local.lock import hold_rollout
from include.deployment.local.probes import send_probes
from include.deployment.local.replay import read_stored_rows
from include.deployment.local.stages import plan_stages
from include.deployment.local.store import name_model
from include.deployment.local.switch import ask_version, locate_endpoint, serves
from include.deployment.local.traffic import RolloutReport, TrafficShift
from include.errors import EndpointUnavailable, PointerInvalid
from include.pointer import Pointer, locate_endpoint_folder, read_pointer
from include.rollout import remove_rollout
from include.settings import Settings

_POLL_SECONDS = 0.1
_PROBE_ROWS = 500


def roll_out(
    settings: Settings,
    pipeline: Pipeline,
    version: ModelVersion,
    model_dir: Path,
    holdout_predictions: str,
    by: str,
    reason: str,
) -> RolloutReport:
    """Shift the endpoint's requests to ``version`` stage by stage, then swap it in and replay stored rows through it.

    Killed anywhere and run again, it begins anew beside the same champion, or finds its version promoted. Raises
    RolledBack when a criterion of the declaration is met, RolloutInterrupted when somebody else ended the rollout, and
    EndpointUnavailable when the endpoint does not answer; in each case the champion serves all requests again.
    """
    folder = locate_endpoint_folder(settings, pipeline.name)
    endpoint = locate_endpoint(settings, pipeline)
    with hold_rollout(folder, 2 * pipeline.deployment.swap_seconds):
        remove_rollout(folder)  # of a controller that was killed
        champion = _find_champion(endpoint, folder, version.version, pipeline.deployment.swap_seconds)
        if champion is None:
            return RolloutReport(version.version, None, "not needed", "the endpoint serves nothing yet")
        if (champion.version, champion.model_dir) == (version.version, name_model(version.version, model_dir)):
            return RolloutReport(version.version, version.version, "not needed", "it is served already")
        rollout = TrafficShift(settings, pipeline, version.version, endpoint, folder, champion)
        stored = read_stored_rows(pipeline, holdout_predictions, _PROBE_ROWS)
        declared = pipeline.deployment.rollout
        with (
            run_candidate(settings, pipeline, version.version, model_dir, folder) as candidate,
            rollout.record(candidate),
        ):
            wait_until_ready(candidate, folder, pipeline.deployment.sandbox_seconds)
            probe_seconds = 2 * declared.candidate_deadline_ms / 1e3 + settings.endpoint_seconds
            with send_probes(endpoint, rollout.id, stored, declared.probe_requests_per_second, probe_seconds):
                for stage in plan_stages(declared):
                    rollout.run_stage(stage, candidate)
            with rollout.keep_renewed():
                deploy_version(settings, pipeline, version, model_dir, by, reason)
            verify_deployment(settings, pipeline, version, holdout_predictions)
        return rollout.report


def _find_champion(endpoint: Endpoint, folder: Path, version: str, seconds: float) -> Pointer | None:
    """What the endpoint serves and is told to serve, or None when it serves nothing. Raises EndpointUnavailable."""
    deadline = time.monotonic() + seconds
    while True:
        problem = "it does not serve what its pointer names"
        try:
            answer = ask_version(endpoint)
            pointer = read_pointer(folder)
            if pointer is None or (answer["version"] is None and answer["state"] != "starting"):
                return None
            if serves(answer, folder, pointer):
                return pointer
        except PointerInvalid:
            return None  # mended by the deployment, which writes a sound one
        except EndpointUnavailable as error:
            problem = error.message
        if time.monotonic() > deadline:
            raise EndpointUnavailable(
                f"The rollout of version {version} did not begin: {problem.rstrip('.')}.",
                next_step="See the endpoint's log (make logs) and that it runs (make status); then deploy again.",
                url=endpoint.url,
                version=version,
            )
        time.sleep(_POLL_SECONDS)
