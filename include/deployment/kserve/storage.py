"""A version's files to where KServe reads them: an S3 bucket, or a volume claim that is mounted here too."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from include.cloud.calls import Aws
from include.errors import TargetRefused
from include.records import make_folder, sync_path


def publish_model(aws: Aws, model_dir: Path, uri: str, claim_folder: Path | None) -> None:
    """Make the files of ``model_dir`` those at ``uri``; what is there already with the same content stays.

    ``claim_folder`` is where the claim of a pvc:// URI is mounted on this machine. Raises TargetRefused when it is not,
    TargetUnavailable when S3 does not answer.
    """
    scheme, _, place = uri.partition("://")
    if scheme == "s3":
        _upload(aws, model_dir, *place.split("/", 1))
        return
    if claim_folder is None or not claim_folder.is_dir():
        raise TargetRefused(
            f"The volume claim of {uri} is not mounted at {claim_folder}.",
            next_step="Mount it where deployment.target.storage_folder says, on every machine that deploys.",
            target="kserve",
            call="publish_model",
            code="missing",
        )
    _copy(model_dir, claim_folder / place.split("/", 1)[1])


def _list_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _upload(aws: Aws, model_dir: Path, bucket: str, prefix: str) -> None:
    for path in _list_files(model_dir):
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        place = {"Bucket": bucket, "Key": f"{prefix}/{path.relative_to(model_dir).as_posix()}"}
        there = aws.find("s3", "head_object", **place)
        if there is None or there.get("Metadata", {}).get("sha256") != digest:
            aws.call("s3", "put_object", **place, Body=content, Metadata={"sha256": digest})


def _copy(model_dir: Path, target: Path) -> None:
    """A whole copy gets its name at once; one that is there is whole, and versions never change."""
    if target.is_dir():
        return
    make_folder(target.parent)
    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(model_dir, draft)
    for path in [*draft.rglob("*"), draft]:
        sync_path(path)
    draft.rename(target)
    sync_path(target.parent)
