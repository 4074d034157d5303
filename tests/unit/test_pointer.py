"""The pointer: replaced whole, bounded, and unable to lead out of its folder."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from include.errors import PointerInvalid, TerminalError
from include.pointer import (
    MAX_PREVIOUS,
    Pointer,
    list_pointers,
    locate_endpoint_folder,
    locate_model,
    locate_pointer,
    read_pointer,
    stamp_file,
    write_pointer,
)
from include.settings import Settings


def make_pointer(version: str, previous: Pointer | None = None, model_dir: str | None = None) -> Pointer:
    return Pointer(version, model_dir or f"models/{version}", "2013-01", "2026-01-01", "me", "why", previous)


def test_what_is_written_is_read_and_no_pointer_is_none(tmp_path: Path) -> None:
    assert read_pointer(tmp_path) is None
    pointer = make_pointer("2", make_pointer("1"))
    write_pointer(tmp_path, pointer)
    assert read_pointer(tmp_path) == pointer
    assert json.loads(locate_pointer(tmp_path).read_text())["previous"]["version"] == "1"


def test_only_the_last_few_previous_versions_are_kept(tmp_path: Path) -> None:
    pointer = None
    for number in range(10):
        pointer = make_pointer(str(number), pointer)
    assert pointer is not None
    write_pointer(tmp_path, pointer)
    assert [each.version for each in list_pointers(read_pointer(tmp_path))] == ["9", "8", "7", "6", "5"]
    assert MAX_PREVIOUS == 4


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"version": 1}', b'{"version": "1"}', b"[" * 100_000])
def test_a_file_that_is_no_pointer_is_an_error(tmp_path: Path, content: bytes) -> None:
    locate_pointer(tmp_path).write_bytes(content)
    with pytest.raises(PointerInvalid):
        read_pointer(tmp_path)


@pytest.mark.parametrize("model_dir", ["../other", "/etc", ".", "models/../.."])
def test_a_pointer_cannot_name_a_directory_outside_its_folder(tmp_path: Path, model_dir: str) -> None:
    with pytest.raises(PointerInvalid):
        locate_model(tmp_path, make_pointer("1", model_dir=model_dir))


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", ".hidden"])
def test_a_pipeline_name_cannot_leave_the_serving_folder(settings: Settings, name: str) -> None:
    with pytest.raises(TerminalError):
        locate_endpoint_folder(settings, name)


def test_a_reader_never_sees_half_a_pointer_and_each_replacement_shows(tmp_path: Path) -> None:
    write_pointer(tmp_path, make_pointer("0"))
    stamps = {stamp_file(locate_pointer(tmp_path))}
    done = threading.Event()
    failures: list[Exception] = []

    def read() -> None:
        while not done.is_set():
            try:
                assert read_pointer(tmp_path) is not None
            except Exception as error:
                failures.append(error)
                return

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(50):
        write_pointer(tmp_path, make_pointer(str(number), make_pointer("x" * number)))
        stamps.add(stamp_file(locate_pointer(tmp_path)))
    done.set()
    reader.join()
    assert failures == []
    assert len(stamps) == 51
