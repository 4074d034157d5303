"""model.tar.gz: the same bytes for the same model, at an address that is their SHA-256."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from include.cloud.calls import Aws
from include.declaration.sagemaker import SageMakerTarget


@dataclass(frozen=True)
class Artifact:
    """A packed model; ``path`` is a temporary file, ``sha256`` of its bytes in hex."""

    path: Path
    sha256: str


@contextlib.contextmanager
def pack_model(model_dir: Path) -> Iterator[Artifact]:
    """Pack a model directory for as long as the block is in use. Times, owners and order say nothing in it."""
    with tempfile.TemporaryDirectory(prefix="tollgate-artifact-") as folder:
        path = Path(folder) / "model.tar.gz"
        with (
            path.open("wb") as raw,
            gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for source in sorted(each for each in model_dir.rglob("*") if each.is_file()):
                entry = tarfile.TarInfo(str(source.relative_to(model_dir)))
                entry.size = source.stat().st_size
                entry.mode = 0o644
                with source.open("rb") as content:
                    archive.addfile(entry, content)
        with path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        yield Artifact(path, digest)


def name_key(target: SageMakerTarget, pipeline_name: str, sha256: str) -> str:
    """Where an artifact lies in the bucket."""
    return f"{target.prefix}/{pipeline_name}/models/{sha256}/model.tar.gz"


def upload_artifact(aws: Aws, bucket: str, key: str, artifact: Artifact) -> None:
    """Have the artifact in the bucket once.

    An object appears whole or not at all, and its address holds its content: one that is there is the same.
    """
    if aws.find("s3", "head_object", Bucket=bucket, Key=key) is None:
        with artifact.path.open("rb") as content:
            metadata = {"tollgate-sha256": artifact.sha256}
            aws.make("s3", "put_object", Bucket=bucket, Key=key, Body=content, Metadata=metadata, IfNoneMatch="*")
