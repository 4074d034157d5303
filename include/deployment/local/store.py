"""The models on this serving machine: copied whole, named by version and content, pruned to the last few."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from include.pointer import MAX_PREVIOUS, Pointer, list_pointers
from include.records import make_folder, sync_path

KEEP_MODELS = 5
_INCOMING = ".incoming-"


def digest_folder(folder: Path) -> str:
    """SHA-256 (hex) over the names and contents of every file below ``folder``."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256(path.read_bytes()).digest()
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + content)
    return digest.hexdigest()


def name_model(version: str, model_dir: Path) -> str:
    """Where a copy of ``model_dir`` is kept, relative to the endpoint's folder: a name that holds the content."""
    return f"models/{version}-{digest_folder(model_dir)[:12]}"


def keep_model(endpoint_folder: Path, version: str, model_dir: Path) -> str:
    """Copy ``model_dir`` to where ``name_model`` says, and return that.

    A copy that is there whole is not made again; one under way when we were killed is thrown away, and one that a disk
    damaged is replaced. A version number that comes to mean another model is another folder. Call it under the
    endpoint's lock.
    """
    models = endpoint_folder / "models"
    make_folder(models)
    for left in models.glob(f"{_INCOMING}*"):
        shutil.rmtree(left)
    kept = name_model(version, model_dir)
    target = endpoint_folder / kept
    if is_whole(target):
        os.utime(target)  # used again: not among the oldest any more
        return kept
    incoming = Path(tempfile.mkdtemp(dir=models, prefix=_INCOMING))
    shutil.copytree(model_dir, incoming, dirs_exist_ok=True)
    incoming.chmod(0o755)
    os.utime(incoming)
    for path in [*incoming.rglob("*"), incoming]:
        sync_path(path)
    if target.exists():
        target.rename(Path(tempfile.mkdtemp(dir=models, prefix=_INCOMING)) / target.name)
    incoming.rename(target)
    sync_path(models)
    return kept


def is_whole(kept: Path) -> bool:
    """Whether a kept model is there with the content that its name says."""
    return kept.is_dir() and kept.name.endswith(f"-{digest_folder(kept)[:12]}")


def prune_models(endpoint_folder: Path, pointer: Pointer) -> list[str]:
    """Remove all but the last 5 models, never one that the pointer or those before it name; returns what went."""
    needed = {Path(each.model_dir).name for each in list_pointers(pointer)[: MAX_PREVIOUS + 1]}
    models = [path for path in (endpoint_folder / "models").iterdir() if path.is_dir()]
    newest_first = sorted(models, key=lambda path: path.stat().st_mtime, reverse=True)
    spare = [path for path in newest_first if path.name not in needed]
    removed = spare[max(KEEP_MODELS - len(needed), 0) :]
    for path in removed:
        shutil.rmtree(path)
    return [path.name for path in removed]
