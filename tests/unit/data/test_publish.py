"""Publishing: whole versions or none, every landed row accounted for, the newest landed content current."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest

from include.contracts import PartitionRef
from include.data import publish as publish_module
from include.data.publish import find_partition, list_partitions, list_versions, name_version, publish_partition
from include.declaration import Pipeline
from include.errors import GateBlocked, PartitionNameError, TerminalError
from include.settings import Settings, load_settings
from tests.unit.data.steps import make_report, publish_month, split_month, take_month
from tests.unit.factory import make_pipeline


def version_folder(settings: Settings, partition: str = "2013-01") -> Path:
    return settings.data_root / "parcels" / "partitions" / partition


def test_published_version_holds_rows_quarantine_and_manifest(settings: Settings, pipeline: Pipeline) -> None:
    _, refresh = take_month(settings, pipeline, "2013-01")
    split = split_month(settings, refresh)
    report = dataclasses.replace(make_report("2013-01", verdict="warn"), report_path="r.json", docs_path="d.html")
    ref = publish_partition(settings, pipeline, refresh, split, report)
    folder = version_folder(settings) / name_version(refresh.fingerprint, "rules-1")
    assert Path(ref.path) == folder / "rows.parquet"
    assert parquet.read_metadata(ref.path).num_rows == ref.rows == 38
    assert parquet.read_metadata(folder / "quarantined.parquet").num_rows == ref.quarantined == 2
    assert (ref.verdict, ref.rules_version, ref.report_path, ref.docs_path) == ("warn", "rules-1", "r.json", "d.html")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["landed"] == 40 and manifest["reasons"] == {"distance_positive": 2}
    assert manifest["refresh"]["snapshot"] == refresh.snapshot
    assert list_partitions(settings, pipeline) == [ref] == list_versions(settings, pipeline, "2013-01")


def test_version_follows_content_and_rules_and_nothing_else(settings: Settings, pipeline: Pipeline) -> None:
    first = publish_month(settings, pipeline, "2013-01", seed=1)
    assert publish_month(settings, pipeline, "2013-01", seed=1) == first
    corrected = publish_month(settings, pipeline, "2013-01", seed=2)
    stricter = publish_month(settings, pipeline, "2013-01", seed=2, rules_version="rules-2")
    assert len({first.version, corrected.version, stricter.version}) == 3
    assert list_partitions(settings, pipeline) == [stricter]
    assert {ref.version for ref in list_versions(settings, pipeline, "2013-01")} == {
        first.version,
        corrected.version,
        stricter.version,
    }
    assert Path(first.path).is_file(), "an old version stays for the models trained on it"


def test_version_published_before_needs_no_split_any_more(settings: Settings, pipeline: Pipeline) -> None:
    _, refresh = take_month(settings, pipeline, "2013-01")
    split, report = split_month(settings, refresh), make_report("2013-01")
    first = publish_partition(settings, pipeline, refresh, split, report)
    shutil.rmtree(settings.work_root)
    newer = dataclasses.replace(report, report_path="newer.json")
    again = publish_partition(settings, pipeline, refresh, split, newer)
    assert again == dataclasses.replace(first, report_path="newer.json")


@pytest.mark.parametrize("lie", ["landed", "kept", "quarantined", "fewer rows in the file"])
def test_rows_that_do_not_add_up_are_not_published(settings: Settings, pipeline: Pipeline, lie: str) -> None:
    _, refresh = take_month(settings, pipeline, "2013-01")
    split = split_month(settings, refresh, kept=37 if lie.startswith("fewer") else 38)
    if lie.startswith("fewer"):
        split = dataclasses.replace(split, kept=38)
    else:
        split = dataclasses.replace(split, **{lie: getattr(split, lie) + 1})
    with pytest.raises(TerminalError, match="would be lost"):
        publish_partition(settings, pipeline, refresh, split, make_report("2013-01"))
    assert list_partitions(settings, pipeline) == []
    assert list(version_folder(settings).iterdir()) == []


def test_split_that_is_gone_is_named(settings: Settings, pipeline: Pipeline) -> None:
    _, refresh = take_month(settings, pipeline, "2013-01")
    split = split_month(settings, refresh)
    Path(split.quarantined_path).unlink()
    with pytest.raises(TerminalError, match="set-aside") as caught:
        publish_partition(settings, pipeline, refresh, split, make_report("2013-01"))
    assert caught.value.missing == [split.quarantined_path]


def test_blocked_refresh_cannot_be_published(settings: Settings, pipeline: Pipeline) -> None:
    _, refresh = take_month(settings, pipeline, "2013-01")
    split = split_month(settings, refresh)
    with pytest.raises(GateBlocked):
        publish_partition(settings, pipeline, refresh, split, make_report("2013-01", verdict="block"))
    assert list_partitions(settings, pipeline) == []


@pytest.mark.parametrize("partition", ["../2013-01", "2012-01", "2013-01/x"])
def test_partition_with_a_tricky_name_touches_nothing(settings: Settings, pipeline: Pipeline, partition: str) -> None:
    _, refresh = take_month(settings, pipeline, "2013-01")
    split = split_month(settings, refresh)
    wrong = dataclasses.replace(refresh, partition=partition)
    with pytest.raises(PartitionNameError):
        publish_partition(settings, pipeline, wrong, split, make_report("2013-01"))
    with pytest.raises(PartitionNameError):
        list_versions(settings, pipeline, partition)
    assert not (settings.data_root / "parcels" / "partitions").exists()


class Killed(BaseException):
    """Stands for SIGKILL."""


def die(*_: Any, **__: Any) -> Any:
    raise Killed


@pytest.mark.parametrize(
    ("where", "visible"),
    [
        ("include.data.publish.copy_synced", 0),
        ("include.data.publish.sync_path", 1),
        ("include.data.publish._move_current", 1),
        ("pathlib.Path.rename", 0),
        ("pathlib.Path.replace", 0),
    ],
)
def test_killed_anywhere_then_run_again_completes(
    settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, where: str, visible: int
) -> None:
    """``visible``: whole versions after the kill. never a half one, and none is current before it is whole."""
    before = publish_month(settings, pipeline, "2013-01", seed=1)
    _, refresh = take_month(settings, pipeline, "2013-01", seed=2)
    split, report = split_month(settings, refresh), make_report("2013-01")
    with monkeypatch.context() as patched:
        patched.setattr(where, die)
        patched.setattr(publish_module.shutil, "rmtree", lambda *_, **__: None)  # the dead do not tidy up
        with pytest.raises(Killed):
            publish_partition(settings, pipeline, refresh, split, report)
    assert list_partitions(settings, pipeline) == [before]
    assert len(list_versions(settings, pipeline, "2013-01")) == 1 + visible
    ref = publish_partition(settings, pipeline, refresh, split, report)
    assert list_partitions(settings, pipeline) == [ref]
    assert parquet.read_metadata(ref.path).num_rows == 38
    assert len(list_versions(settings, pipeline, "2013-01")) == 2


def test_leftovers_of_a_kill_are_swept_hours_later(settings: Settings, pipeline: Pipeline) -> None:
    publish_month(settings, pipeline, "2013-01", seed=1)
    fresh, old = (version_folder(settings) / f".abc.{age}.part" for age in ("fresh", "old"))
    for draft in (fresh, old):
        draft.mkdir()
        (draft / "rows.parquet").touch()
    os.utime(old, (1, 1))
    publish_month(settings, pipeline, "2013-01", seed=2)
    assert fresh.is_dir() and not old.exists()


def test_another_run_that_published_the_same_version_first_is_no_error(
    settings: Settings, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, refresh = take_month(settings, pipeline, "2013-01")
    split, report = split_month(settings, refresh), make_report("2013-01")
    copy, raced = publish_module.copy_synced, []

    def copy_while_the_other_publishes(source: Path, destination: Path) -> None:
        if not raced:
            raced.append(1)
            raced.append(publish_partition(settings, pipeline, refresh, split, report))
        copy(source, destination)

    monkeypatch.setattr(publish_module, "copy_synced", copy_while_the_other_publishes)
    assert publish_partition(settings, pipeline, refresh, split, report) == raced[1]
    assert sorted(path.name for path in version_folder(settings).iterdir()) == [raced[1].version, "current.json"]


def test_late_retry_of_an_older_content_does_not_undo_its_correction(settings: Settings, pipeline: Pipeline) -> None:
    _, first = take_month(settings, pipeline, "2013-01", seed=1)
    corrected = publish_month(settings, pipeline, "2013-01", seed=2)
    report = make_report("2013-01")
    late = publish_partition(settings, pipeline, first, split_month(settings, first), report)
    assert list_partitions(settings, pipeline) == [corrected]
    assert late.version in {ref.version for ref in list_versions(settings, pipeline, "2013-01")}


def test_landing_the_first_content_again_makes_it_current_again(settings: Settings, pipeline: Pipeline) -> None:
    first = publish_month(settings, pipeline, "2013-01", seed=1)
    publish_month(settings, pipeline, "2013-01", seed=2)
    assert publish_month(settings, pipeline, "2013-01", seed=1).version == first.version
    assert [ref.version for ref in list_partitions(settings, pipeline)] == [first.version]


def test_partitions_are_listed_in_time_order_within_the_declared_bounds(settings: Settings) -> None:
    monthly = make_pipeline(data={"partition_format": "%m-%Y", "first": "01-2012"})
    for partition in ("02-2013", "12-2012", "01-2013"):
        split = publish_small(settings, monthly, partition)
        assert split.partition == partition
    assert [ref.partition for ref in list_partitions(settings, monthly)] == ["12-2012", "01-2013", "02-2013"]
    narrowed = make_pipeline(data={"partition_format": "%m-%Y", "first": "01-2013", "last": "01-2013"})
    assert [ref.partition for ref in list_partitions(settings, narrowed)] == ["01-2013"]


def publish_small(settings: Settings, pipeline: Pipeline, partition: str) -> PartitionRef:
    """Publish a partition whose name is not year-month, from a refresh made by hand."""
    helper = make_pipeline("helper")
    _, refresh = take_month(settings, helper, "2013-01")
    split = split_month(settings, refresh)
    ours = dataclasses.replace(refresh, pipeline=pipeline.name, partition=partition)
    return publish_partition(settings, pipeline, ours, split, make_report(partition))


def test_state_folder_that_moved_still_finds_its_rows(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> None:
    ref = publish_month(settings, pipeline, "2013-01")
    settings.home.rename(tmp_path / "moved")
    moved = load_settings({"TOLLGATE_HOME": str(tmp_path / "moved")})
    found = find_partition(moved, "parcels", "2013-01")
    assert found is not None and found.version == ref.version
    assert Path(found.path).is_file()
