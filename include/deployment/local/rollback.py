"""Back to an earlier version because a person asks for it, at once and exactly once.

What is to be done is written to ``rollback.json`` first and removed by the caller when all of it is done. Whoever comes
after a kill finds the file and does the rest, so nothing is left half done and nothing is done twice. Everything here
is called while ``hold_rollback`` is held; the endpoint's own lock is taken for the switch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from include.contracts import Deployment, unpack
from include.declaration.models import Pipeline
from include.deployment.left import Left, allow_again, find_left, note_left, refuse_left
from include.deployment.local.deploy import read_sound_pointer, switch_and_record
from include.deployment.local.lock import hold_endpoint
from include.deployment.local.store import is_whole, keep_model
from include.deployment.served import list_served, rebuild_pointer
from include.errors import EndpointUnavailable, NotBlessed, NothingToGoBackTo
from include.pointer import Pointer, list_pointers, locate_endpoint_folder, locate_model, read_pointer
from include.records import list_records, sync_path, utc_now, write_file_atomically
from include.rollout import remove_rollout
from include.settings import Settings


@dataclass(frozen=True)
class Request:
    """``by`` is the program or run that asks, ``who`` the person, ``version`` the one to serve; None: the previous."""

    by: str
    who: str
    reason: str
    version: str | None = None


class Intent(msgspec.Struct, frozen=True):
    """A rollback that was begun: the pointer that is left, and the one to be written."""

    who: str
    reason: str
    left: Pointer
    pointer: Pointer


@dataclass(frozen=True)
class Switched:
    """The earlier version is served; the rest is what was asked, perhaps by somebody whose rollback was finished."""

    deployment: Deployment
    left: str
    by: str
    who: str
    reason: str


IsBlessed = Callable[[str], bool]
Fetch = Callable[[str], Path]


def roll_back(
    settings: Settings, pipeline: Pipeline, request: Request, is_blessed: IsBlessed, fetch: Fetch
) -> Switched:
    """Serve the earlier version. A run's second try returns what its first did; a rollback that was begun is finished.

    ``is_blessed`` judges a version number, ``fetch`` brings its model where the endpoint's own copy is gone. Raises
    NothingToGoBackTo, NotBlessed, VersionLeft, and EndpointUnavailable as ``switch_back`` does.
    """
    folder = locate_endpoint_folder(settings, pipeline.name)
    remove_rollout(folder)  # its controller sees that and ends
    seen = read_sound_pointer(folder)
    with hold_endpoint(folder, 2 * pipeline.deployment.swap_seconds):
        finished = _finish(settings, pipeline, folder, fetch)
        if finished is not None and request.version in (None, finished.deployment.version):
            return finished
        done = _find_done(settings, pipeline.name, request.by)
        if done is not None:
            return done
        current = read_sound_pointer(folder) or rebuild_pointer(settings, pipeline.name)
        if current is None:
            raise _refuse(pipeline, "serves nothing yet", "Deploy a version first")
        left, earlier = current, None
        if seen is not None and seen.previous is not None and seen.previous.version == current.version != seen.version:
            # A deployment gave way to us: its version was already the pointer when the person asked.
            left = seen
            earlier = current if request.version in (None, current.version) else None
        earlier = earlier or _choose_earlier(settings, pipeline, current, request.version, is_blessed)
        reason = f"{request.who} rolled back from version {left.version}: {request.reason}"
        pointer = msgspec.structs.replace(earlier, swapped_at=utc_now(), by=request.by, reason=reason)
        intent = Intent(request.who, request.reason, left, pointer)
        write_file_atomically(_locate_intent(folder), msgspec.json.encode(intent))
        return _carry_out(settings, pipeline, folder, intent, fetch)


def finish_rollback(settings: Settings, pipeline: Pipeline, fetch: Fetch) -> Switched | None:
    """Finish the rollback that was begun and not ended; None when there is none, or something else was deployed since.

    Raises EndpointUnavailable.
    """
    folder = locate_endpoint_folder(settings, pipeline.name)
    with hold_endpoint(folder, 2 * pipeline.deployment.swap_seconds):
        return _finish(settings, pipeline, folder, fetch)


def has_begun(settings: Settings, pipeline_name: str) -> bool:
    """Whether a rollback was begun and not ended."""
    return _locate_intent(locate_endpoint_folder(settings, pipeline_name)).exists()


def end_rollback(settings: Settings, pipeline_name: str) -> None:
    """All of it is done: the next request is another rollback."""
    folder = locate_endpoint_folder(settings, pipeline_name)
    _locate_intent(folder).unlink(missing_ok=True)
    sync_path(folder)


def build_pointer_back(current: Pointer | None, version: str, offered: Pointer) -> Pointer:
    """A pointer to an earlier version: with what lay before it, and without what is left."""
    chain = list_pointers(current)
    known = next((each for each in chain if each.version == version), None)
    if known is not None:
        return known
    before = next((each for each in chain if int(each.version) < int(version)), None)
    return msgspec.structs.replace(offered, previous=before)


def _locate_intent(folder: Path) -> Path:
    return folder / "rollback.json"


def _finish(settings: Settings, pipeline: Pipeline, folder: Path, fetch: Fetch) -> Switched | None:
    try:
        intent = msgspec.json.decode(_locate_intent(folder).read_bytes(), type=Intent)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    current = read_sound_pointer(folder)
    if current is not None and current.swapped_at > intent.pointer.swapped_at:
        # Something was deployed since: by somebody who knew of it.
        end_rollback(settings, pipeline.name)
        return None
    return _carry_out(settings, pipeline, folder, intent, fetch)


def _carry_out(settings: Settings, pipeline: Pipeline, folder: Path, intent: Intent, fetch: Fetch) -> Switched:
    left, pointer = intent.left, intent.pointer
    note_left(
        settings, pipeline.name, Left(left.version, pointer.version, intent.who, intent.reason, pointer.swapped_at)
    )
    if not is_whole(locate_model(folder, pointer)):
        kept = keep_model(folder, pointer.version, fetch(pointer.version))
        pointer = msgspec.structs.replace(pointer, model_dir=kept)
    try:
        deployment = switch_and_record(
            settings, pipeline, folder, pointer, left=left.version, back_from=left, who=intent.who
        )
    except EndpointUnavailable:
        if read_pointer(folder) != pointer:
            # Refused: the version that was to be left is served on.
            allow_again(settings, pipeline.name, left.version)
            end_rollback(settings, pipeline.name)
        raise
    return Switched(deployment, left.version, pointer.by, intent.who, intent.reason)


def _find_done(settings: Settings, pipeline_name: str, by: str) -> Switched | None:
    """What an earlier try of the same run did; a command has no name of its own, and each is another request."""
    if "/" not in by:
        return None
    for _, record in list_records(settings, pipeline_name, "deployment"):
        if record["by"] == by and record["rolled_back_from"] is not None:
            left = find_left(settings, pipeline_name, str(record["rolled_back_from"]))
            reason = left.reason if left else str(record["reason"])
            return Switched(
                unpack(Deployment, _pick_fields(record)),
                str(record["rolled_back_from"]),
                by,
                str(record["who"]),
                reason,
            )
    return None


def _pick_fields(record: dict[str, Any]) -> dict[str, Any]:
    return {name: record[name] for name in Deployment.__dataclass_fields__}


def _choose_earlier(
    settings: Settings, pipeline: Pipeline, current: Pointer, version: str | None, is_blessed: IsBlessed
) -> Pointer:
    chain, served = list_pointers(current.previous), list_served(settings, pipeline.name)
    if version is not None:
        return _choose_named(settings, pipeline, current, version, [*chain, *served], is_blessed)
    # Beyond what the pointer remembers, "before" can only mean a smaller number.
    older = [each for each in served if int(each.version) < int(current.version)]
    for each in [*chain, *older]:
        if find_left(settings, pipeline.name, each.version) is None and is_blessed(each.version):
            return build_pointer_back(current, each.version, each)
    raise _refuse(pipeline, f"has no earlier version than {current.version} to go back to", "Deploy the one you want")


def _choose_named(
    settings: Settings,
    pipeline: Pipeline,
    current: Pointer,
    version: str,
    served: list[Pointer],
    is_blessed: IsBlessed,
) -> Pointer:
    if version == current.version:
        raise _refuse(pipeline, f"serves version {version} already", "Name an earlier one, or another", version)
    refuse_left(settings, pipeline.name, version)
    offered = next((each for each in served if each.version == version), None)
    if offered is None:
        raise _refuse(pipeline, f"served no version {version!r} before version {current.version}", "Deploy it", version)
    if not is_blessed(version):
        raise NotBlessed(
            f"Version {version} of {pipeline.name} is not blessed in the registry (any more).",
            next_step="Only a blessed version is served; name another one.",
            pipeline=pipeline.name,
            version=version,
        )
    return build_pointer_back(current, version, offered)


def _refuse(pipeline: Pipeline, problem: str, advice: str, version: str | None = None) -> NothingToGoBackTo:
    return NothingToGoBackTo(
        f"The endpoint of {pipeline.name} {problem}.",
        next_step=f"{advice}: trigger {pipeline.name}.deploy_model with its number as version.",
        pipeline=pipeline.name,
        version=version,
    )
