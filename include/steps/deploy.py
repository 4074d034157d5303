"""A blessed version to what customers get: sandbox, rollout, swap, replay, champion."""

from __future__ import annotations

import tempfile
from pathlib import Path

from include.contracts import Deployment, LatencyReport, ModelVersion, RunIdentity, pack
from include.declaration.models import Pipeline
from include.deployment.left import allow_again, describe_left, find_left
from include.deployment.local import latency
from include.deployment.local.deploy import deploy_version, verify_deployment
from include.deployment.local.latency_plot import draw_latency
from include.deployment.local.latency_verdict import raise_if_slow
from include.deployment.local.rollout import roll_out
from include.deployment.local.sandbox import SandboxReport, check_sandbox
from include.deployment.local.traffic import RolloutReport
from include.links import link_mlflow_run
from include.records import list_records, utc_now, write_record
from include.settings import Settings
from include.steps.champion import name_champion
from include.steps.fetch import fetch_model, fetch_predictions
from include.steps.hosted import finish_rollout
from include.tracking.latency import log_latency
from include.tracking.registry import get_challenger, get_champion, set_challenger


def choose_version(
    settings: Settings, pipeline: Pipeline, asked: str | None, offered: list[ModelVersion]
) -> ModelVersion | str:
    """The version to deploy: the one asked for, the newest offered, or the challenger; a sentence when there is none.

    An offer that an already deployed, newer version has overtaken is not deployed, nor one that somebody rolled back
    from; one that a person asks for is.
    """
    if asked:
        # Refuses a version that was never blessed before anything is loaded.
        chosen = set_challenger(settings, pipeline.name, asked)
        allow_again(settings, pipeline.name, asked)
        return chosen
    champion = get_champion(settings, pipeline.name)
    if offered:
        newest = max(offered, key=lambda version: int(version.version))
    else:
        challenger = get_challenger(settings, pipeline.name)
        if challenger is None:
            return "nothing to deploy: no model has been blessed and registered yet"
        newest = challenger
    left = find_left(settings, pipeline.name, newest.version)
    if left is not None:
        return f"{describe_left(left).rstrip('.')}. To deploy it all the same, trigger with version={newest.version}"
    if champion is not None and int(champion.version) > int(newest.version):
        return f"superseded by version {champion.version}, which is already live"
    return newest


def note_not_deployed(
    settings: Settings, pipeline: Pipeline, version: ModelVersion, identity: RunIdentity, reason: str
) -> None:
    """Record why a blessed version did not reach customers, unless this run left a record that says so already."""
    by = f"{identity.dag_id}/{identity.run_id}"
    if _tells_itself(settings, pipeline, version, by):
        return
    facts = {"version": version.version, "candidate_run_id": version.run_id, "reason": reason}
    key = f"{utc_now().replace(':', '')}@{version.version}"
    write_record(settings, pipeline.name, "not_deployed", key, {**facts, "by": by, "run_url": identity.url})


def _tells_itself(settings: Settings, pipeline: Pipeline, version: ModelVersion, by: str) -> bool:
    """Whether the run ``by`` deployed the version, found it too slow, or took it back in its rollout."""
    if any(record["by"] == by for _, record in list_records(settings, pipeline.name, "deployment")):
        return True
    measured = [record for _, record in list_records(settings, pipeline.name, "latency") if record["by"] == by]
    rollouts = [record for _, record in list_records(settings, pipeline.name, "rollout")]
    return bool(measured) and (
        not measured[-1]["passed"]
        or any(
            rollout["outcome"] == "rolled back"
            and rollout["version"] == version.version
            and rollout["recorded_at"] > measured[-1]["recorded_at"]
            for rollout in rollouts
        )
    )


def note_overtaken(
    settings: Settings,
    pipeline: Pipeline,
    offered: list[ModelVersion],
    chosen: ModelVersion | str,
    identity: RunIdentity,
) -> None:
    """Record of each version that was offered and not ``chosen`` why that is."""
    for version in offered:
        if isinstance(chosen, str):
            note_not_deployed(settings, pipeline, version, identity, f"{chosen[:1].upper()}{chosen[1:]}.")
        elif version.version != chosen.version:
            reason = f"Version {chosen.version}, offered with it, is newer."
            note_not_deployed(settings, pipeline, version, identity, reason)


def try_in_sandbox(settings: Settings, pipeline: Pipeline, version: ModelVersion) -> SandboxReport:
    """Load the version in the real serving program, off to the side, and ask it real rows. Raises SandboxFailed."""
    model_dir = fetch_model(settings, pipeline, version)
    predictions = fetch_predictions(settings, pipeline, version)
    return check_sandbox(settings, pipeline, version.version, model_dir, predictions)


def measure_latency(
    settings: Settings, pipeline: Pipeline, version: ModelVersion, identity: RunIdentity
) -> LatencyReport:
    """Measure what the version's answers cost beside the champion's, store that, and judge it. Raises TooSlow."""
    champion = get_champion(settings, pipeline.name) if pipeline.deployment.latency.max_ratio is not None else None
    rival = None
    if champion is not None and champion.version != version.version:
        rival = (champion.version, fetch_model(settings, pipeline, champion))
    measured = latency.measure_latency(
        settings,
        pipeline,
        version.version,
        fetch_model(settings, pipeline, version),
        rival,
        fetch_predictions(settings, pipeline, version),
    )
    report = measured.report
    with tempfile.TemporaryDirectory() as folder:
        plot = Path(folder) / "latency.png"
        draw_latency(plot, report, measured.times)
        log_latency(settings, version, report, measured.times, plot)
    facts = {"candidate_run_id": version.run_id, "by": f"{identity.dag_id}/{identity.run_id}", "run_url": identity.url}
    key = f"{utc_now().replace(':', '')}@{version.version}"
    write_record(settings, pipeline.name, "latency", key, {**pack(report), **facts})
    raise_if_slow(report, link_mlflow_run(settings, version.run_id))
    return report


def shift_traffic(
    settings: Settings, pipeline: Pipeline, version: ModelVersion, identity: RunIdentity, reason: str
) -> RolloutReport:
    """Give the version a growing share of the endpoint's requests, then swap it in; the alias stays for now.

    Raises RolledBack when it fails in production, with the champion answering everything again; see ``roll_out``.
    """
    model_dir = fetch_model(settings, pipeline, version)
    predictions = fetch_predictions(settings, pipeline, version)
    by = f"{identity.dag_id}/{identity.run_id}"
    return roll_out(settings, pipeline, version, model_dir, predictions, by, reason)


def deploy_champion(
    settings: Settings,
    pipeline: Pipeline,
    version: ModelVersion,
    identity: RunIdentity,
    reason: str,
    connection: object | None = None,
) -> Deployment:
    """Swap the endpoint to the version unless its rollout has, replay stored rows through it, then name it champion.
    Where a service serves, it is live already: see ``finish_rollout``.

    Killed anywhere and run again, it ends in the same state. Raises EndpointUnavailable, with the endpoint back on
    what it served before, when the endpoint does not take the version up; VersionLeft and DeploymentStopped when
    somebody rolled back meanwhile.
    """
    if pipeline.deployment.port_offset is None:
        return finish_rollout(settings, pipeline, version, identity, reason, connection)
    model_dir = fetch_model(settings, pipeline, version)
    by = f"{identity.dag_id}/{identity.run_id}"
    deployment = deploy_version(settings, pipeline, version, model_dir, by=by, reason=reason)
    verify_deployment(settings, pipeline, version, fetch_predictions(settings, pipeline, version))
    name_champion(settings, pipeline.name, version.version, reason)
    return deployment
