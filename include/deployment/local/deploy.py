"""A version to what customers get: copy, swap, record; and back to the one before."""

from __future__ import annotations

from pathlib import Path

import msgspec

from include.contracts import Deployment, ModelVersion, pack
from include.declaration.models import Pipeline
from include.deployment.left import describe_left, find_left, refuse_left
from include.deployment.local.client import Endpoint
from include.deployment.local.lock import give_way, hold_endpoint
from include.deployment.local.replay import ReplayReport, clip_scores, read_stored_rows, replay_rows
from include.deployment.local.store import keep_model, prune_models
from include.deployment.local.switch import (
    ask_version,
    locate_endpoint,
    serves,
    switch_back,
    switch_endpoint,
    withdraw_version,
)
from include.errors import AnswersDiffer, EndpointUnavailable, PointerInvalid, TerminalError
from include.pointer import Pointer, locate_endpoint_folder, read_pointer
from include.records import read_record, utc_now, write_record
from include.settings import Settings

_REPLAY_ROWS = 500
_REPLAY_SECONDS = 30.0


def deploy_version(
    settings: Settings, pipeline: Pipeline, version: ModelVersion, model_dir: Path, by: str, reason: str
) -> Deployment:
    """Make the pipeline's endpoint serve ``version`` from a copy of ``model_dir``; one deployment at a time.

    Killed anywhere and run again, it ends in the same state; a version that is already served is not swapped again.
    Raises EndpointUnavailable, with the previous pointer in place, when the endpoint does not take it up; VersionLeft
    for a version that was rolled back from, DeploymentStopped while somebody rolls back.
    """
    folder = locate_endpoint_folder(settings, pipeline.name)
    with hold_endpoint(folder, 2 * pipeline.deployment.swap_seconds):
        give_way(folder, version.version)
        refuse_left(settings, pipeline.name, version.version)
        kept = keep_model(folder, version.version, model_dir)
        current = read_sound_pointer(folder)
        if current is not None and (current.version, current.model_dir) == (version.version, kept):
            # Already the pointer: deployed before, or by a try that was killed before it saw the result.
            pointer = current
        else:
            pointer = Pointer(version.version, kept, version.partition, utc_now(), by, reason, current)
        return switch_and_record(settings, pipeline, folder, pointer)


def verify_deployment(
    settings: Settings, pipeline: Pipeline, version: ModelVersion, holdout_predictions: str
) -> ReplayReport:
    """Replay up to 500 stored rows through the live endpoint and compare the answers with the holdout's scores.

    Raises AnswersDiffer when one differs, with the endpoint back on the version before, or on none when this is the
    first; EndpointUnavailable when it does not answer.
    """
    try:
        return compare_answers(settings, pipeline, version, holdout_predictions)
    except AnswersDiffer as error:
        outcome = _take_back(settings, pipeline, version.version, error.message)
        raise AnswersDiffer(f"{error.message} {outcome}", next_step=error.next_step, **error.facts) from error


def compare_answers(
    settings: Settings, pipeline: Pipeline, version: ModelVersion, holdout_predictions: str
) -> ReplayReport:
    """The same comparison, without a consequence. Raises AnswersDiffer, EndpointUnavailable."""
    stored = read_stored_rows(pipeline, holdout_predictions, _REPLAY_ROWS)
    endpoint = locate_endpoint(settings, pipeline)
    stored = clip_scores(stored, ask_version(endpoint)["prediction_rules"])
    return replay_rows(endpoint, version.version, stored, every_format=False, seconds=_REPLAY_SECONDS)


def _take_back(settings: Settings, pipeline: Pipeline, version: str, problem: str) -> str:
    """End the serving of ``version``; returns a sentence that says what is served instead."""
    folder = locate_endpoint_folder(settings, pipeline.name)
    pointer = read_pointer(folder)
    if pointer is None or pointer.version != version:
        left = find_left(settings, pipeline.name, version)
        return describe_left(left) if left else "Another deployment has replaced it meanwhile."
    if pointer.previous is not None:
        back = rollback_to_previous(settings, pipeline, "tollgate", f"version {version}: {problem}")
        return f"Version {back.version} is served again."
    seconds = pipeline.deployment.swap_seconds
    with hold_endpoint(folder, 2 * seconds):
        doubt = withdraw_version(locate_endpoint(settings, pipeline), folder, version, problem, seconds)
        name = name_record(pointer)
        record = read_record(settings, pipeline.name, "deployment", name) or {}
        write_record(settings, pipeline.name, "deployment", name, {**record, "withdrawn_because": problem})
    told = "It was the first one, so it was withdrawn and the endpoint serves nothing"
    return f"{told}." if not doubt else f"{told} as soon as it follows: {doubt.rstrip('.')}."


