"""Moto's S3, read and written in this process: what SageMaker does with the role it was given."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath

from moto.s3.models import S3Backend, s3_backends

from config.sagemaker_emulator.refusals import Refusal


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of ``s3://bucket/key``."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


class Storage:
    """The S3 of one account."""

    def __init__(self, account: str) -> None:
        self._backend: S3Backend = s3_backends[account]["aws"]

    def has_bucket(self, uri: str) -> bool:
        """Whether the bucket of ``uri`` exists."""
        return split_uri(uri)[0] in self._backend.buckets

    def read(self, uri: str) -> bytes | None:
        """The object, or None when there is none."""
        bucket, key = split_uri(uri)
        if bucket not in self._backend.buckets:
            return None
        found = self._backend.get_object(bucket, key)
        return None if found is None else bytes(found.value)

    def write(self, uri: str, content: bytes) -> None:
        """Put one object. Raises Refusal when there is no such bucket."""
        bucket, key = split_uri(uri)
        if bucket not in self._backend.buckets:
            raise Refusal(f"The specified bucket does not exist: {bucket}", code="NoSuchBucket", status=404)
        self._backend.put_object(bucket, key, content)

    def list(self, prefix: str) -> list[str]:
        """The URIs that begin with ``prefix``, sorted."""
        bucket, key = split_uri(prefix)
        if bucket not in self._backend.buckets:
            return []
        return [f"s3://{bucket}/{name}" for name in sorted(self._backend.buckets[bucket].keys) if name.startswith(key)]

    def download(self, prefix: str, folder: Path) -> int:
        """Copy every object below ``prefix`` (or the one object) into ``folder``; returns how many there were."""
        count = 0
        for uri in self.list(prefix):
            rest = uri.removeprefix(prefix)
            if rest and not prefix.endswith("/"):
                if not rest.startswith("/"):
                    # A prefix may end in the middle of a name; SageMaker then keeps what follows its last slash.
                    rest = uri.removeprefix(prefix.rpartition("/")[0] + "/")
                rest = rest.lstrip("/")
            name = PurePosixPath(rest or split_uri(uri)[1].rpartition("/")[2])
            if uri.endswith("/") or ".." in name.parts:
                continue
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.read(uri) or b"")
            count += 1
        return count

    def upload(self, folder: Path, prefix: str) -> int:
        """Copy every file of ``folder`` below ``prefix``; returns how many there were."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        for path in files:
            self.write(f"{prefix.rstrip('/')}/{path.relative_to(folder).as_posix()}", path.read_bytes())
        return len(files)

    def extract(self, uri: str, folder: Path) -> bool:
        """Unpack the ``.tar.gz`` at ``uri`` into ``folder``; False when there is none.

        Raises tarfile.TarError when it is no such archive.
        """
        content = self.read(uri)
        if content is None:
            return False
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            archive.extractall(folder, filter="data")
        return True


def pack_folder(folder: Path) -> bytes:
    """A ``.tar.gz`` of what ``folder`` holds, as SageMaker makes of a container's output."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, arcname=path.name)
    return packed.getvalue()
