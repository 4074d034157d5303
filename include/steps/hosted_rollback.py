"""Back to an earlier version where a service serves: one update, guarded as all are, then proof, registry, mail."""

from __future__ import annotations

import time

from include.contracts import Rollback
from include.declaration.limits import limit_rollout
from include.declaration.models import Pipeline
from include.deployment.door import open_target
from include.deployment.left import Left, allow_again, find_left, note_left, refuse_left
from include.deployment.recorded import record_live
from include.deployment.served import rebuild_pointer
from include.deployment.target import Progress
from include.errors import (
    AnswersDiffer,
    NotBlessed,
    RolledBack,
    TerminalError,
    TollgateError,
    TrackingUnavailable,
    TransientError,
)
from include.mail.letters import describe_rollback
from include.mail.outbox import queue_mail
from include.pointer import list_pointers
from include.records import utc_now
from include.settings import Settings
from include.steps.hosted import expect_live, replay_stored
from include.tracking.quick import read_standing
from include.tracking.registry import get_version, promote_champion
from include.tracking.rollbacks import note_rollback

_LOOK_SECONDS = 2.0


def begin_rollback(
    settings: Settings,
    pipeline: Pipeline,
    *,
    by: str,
    who: str,
    reason: str,
    version: str | None,
    connection: object | None = None,
) -> Progress:
    """Ask for the earlier version and return at once. A run's second try finds what its first asked for.

    Raises NothingToGoBackTo, NotBlessed, VersionLeft, TargetBusy while a rollout is under way, and the target's errors.
    """
    target = open_target(settings, pipeline, connection)
    if version is not None:
        refuse_left(settings, pipeline.name, version)
        if not _is_blessed(settings, pipeline.name, version):
            raise NotBlessed(
                f"Version {version} of {pipeline.name} is not blessed in the registry (any more).",
                next_step="Only a blessed version is served; name another one.",
                pipeline=pipeline.name,
                version=version,
            )
    progress = target.roll_back(version or _choose_earlier(settings, pipeline), by, reason)
    left = progress.previous_version
    # After it was asked for: a refusal leaves no mark, and a kill in between finds it under way in the next try.
    if left is not None and find_left(settings, pipeline.name, left) is None:
        note_left(settings, pipeline.name, Left(left, progress.version, who, reason, utc_now()))
    return progress


def finish_rollback(
    settings: Settings,
    pipeline: Pipeline,
    progress: Progress,
    *,
    by: str,
    who: str,
    reason: str,
    connection: object | None = None,
) -> Rollback:
    """Once it is live: replay, record, registry and mail. Raises TargetBusy before, RolledBack when the service took
    even that back; then the version that was to be left is not left."""
    left = progress.previous_version or ""
    try:
        seen = expect_live(settings, pipeline, progress.version, connection)
    except RolledBack:
        allow_again(settings, pipeline.name, left)
        raise
    target = open_target(settings, pipeline, connection)
    known = next(
        (each for each in list_pointers(rebuild_pointer(settings, pipeline.name)) if each.version == progress.version),
        None,
    )
    said = f"{who} rolled back from version {left}: {reason}"
    partition = known.partition if known is not None else ""
    url = target.status().url
    deployment = record_live(
        settings, pipeline.name, target.kind, url, seen, partition, by, said, left=left or None, who=who
    )
    checked, problems = f"{target.kind} says that it serves version {seen.version}", []
    try:
        entry = get_version(settings, pipeline.name, seen.version)
        report = replay_stored(settings, pipeline, entry, target)
        checked = f"{report.rows} stored rows got the answers that they had on the holdout"
    except AnswersDiffer as error:
        problems.append(f"{error.message} It is served all the same: name another version if it should not be.")
    except (TransientError, TerminalError) as error:
        checked += f"; stored rows could not be replayed: {error.message}"
    try:
        note_rollback(settings, pipeline.name, left, seen.version, who, reason)
        promote_champion(settings, pipeline.name, seen.version, said)
    except TollgateError as error:
        problems.append(f"The registry's champion was not moved: {error.message} {error.next_step}")
    rollback = Rollback(
        pipeline=pipeline.name,
        left=left,
        version=seen.version,
        partition=partition,
        who=who,
        by=by,
        reason=reason,
        served_at=deployment.deployed_at,
        checked=checked,
        problems=tuple(problems),
    )
    queue_mail(settings, describe_rollback(settings, pipeline.owner, rollback))
    return rollback


def go_back_and_wait(
    settings: Settings,
    pipeline: Pipeline,
    *,
    by: str,
    who: str,
    reason: str,
    version: str | None,
    connection: object | None = None,
) -> Rollback:
    """All of it at once, for a command: it is in nobody's slot. Raises as its parts do."""
    given = {"by": by, "who": who, "reason": reason}
    progress = begin_rollback(settings, pipeline, **given, version=version, connection=connection)
    deadline = time.monotonic() + limit_rollout(pipeline).total_seconds()
    while True:
        try:
            return finish_rollback(settings, pipeline, progress, **given, connection=connection)
        except TransientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_SECONDS)


def _is_blessed(settings: Settings, pipeline_name: str, version: str) -> bool:
    try:
        return read_standing(settings, pipeline_name, version, seconds=2.0) == "blessed"
    except TrackingUnavailable:
        return True  # it was when it was deployed


def _choose_earlier(settings: Settings, pipeline: Pipeline) -> str | None:
    """The newest version before the present one that nobody left and that is blessed; None leaves it to the target."""
    for each in list_pointers(rebuild_pointer(settings, pipeline.name))[1:]:
        if find_left(settings, pipeline.name, each.version) is None and _is_blessed(
            settings, pipeline.name, each.version
        ):
            return each.version
    return None