def rollback_to_previous(settings: Settings, pipeline: Pipeline, by: str, reason: str) -> Deployment:
    """Serve the version that was served before the present one. A second call goes back one further.

    Raises TerminalError when there is none, EndpointUnavailable when the endpoint does not take it up.
    """
    folder = locate_endpoint_folder(settings, pipeline.name)
    with hold_endpoint(folder, 2 * pipeline.deployment.swap_seconds):
        current = read_pointer(folder)
        if current is None or current.previous is None:
            raise TerminalError(
                f"The endpoint of {pipeline.name} has no earlier version to go back to.",
                next_step="Deploy the version that you want by its number.",
                pipeline=pipeline.name,
            )
        earlier = current.previous
        # The version that we leave is dropped from the chain, so that going back twice does not come back to it.
        pointer = msgspec.structs.replace(earlier, swapped_at=utc_now(), by=by, reason=reason)
        return switch_and_record(settings, pipeline, folder, pointer, left=current.version)


def switch_and_record(
    settings: Settings,
    pipeline: Pipeline,
    folder: Path,
    pointer: Pointer,
    left: str | None = None,
    back_from: Pointer | None = None,
    who: str | None = None,
) -> Deployment:
    """Have the endpoint serve ``pointer`` and record it once; call it under the endpoint's lock.

    ``left`` is the version that is gone back from. When a person ``who`` asked for that, ``back_from`` is its pointer:
    it comes back only when the endpoint refuses the earlier version. Raises EndpointUnavailable.
    """
    endpoint = locate_endpoint(settings, pipeline)
    current = read_sound_pointer(folder)
    seconds = pipeline.deployment.swap_seconds
    if current != pointer or not _is_served(endpoint, folder, pointer):
        before = current
        if current == pointer and not _is_recorded(settings, pipeline.name, pointer):
            # Written by a try that was killed before it saw the result: what counts as before is the one before it.
            before = pointer.previous
        if back_from is not None:
            switch_back(endpoint, folder, pointer, back_from, seconds)
        else:
            switch_endpoint(endpoint, folder, pointer, before, seconds)
    deployment = Deployment(
        pipeline=pipeline.name,
        target=pipeline.deployment.target.kind,
        version=pointer.version,
        previous_version=left or (pointer.previous.version if pointer.previous else None),
        partition=pointer.partition,
        endpoint_url=endpoint.url,
        deployed_at=pointer.swapped_at,
        reason=pointer.reason,
    )
    if not _is_recorded(settings, pipeline.name, pointer):
        facts = {"by": pointer.by, "model_dir": pointer.model_dir, "rolled_back_from": left, "who": who}
        write_record(settings, pipeline.name, "deployment", name_record(pointer), {**pack(deployment), **facts})
    prune_models(folder, pointer)
    return deployment


def _is_served(endpoint: Endpoint, folder: Path, pointer: Pointer) -> bool:
    """Whether the process already answers with what ``pointer`` names."""
    try:
        return serves(ask_version(endpoint), folder, pointer)
    except EndpointUnavailable:
        return False


def name_record(pointer: Pointer) -> str:
    """One record per swap: the same key when a killed deployment is run again."""
    return f"{pointer.swapped_at.replace(':', '')}@{pointer.version}"


def _is_recorded(settings: Settings, pipeline_name: str, pointer: Pointer) -> bool:
    """Whether the endpoint was seen to serve ``pointer``: the record is written right after that."""
    return read_record(settings, pipeline_name, "deployment", name_record(pointer)) is not None


def read_sound_pointer(folder: Path) -> Pointer | None:
    """The pointer, or None when there is none or it is damaged: a deployment mends that by writing a new one."""
    try:
        return read_pointer(folder)
    except PointerInvalid:
        return None
