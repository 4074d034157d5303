"""Records: whole or not there, never outside the ledger's folder, created once however many try."""

from __future__ import annotations

import json
import math
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from include.errors import TerminalError
from include.records import create_record, list_records, read_record, write_file_atomically, write_record
from include.settings import Settings, load_settings


def test_record_is_read_back_with_its_time(settings: Settings) -> None:
    write_record(settings, "p", "refresh", "2013-05@ab", {"rows": 3, "ratio": math.inf})
    record = read_record(settings, "p", "refresh", "2013-05@ab")
    assert record is not None and (record["rows"], record["ratio"]) == (3, math.inf)
    assert record["recorded_at"].endswith("+00:00")
    assert (settings.records_root / "p" / "refresh" / "2013-05@ab.json").is_file()


def test_record_that_is_not_there_is_none_and_a_damaged_one_is_an_error(settings: Settings) -> None:
    assert read_record(settings, "p", "refresh", "k") is None
    write_record(settings, "p", "refresh", "k", {})
    (settings.records_root / "p" / "refresh" / "k.json").write_text('{"half')
    with pytest.raises(json.JSONDecodeError):
        read_record(settings, "p", "refresh", "k")


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=30))
@example("../../escape")
@example("/etc/passwd")
@example("a/b")
@example(".hidden")
@example("")
@example("a\x00")
@example("a\n")
@example("k" * 201)
def test_key_becomes_a_file_of_the_kinds_folder_or_an_error(settings: Settings, key: str) -> None:
    folder = settings.records_root / "p" / "any"
    before = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    try:
        write_record(settings, "p", "any", key, {"key": key})
    except TerminalError as error:
        assert error.part == key
        assert before == ({path.name for path in folder.iterdir()} if folder.is_dir() else set())
    else:
        assert {path.name for path in folder.iterdir()} == before | {f"{key}.json"}
    assert not settings.home.exists() or [path.name for path in settings.home.iterdir()] == ["records"]


@pytest.mark.parametrize("place", ["pipeline", "kind"])
def test_pipeline_and_kind_cannot_lead_out_either(settings: Settings, place: str) -> None:
    names = {"pipeline": "p", "kind": "k", place: ".."}
    with pytest.raises(TerminalError, match="cannot name a record"):
        write_record(settings, names["pipeline"], names["kind"], "key", {})


def test_records_are_listed_oldest_first_without_drafts(settings: Settings) -> None:
    for key, time in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-01")):
        write_record(settings, "p", "deployment", key, {"recorded_at": time})
    folder = settings.records_root / "p" / "deployment"
    (folder / ".d.json").write_text("half")
    (folder / ".d.json.x.part").write_text("half")
    assert [key for key, _ in list_records(settings, "p", "deployment")] == ["c", "b", "a"]
    assert list(list_records(settings, "p", "none of these")) == []


def test_replacing_a_file_that_fails_half_way_keeps_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_file_atomically(path, b"old")

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("include.records.os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_file_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_created_record_is_never_replaced(settings: Settings) -> None:
    assert create_record(settings, "p", "training", "k", {"by": "first"})
    assert not create_record(settings, "p", "training", "k", {"by": "second"})
    record = read_record(settings, "p", "training", "k")
    assert record is not None and record["by"] == "first"
    assert [path.name for path in (settings.records_root / "p" / "training").iterdir()] == ["k.json"]


def _create(home: str, number: int, gate: Any, results: Any) -> None:
    settings = load_settings({"TOLLGATE_HOME": home})
    gate.wait()
    results.put((number, create_record(settings, "p", "training", "k", {"by": number})))


def test_of_several_processes_one_creates_the_record(settings: Settings) -> None:
    context = multiprocessing.get_context("fork")
    gate, results = context.Barrier(6), context.Queue()
    creators = [
        context.Process(target=_create, args=(str(settings.home), number, gate, results)) for number in range(6)
    ]
    for creator in creators:
        creator.start()
    outcome = dict(results.get(timeout=20) for _ in creators)
    for creator in creators:
        creator.join(20)
    assert sum(outcome.values()) == 1
    record = read_record(settings, "p", "training", "k")
    assert record is not None and outcome[record["by"]]
