"""A version's files where KServe reads them: whole, once, and again after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.cloud.calls import Aws
from include.deployment.kserve.storage import publish_model
from include.errors import TargetRefused, TargetUnavailable


class Bucket:
    """A test double of S3's client: two calls, objects in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.puts: list[str] = []

    def head_object(self, **place: str) -> dict[str, Any]:
        from botocore.exceptions import ClientError

        name = f"{place['Bucket']}/{place['Key']}"
        if name not in self.objects:
            missing: Any = {"Error": {"Code": "404"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
            raise ClientError(missing, "HeadObject")
        return {"Metadata": self.objects[name][1]}

    def put_object(self, **sent: Any) -> dict[str, Any]:
        self.puts.append(sent["Key"])
        self.objects[f"{sent['Bucket']}/{sent['Key']}"] = (sent["Body"], sent["Metadata"])
        return {}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("a")
    (folder / "data" / "trees.bin").write_bytes(b"b")
    return folder


def test_a_bucket_gets_every_file_once(model: Path) -> None:
    bucket = Bucket()
    for _ in range(2):
        publish_model(Aws(lambda service: bucket), model, "s3://bucket/models/parcels/3", None)
    assert bucket.puts == ["models/parcels/3/MLmodel", "models/parcels/3/data/trees.bin"]
    assert bucket.objects["bucket/models/parcels/3/data/trees.bin"][0] == b"b"


def test_another_content_replaces_what_is_there(model: Path) -> None:
    bucket = Bucket()
    aws = Aws(lambda service: bucket)
    publish_model(aws, model, "s3://bucket/m/p/3", None)
    (model / "MLmodel").write_text("other")
    publish_model(aws, model, "s3://bucket/m/p/3", None)
    assert bucket.objects["bucket/m/p/3/MLmodel"][0] == b"other"
    assert bucket.puts.count("m/p/3/data/trees.bin") == 1


def test_a_bucket_that_does_not_answer_can_be_tried_again(model: Path) -> None:
    class Away(Bucket):
        def put_object(self, **_: Any) -> dict[str, Any]:
            raise ConnectionRefusedError

    with pytest.raises(TargetUnavailable):
        publish_model(Aws(lambda service: Away()), model, "s3://bucket/m/p/3", None)


def test_a_claim_gets_a_whole_copy_even_after_a_kill(model: Path, tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    claim.mkdir()
    half = claim / "m" / "p" / ".3.part"
    half.mkdir(parents=True)
    (half / "rest").touch()
    for _ in range(2):
        publish_model(Aws(lambda service: None), model, "pvc://models/m/p/3", claim)
    copied = sorted(path.relative_to(claim).as_posix() for path in claim.rglob("*") if path.is_file())
    assert copied == ["m/p/3/MLmodel", "m/p/3/data/trees.bin"]


def test_a_claim_that_is_not_mounted_is_said(model: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetRefused, match="not mounted"):
        publish_model(Aws(lambda service: None), model, "pvc://models/m/p/3", tmp_path / "none")
