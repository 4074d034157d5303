"""Putting pointer and models of this machine in order, by what the ledger and the registry know."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from include.contracts import Deployment, ModelVersion
from include.declaration.models import Pipeline
from include.deployment.local.deploy import read_sound_pointer, switch_and_record
from include.deployment.local.lock import hold_endpoint
from include.deployment.local.rollback import build_pointer_back
from include.deployment.local.store import keep_model
from include.deployment.local.switch import ask_version, locate_endpoint, serves
from include.deployment.served import rebuild_pointer
from include.errors import EndpointUnavailable
from include.pointer import (
    Pointer,
    locate_endpoint_folder,
    read_withdrawal,
    remove_pointer,
    write_pointer,
)
from include.records import utc_now
from include.settings import Settings

BY = "tollgate"
_POLL_SECONDS = 0.2


def mend_files(settings: Settings, pipeline: Pipeline) -> str:
    """What needs nobody else: an order to serve nothing that was cut short is completed, and a pointer that is lost or
    damaged is written as the last deployment left it. Returns what was done, "" for nothing."""
    folder = locate_endpoint_folder(settings, pipeline.name)
    if not folder.is_dir():
        return ""
    with hold_endpoint(folder, pipeline.deployment.swap_seconds):
        for draft in folder.glob(".*.part"):
            draft.unlink()  # of a write that was cut short
        pointer, withdrawal = read_sound_pointer(folder), read_withdrawal(folder)
        if withdrawal is not None:
            if pointer is None or pointer.version != withdrawal.version or pointer.swapped_at > withdrawal.withdrawn_at:
                return ""
            remove_pointer(folder)
            return f"Version {withdrawal.version} was withdrawn, and its pointer was still there: it is removed."
        if pointer is not None:
            return ""
        rebuilt = rebuild_pointer(settings, pipeline.name)
        if rebuilt is None:
            return ""
        write_pointer(folder, rebuilt)
        return f"The pointer was lost or damaged; it names version {rebuilt.version}, the last one deployed, again."


def serve_instead(
    settings: Settings, pipeline: Pipeline, version: ModelVersion, model_dir: Path, reason: str
) -> Deployment:
    """Serve the registry's version in the place of what the pointer names, if anything, which is not kept as "before".

    Raises EndpointUnavailable, DeploymentStopped.
    """
    folder = locate_endpoint_folder(settings, pipeline.name)
    with hold_endpoint(folder, pipeline.deployment.swap_seconds):
        kept = keep_model(folder, version.version, model_dir)
        current = read_sound_pointer(folder)
        offered = Pointer(version.version, kept, version.partition, utc_now(), BY, reason)
        back = build_pointer_back(current, version.version, offered)
        pointer = msgspec.structs.replace(back, model_dir=kept, swapped_at=offered.swapped_at, by=BY, reason=reason)
        left = current.version if current is not None and current.version != version.version else None
        return switch_and_record(settings, pipeline, folder, pointer, left=left)


def record_served(settings: Settings, pipeline: Pipeline, pointer: Pointer) -> None:
    """Record a swap whose deployment died before it did; once the endpoint serves it. Raises EndpointUnavailable."""
    folder = locate_endpoint_folder(settings, pipeline.name)
    with hold_endpoint(folder, pipeline.deployment.swap_seconds):
        if read_sound_pointer(folder) == pointer:
            switch_and_record(settings, pipeline, folder, pointer)


def find_silence(settings: Settings, pipeline: Pipeline, pointer: Pointer, seconds: float) -> str:
    """Why the endpoint does not serve what ``pointer`` names, seen for ``seconds``; "" when it does."""
    folder = locate_endpoint_folder(settings, pipeline.name)
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = ask_version(locate_endpoint(settings, pipeline))
            if serves(answer, folder, pointer):
                return ""
            refused = answer["pointer_error"]
            problem = str(refused["message"]) if refused else f"It serves version {answer['version'] or 'none'}."
        except EndpointUnavailable as error:
            problem = error.message
        if time.monotonic() >= deadline:
            return problem
        time.sleep(_POLL_SECONDS)
