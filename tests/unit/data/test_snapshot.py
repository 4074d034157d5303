"""Taking in: an immutable copy whose hash is of the bytes that were copied, whatever the writer does meanwhile."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import pytest

from include.contracts import Arrival
from include.data import snapshot as snapshot_module
from include.data.landing import find_arrival, find_arrivals
from include.data.snapshot import read_intake_number, take_in
from include.declaration import Pipeline
from include.errors import PartitionNameError, RefreshChanged, RefreshMissing, RefreshUnreadable
from include.settings import Settings
from tests.unit.data.steps import land_bytes
from tests.unit.factory import make_pipeline


def list_snapshots(settings: Settings) -> list[str]:
    folder = settings.data_root / "parcels" / "snapshots"
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".intake.json"))


def test_snapshot_is_a_copy_named_by_its_content(settings: Settings, pipeline: Pipeline) -> None:
    content = b"a,b\n1,2\n" * 500_000  # more than one chunk
    path = land_bytes(settings, pipeline, "2013-05.csv", content)
    refresh = take_in(settings, pipeline, find_arrival(settings, pipeline, "2013-05"))
    fingerprint = hashlib.sha256(content).hexdigest()
    assert (refresh.fingerprint, refresh.format, refresh.size) == (fingerprint, "csv", len(content))
    assert (refresh.pipeline, refresh.partition, refresh.source) == ("parcels", "2013-05", str(path))
    copy = Path(refresh.snapshot)
    assert copy == settings.data_root / "parcels" / "snapshots" / f"2013-05@{fingerprint[:16]}.csv"
    assert copy.stat().st_ino != path.stat().st_ino and copy.stat().st_nlink == 1
    path.write_bytes(b"rewritten in place")
    assert copy.read_bytes() == content
    assert copy.stat().st_mode & 0o222 == 0, "nothing may write to a snapshot"


def test_taking_in_twice_gives_the_same_refresh_and_one_file(settings: Settings, pipeline: Pipeline) -> None:
    land_bytes(settings, pipeline, "2013-05.csv")
    arrival = find_arrival(settings, pipeline, "2013-05")
    assert take_in(settings, pipeline, arrival) == take_in(settings, pipeline, arrival)
    assert len(list_snapshots(settings)) == 1
    assert read_intake_number(settings, "parcels", "2013-05", hashlib.sha256(b"x").hexdigest()) == 1


def test_an_empty_file_is_taken_in_for_the_gate_to_judge(settings: Settings, pipeline: Pipeline) -> None:
    land_bytes(settings, pipeline, "2013-05.parquet", b"")
    assert take_in(settings, pipeline, find_arrival(settings, pipeline, "2013-05")).size == 0


@pytest.mark.parametrize("change", ["rewritten", "replaced", "touched"])
def test_file_that_changed_since_it_was_noticed_is_another_arrival(
    settings: Settings, pipeline: Pipeline, change: str
) -> None:
    path = land_bytes(settings, pipeline, "2013-05.csv", b"old")
    arrival = find_arrival(settings, pipeline, "2013-05")
    if change == "rewritten":
        path.write_bytes(b"newer")
    elif change == "replaced":
        other = land_bytes(settings, pipeline, "other", b"new", done=False)
        os.utime(other, ns=(arrival.mtime_ns, arrival.mtime_ns))
        other.rename(path)
    else:
        os.utime(path, (1, 1))
    with pytest.raises(RefreshChanged, match="changed after it was noticed") as caught:
        take_in(settings, pipeline, arrival)
    assert not caught.value.retryable, "that file will never lie there again"
    assert list_snapshots(settings) == []
    land_bytes(settings, pipeline, "2013-05.csv", path.read_bytes())
    (noticed,) = find_arrivals(settings, pipeline)
    assert take_in(settings, pipeline, noticed).size == path.stat().st_size


def test_file_that_is_gone_since_it_was_noticed_may_come_back(settings: Settings, pipeline: Pipeline) -> None:
    path = land_bytes(settings, pipeline, "2013-05.csv", b"old")
    arrival = find_arrival(settings, pipeline, "2013-05")
    path.unlink()
    with pytest.raises(RefreshMissing, match="no longer there") as caught:
        take_in(settings, pipeline, arrival)
    assert caught.value.retryable
    assert list_snapshots(settings) == []


@pytest.mark.parametrize("change", ["grows", "shrinks", "same size"])
def test_file_that_changes_while_it_is_copied_leaves_no_snapshot(
    settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = land_bytes(settings, pipeline, "2013-05.csv", b"a" * 3000)
    arrival = find_arrival(settings, pipeline, "2013-05")
    monkeypatch.setattr(snapshot_module, "_CHUNK", 1000)
    read, looks = os.read, []

    def read_while_somebody_writes(handle: int, size: int) -> bytes:
        chunk = read(handle, size)
        if size == 1000 and not looks:
            looks.append(1)
            with path.open("r+b") as out:
                if change == "shrinks":
                    out.truncate(1500)
                elif change == "grows":
                    out.seek(0, os.SEEK_END)
                    out.write(b"b" * 100_000)
                else:
                    out.write(b"b" * 3000)
            os.utime(path, ns=(arrival.mtime_ns + 1, arrival.mtime_ns + 1))
        return chunk

    monkeypatch.setattr(snapshot_module.os, "read", read_while_somebody_writes)
    with pytest.raises(RefreshChanged, match="changed while it was copied"):
        take_in(settings, pipeline, arrival)
    assert looks and list_snapshots(settings) == []


def test_file_that_grows_as_fast_as_it_is_read_ends_the_copy(
    settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_bytes(settings, pipeline, "2013-05.csv", b"a" * 3000)
    arrival = find_arrival(settings, pipeline, "2013-05")
    looks = []

    def read_for_ever(handle: int, size: int) -> bytes:
        looks.append(size)
        assert len(looks) < 100, "the copy never ends"
        return b"a" * 1000

    monkeypatch.setattr(snapshot_module.os, "read", read_for_ever)
    with pytest.raises(RefreshChanged, match="changed while it was copied"):
        take_in(settings, pipeline, arrival)
    assert len(looks) == 4


class Killed(BaseException):
    """Stands for SIGKILL: nothing that handles ordinary errors catches it."""


def test_killed_before_the_rename_then_run_again_completes(
    settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_bytes(settings, pipeline, "2013-05.csv")
    arrival = find_arrival(settings, pipeline, "2013-05")
    replace, unlink = Path.replace, Path.unlink

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    monkeypatch.setattr(Path, "replace", die)
    monkeypatch.setattr(Path, "unlink", die)  # a killed process does not tidy up either
    with pytest.raises(Killed):
        take_in(settings, pipeline, arrival)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(Path, "unlink", unlink)
    (left,) = list_snapshots(settings)
    assert left.startswith(".") and left.endswith(".part"), "what is left must not look like a snapshot"
    refresh = take_in(settings, pipeline, arrival)
    assert Path(refresh.snapshot).read_bytes() == b"x"

    draft = settings.data_root / "parcels" / "snapshots" / left
    os.utime(draft, (time.time() - 7 * 3600,) * 2)
    take_in(settings, pipeline, arrival)
    assert list_snapshots(settings) == [Path(refresh.snapshot).name], "hours later the leftover is swept"


def test_killed_between_the_rename_and_the_intake_number_then_run_again_completes(
    settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    land_bytes(settings, pipeline, "2013-05.csv")
    arrival = find_arrival(settings, pipeline, "2013-05")

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(snapshot_module, "_note_intake", die)
        with pytest.raises(Killed):
            take_in(settings, pipeline, arrival)
    refresh = take_in(settings, pipeline, arrival)
    assert read_intake_number(settings, "parcels", "2013-05", refresh.fingerprint) == 1


def test_intake_numbers_follow_what_landed_last(settings: Settings, pipeline: Pipeline) -> None:
    def take(content: bytes) -> str:
        path = land_bytes(settings, pipeline, "2013-05.csv", content, done=False)
        path.with_name("2013-05.csv.done").touch()
        return take_in(settings, pipeline, find_arrival(settings, pipeline, "2013-05")).fingerprint

    def number(fingerprint: str) -> int:
        return read_intake_number(settings, "parcels", "2013-05", fingerprint)

    first, second = take(b"first"), take(b"second")
    assert (number(first), number(second)) == (1, 2)
    time.sleep(0.01)  # a later landing has a later time
    assert take(b"first") == first
    assert (number(first), number(second)) == (3, 2), "landing the first content again makes it the newest"
    assert number("0" * 64) == 0


@pytest.mark.parametrize(
    "path",
    [
        "{home}/landing/parcels/../other/2013-05.csv",
        "{home}/landing/other/2013-05.csv",
        "/etc/2013-05.csv",
        "2013-05.csv",
    ],
)
def test_arrival_outside_the_pipelines_own_folder_is_refused(settings: Settings, pipeline: Pipeline, path: str) -> None:
    other = make_pipeline("other")
    land_bytes(settings, other, "2013-05.csv", b"not ours")
    arrival = Arrival("parcels", "2013-05", path.format(home=settings.home), 8, 1)
    with pytest.raises(PartitionNameError, match="is not where partition"):
        take_in(settings, pipeline, arrival)
    assert not settings.data_root.exists()


def test_arrival_that_claims_another_partition_than_its_file_is_refused(settings: Settings, pipeline: Pipeline) -> None:
    path = land_bytes(settings, pipeline, "2013-05.csv")
    with pytest.raises(PartitionNameError):
        take_in(settings, pipeline, Arrival("parcels", "2013-06", str(path), 1, path.stat().st_mtime_ns))


def test_format_the_pipeline_does_not_take_is_named_with_those_it_does(settings: Settings) -> None:
    pipeline = make_pipeline(data={"formats": ("parquet",)})
    land_bytes(settings, pipeline, "2013-05.csv")
    (arrival,) = find_arrivals(settings, pipeline)
    with pytest.raises(RefreshUnreadable, match=r"'\.csv' is none of \.parquet"):
        take_in(settings, pipeline, arrival)
