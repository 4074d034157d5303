"""What an endpoint is told to serve: one small file, replaced whole, written by deployment and followed by serving.

``serving/<pipeline>/pointer.json`` lives below both stages, because stages never import each other. A model directory
is written relative to that folder, so the folder can be mounted elsewhere, and a pointer can never lead out of it.

A pointer that is merely gone, by somebody's mistake, changes nothing for customers. To end the serving of a version
that has none before it, ``withdrawn.json`` is written first and says so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from include.errors import PointerInvalid, TerminalError
from include.records import sync_path, write_file_atomically
from include.settings import Settings

# How many earlier pointers are kept inside a pointer; their models are kept on disk, so each can be served again.
MAX_PREVIOUS = 4


class Pointer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The version to serve, and why. ``swapped_at`` is ISO 8601 in UTC; ``previous`` is what was served before."""

    version: str
    model_dir: str
    partition: str
    swapped_at: str
    by: str
    reason: str
    previous: Pointer | None = None


class Withdrawal(msgspec.Struct, frozen=True):
    """The version that is not to be served any more, with nothing in its place. ``withdrawn_at`` is ISO 8601 in UTC."""

    version: str
    withdrawn_at: str
    reason: str


def locate_endpoint_folder(settings: Settings, pipeline_name: str) -> Path:
    """Folder of one endpoint: its pointer, its lock and its models. Raises TerminalError on a name with a separator."""
    if not pipeline_name or pipeline_name.startswith(".") or {"/", "\\", "\0"} & set(pipeline_name):
        raise TerminalError(
            f"{pipeline_name!r} cannot name an endpoint's folder.",
            next_step="Give the name of a declared pipeline.",
            pipeline=pipeline_name,
        )
    return settings.serving_root / pipeline_name


def locate_pointer(folder: Path) -> Path:
    """The pointer file of an endpoint's folder."""
    return folder / "pointer.json"


def _locate_withdrawal(folder: Path) -> Path:
    return folder / "withdrawn.json"


def locate_model(folder: Path, pointer: Pointer) -> Path:
    """Absolute directory of the model that ``pointer`` names. Raises PointerInvalid when it would leave ``folder``."""
    root = folder.resolve()
    path = (root / pointer.model_dir).resolve()
    if root not in path.parents:
        raise PointerInvalid(
            "The pointer names a model directory outside the endpoint's folder.",
            next_step="Deploy a version again: that writes a sound pointer.",
            path=str(locate_pointer(folder)),
            reason=f"version {pointer.version} is outside",
        )
    return path


def parse_pointer(content: bytes, path: Path) -> Pointer:
    """Read a pointer's JSON. Raises PointerInvalid naming the field that does not fit."""
    try:
        return msgspec.json.decode(content, type=Pointer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise PointerInvalid(
            f"The pointer {path} is not readable: {error}.",
            next_step="Deploy a version again: that writes a sound pointer.",
            path=str(path),
            reason=str(error),
        ) from error


def read_pointer(folder: Path) -> Pointer | None:
    """The pointer of an endpoint's folder, or None when nothing was deployed yet. Raises PointerInvalid."""
    path = locate_pointer(folder)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return parse_pointer(content, path)


def write_pointer(folder: Path, pointer: Pointer) -> None:
    """Replace the pointer; a reader, or a machine losing power, sees the old or the new one, whole."""
    _locate_withdrawal(folder).unlink(missing_ok=True)
    trimmed = _trim_previous(pointer, MAX_PREVIOUS)
    content = json.dumps(msgspec.to_builtins(trimmed), indent=1).encode()
    write_file_atomically(locate_pointer(folder), content)


def remove_pointer(folder: Path) -> None:
    """Take the pointer away; what is being served stays."""
    locate_pointer(folder).unlink(missing_ok=True)
    # Back with the power, it would bring back a version that was withdrawn.
    sync_path(folder)


def withdraw_pointer(folder: Path, withdrawal: Withdrawal) -> None:
    """Take the pointer away, with the order to serve nothing: the state before the first deployment."""
    content = json.dumps(msgspec.to_builtins(withdrawal), indent=1).encode()
    write_file_atomically(_locate_withdrawal(folder), content)
    remove_pointer(folder)


def read_withdrawal(folder: Path) -> Withdrawal | None:
    """The order to serve nothing; None when there is none, or none that can be read."""
    try:
        return msgspec.json.decode(_locate_withdrawal(folder).read_bytes(), type=Withdrawal)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def list_pointers(pointer: Pointer | None) -> list[Pointer]:
    """The pointer and the ones before it, newest first."""
    chain = []
    while pointer is not None:
        chain.append(pointer)
        pointer = pointer.previous
    return chain


def stamp_file(path: Path) -> tuple[int, ...] | None:
    """What changes whenever a file is replaced, or None when there is none; one system call."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_ino, found.st_mtime_ns, found.st_size)


def describe_pointer(pointer: Pointer | None) -> dict[str, Any] | None:
    """A pointer as plain JSON without the ones before it."""
    if pointer is None:
        return None
    facts: dict[str, Any] = msgspec.to_builtins(pointer)
    facts.pop("previous", None)
    return facts


def _trim_previous(pointer: Pointer, keep: int) -> Pointer:
    earlier = _trim_previous(pointer.previous, keep - 1) if pointer.previous is not None and keep > 0 else None
    return msgspec.structs.replace(pointer, previous=earlier)
