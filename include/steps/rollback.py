"""Back to an earlier version, by a person's hand: customers first, then the proof, the registry and the mail.

The command and the DAG take this same step. Killed anywhere and taken again, or finished by housekeeping, it ends in
the same state with one record and one mail.
"""

from __future__ import annotations

from pathlib import Path

from include.contracts import Rollback
from include.declaration.models import Pipeline
from include.deployment.local.deploy import compare_answers
from include.deployment.local.lock import hold_rollback
from include.deployment.local.rollback import Request, Switched, end_rollback, finish_rollback, roll_back
from include.errors import AnswersDiffer, EndpointUnavailable, TerminalError, TollgateError, TrackingUnavailable
from include.mail.letters import describe_rollback
from include.mail.outbox import queue_mail
from include.pointer import locate_endpoint_folder
from include.settings import Settings
from include.steps.champion import name_champion
from include.steps.fetch import fetch_model, fetch_predictions
from include.steps.hosted_rollback import go_back_and_wait
from include.tracking.quick import read_standing
from include.tracking.registry import get_version
from include.tracking.rollbacks import note_rollback

NO_REASON = "no reason was given"
_LONGEST_REASON = 500
# Another rollback of the same endpoint is over by then, unless the endpoint is down.
_PATIENCE_SECONDS = 20.0


def go_back(
    settings: Settings, pipeline: Pipeline, *, by: str, who: str, reason: str | None, version: str | None
) -> Rollback:
    """Serve the previous version, or the earlier one that is named, whatever else is being deployed.

    ``by`` is the run ("DAG/run") or program that asks, ``who`` the person. It needs the endpoint alone: without MLflow
    the version is served all the same, and the result says what is made up for later. Raises NothingToGoBackTo,
    NotBlessed, VersionLeft and EndpointUnavailable.
    """
    why = shorten_why(reason)
    number = (version or "").strip() or None
    if pipeline.deployment.port_offset is None:
        return go_back_and_wait(settings, pipeline, by=by, who=who, reason=why, version=number)
    request = Request(by, who, why, number)

    def is_blessed(number: str) -> bool:
        try:
            return read_standing(settings, pipeline.name, number, seconds=2.0) == "blessed"
        except TrackingUnavailable:
            return True  # it was when it was deployed

    with hold_rollback(locate_endpoint_folder(settings, pipeline.name), _PATIENCE_SECONDS):
        switched = roll_back(settings, pipeline, request, is_blessed, lambda number: _fetch(settings, pipeline, number))
        return _tell_everybody(settings, pipeline, switched)


def shorten_why(reason: str | None) -> str:
    """A reason as it is kept: one line, not too long; something where nobody gave one."""
    return " ".join((reason or "").split())[:_LONGEST_REASON] or NO_REASON


def finish_begun(settings: Settings, pipeline: Pipeline) -> Rollback | None:
    """Finish a rollback whose process died; None when there is none, or somebody is at it.

    Raises EndpointUnavailable.
    """
    try:
        with hold_rollback(locate_endpoint_folder(settings, pipeline.name), 0.0):
            switched = finish_rollback(settings, pipeline, lambda number: _fetch(settings, pipeline, number))
            return _tell_everybody(settings, pipeline, switched) if switched else None
    except EndpointUnavailable as error:
        if error.url is None:  # of the lock
            return None
        raise


def follow_rollback(settings: Settings, pipeline_name: str, left: str, version: str, who: str, reason: str) -> None:
    """Bring the registry to where customers are: who and why on both versions, then the alias champion.

    Raises TrackingUnavailable; NotBlessed or TrackingConflict when the registry does not let the version be champion,
    DeploymentStopped when another one was deployed since.
    """
    note_rollback(settings, pipeline_name, left, version, who, reason)
    name_champion(settings, pipeline_name, version, f"{who} rolled back from version {left}: {reason}")


def _fetch(settings: Settings, pipeline: Pipeline, number: str) -> Path:
    return fetch_model(settings, pipeline, get_version(settings, pipeline.name, number))


def _tell_everybody(settings: Settings, pipeline: Pipeline, switched: Switched) -> Rollback:
    """What follows once the earlier version is served; none of it takes that back."""
    deployment = switched.deployment
    checked, problems = _check_answers(settings, pipeline, deployment.version)
    try:
        follow_rollback(settings, pipeline.name, switched.left, deployment.version, switched.who, switched.reason)
    except TrackingUnavailable as error:
        problems.append(
            f"The registry's champion is still to be moved to version {deployment.version}: {error.message} "
            "Housekeeping does that within five minutes of MLflow being back; nobody has to."
        )
    except TollgateError as error:
        problems.append(f"The registry's champion was not moved: {error.message} {error.next_step}")
    rollback = Rollback(
        pipeline=pipeline.name,
        left=switched.left,
        version=deployment.version,
        partition=deployment.partition,
        who=switched.who,
        by=switched.by,
        reason=switched.reason,
        served_at=deployment.deployed_at,
        checked=checked,
        problems=tuple(problems),
    )
    queue_mail(settings, describe_rollback(settings, pipeline.owner, rollback))
    end_rollback(settings, pipeline.name)
    return rollback


def _check_answers(settings: Settings, pipeline: Pipeline, number: str) -> tuple[str, list[str]]:
    """How the answers were looked at, and what was wrong with them; the version stays, for a person chose it."""
    said = f"the endpoint says that it serves version {number}"
    try:
        version = get_version(settings, pipeline.name, number)
        report = compare_answers(settings, pipeline, version, fetch_predictions(settings, pipeline, version))
    except (AnswersDiffer, EndpointUnavailable) as error:
        return said, [f"{error.message} It is served all the same: name another VERSION if it should not be."]
    except TrackingUnavailable:
        return f"{said}; stored rows could not be replayed while MLflow is down", []
    except TerminalError as error:
        return f"{said}; stored rows could not be replayed: {error.message}", []
    return f"{report.rows} stored rows got the answers that they had on the holdout", []
