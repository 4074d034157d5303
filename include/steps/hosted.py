"""A blessed version to customers of a service that runs the rollout itself: asked for, followed, proved, recorded.

Each step is one quick look or request, so that nobody's worker slot waits with it; what waits is a trigger. The
service's own word is not enough: live is what is compared with what was asked for, and it answers stored rows before
it is named champion.
"""

from __future__ import annotations

from include.contracts import Deployment, ModelVersion, RunIdentity
from include.declaration.models import Pipeline
from include.deployment.door import open_target
from include.deployment.left import refuse_left
from include.deployment.local.contenders import read_contender
from include.deployment.local.replay import ReplayReport, clip_scores, read_stored_rows, replay_predictions
from include.deployment.recorded import record_live
from include.deployment.target import DeploymentTarget, Progress, Release
from include.errors import AnswersDiffer, NothingToGoBackTo, RolledBack, TargetBusy, TollgateError
from include.records import utc_now, write_record
from include.settings import Settings
from include.steps.champion import name_hosted_champion
from include.steps.fetch import fetch_model, fetch_predictions

_REPLAY_ROWS = 500
_REPLAY_SECONDS = 120.0


def begin_rollout(
    settings: Settings,
    pipeline: Pipeline,
    version: ModelVersion,
    identity: RunIdentity,
    reason: str,
    connection: object | None = None,
) -> Progress:
    """Ask the pipeline's service for the version and return at once. Raises VersionLeft, RolledBack, and the target's
    own errors."""
    refuse_left(settings, pipeline.name, version.version)
    release = Release(
        version,
        fetch_model(settings, pipeline, version),
        fetch_predictions(settings, pipeline, version),
        f"{identity.dag_id}/{identity.run_id}",
        reason,
    )
    target = open_target(settings, pipeline, connection)
    try:
        return target.deploy(release)
    except RolledBack as error:
        _note_rollback(settings, pipeline, version.version, error)
        raise


def look_at_rollout(settings: Settings, pipeline: Pipeline, version: str, connection: object | None = None) -> Progress:
    """How far the service is, in one look. Raises RolledBack, written down as every rollout's end is, when it took the
    version back; the alias champion was never moved."""
    try:
        return open_target(settings, pipeline, connection).check(version)
    except RolledBack as error:
        _note_rollback(settings, pipeline, version, error)
        raise


def expect_live(settings: Settings, pipeline: Pipeline, version: str, connection: object | None = None) -> Progress:
    """The same look, once it should be over. Raises TargetBusy while the version is not live yet."""
    progress = look_at_rollout(settings, pipeline, version, connection)
    if progress.state != "live":
        raise TargetBusy(
            f"Version {version} is not live yet: {progress.detail}.",
            next_step="It is tried again.",
            target=pipeline.deployment.target.kind,
            endpoint=pipeline.name,
            state=progress.state,
        )
    return progress


def finish_rollout(
    settings: Settings,
    pipeline: Pipeline,
    version: ModelVersion,
    identity: RunIdentity,
    reason: str,
    connection: object | None = None,
) -> Deployment:
    """Replay stored rows through the live version, record it, and name it champion.

    Raises TargetBusy while it is not live yet, RolledBack when it is not any more, and AnswersDiffer, with the version
    before asked for again, when an answer is not the stored one.
    """
    progress = expect_live(settings, pipeline, version.version, connection)
    target = open_target(settings, pipeline, connection)
    by = f"{identity.dag_id}/{identity.run_id}"
    try:
        replay_stored(settings, pipeline, version, target)
    except AnswersDiffer as error:
        told = _take_back(target, by, error.message)
        raise AnswersDiffer(f"{error.message} {told}", next_step=error.next_step, **error.facts) from error
    url = target.status().url
    deployment = record_live(settings, pipeline.name, target.kind, url, progress, version.partition, by, reason)
    name_hosted_champion(settings, pipeline, version.version, reason, target)
    return deployment


def replay_stored(
    settings: Settings, pipeline: Pipeline, version: ModelVersion, target: DeploymentTarget
) -> ReplayReport:
    """Compare up to 500 answers of the live version with the holdout's scores. Raises AnswersDiffer."""
    stored = read_stored_rows(pipeline, fetch_predictions(settings, pipeline, version), _REPLAY_ROWS)
    metadata = read_contender(version.version, fetch_model(settings, pipeline, version)).metadata
    stored = clip_scores(stored, list(metadata.get("prediction_rules") or ()))
    return replay_predictions(target.predict, version.version, stored, _REPLAY_SECONDS)


def _take_back(target: DeploymentTarget, by: str, problem: str) -> str:
    """Ask for the version before; returns a sentence."""
    try:
        back = target.roll_back(None, f"{by}/taken back", problem)
    except NothingToGoBackTo:
        return "It is the first one and stays: nothing was before it."
    except TollgateError as error:
        return f"It could not be taken back: {error.message}"
    return f"Version {back.version} was asked for again."


def _note_rollback(settings: Settings, pipeline: Pipeline, version: str, error: RolledBack) -> None:
    """One record for each rollout, whoever notices it how often."""
    began = str(error.facts.get("asked_at") or utc_now())
    facts = {
        "version": version,
        "champion": error.facts.get("champion"),
        "outcome": "rolled back",
        "reason": error.message,
        "stage": error.facts.get("stage"),
        "started_at": began,
    }
    write_record(settings, pipeline.name, "rollout", f"{began.replace(':', '')}@{version}", facts)
