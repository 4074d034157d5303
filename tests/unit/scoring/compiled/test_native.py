"""Native code is made here or not at all, from our own file, and only when it does what numpy does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from include.errors import CompiledFormRefused
from include.scoring.compiled import native
from include.scoring.compiled.native import build_native_walk, compile_walk
from include.scoring.compiled.trees import TreeTable, read_trees
from tests.unit.scoring.compiled.trees import make_tree, store


@pytest.fixture(scope="module")
def table() -> TreeTable:
    random = np.random.default_rng(2)
    return read_trees(store(*[make_tree(random, 20, 2, [0.1, 0.2, None]) for _ in range(5)]), 0.0, [0, 1])


def make_compiler(folder: Path, script: str) -> str:
    path = folder / "cc"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_it_is_compiled_once_for_all_models(tmp_path: Path) -> None:
    library = compile_walk(tmp_path / "native")
    stamp = library.stat().st_mtime_ns
    assert compile_walk(tmp_path / "native") == library
    assert library.stat().st_mtime_ns == stamp
    assert [path.name for path in library.parent.iterdir()] == [library.name]
    assert library.stat().st_mode & 0o022 == 0
    assert library.parent.stat().st_mode & 0o077 == 0


def test_another_source_or_compiler_is_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = compile_walk(tmp_path / "native")
    source = tmp_path / "walk_trees.c"
    source.write_text(native._SOURCE.read_text() + "/* changed */\n")
    monkeypatch.setattr(native, "_SOURCE", source)
    changed = compile_walk(tmp_path / "native")
    assert changed != library
    compiler = make_compiler(tmp_path, f'exec {shutil.which("cc")} "$@"')
    assert compile_walk(tmp_path / "native", compiler) not in (library, changed)


@pytest.mark.parametrize(
    "script, reason",
    [("echo no room left >&2; exit 3", "no room left"), ("sleep 60", "longer than"), ("exit 0", "cannot be used")],
)
def test_a_compiler_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    monkeypatch.setattr(native, "_COMPILE_SECONDS", 0.5)
    with pytest.raises(CompiledFormRefused, match=reason):
        compile_walk(tmp_path / "native", make_compiler(tmp_path, script))
    assert list((tmp_path / "native").iterdir()) == []


def test_without_a_compiler_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CompiledFormRefused, match="no C compiler none"):
        compile_walk(tmp_path, "none")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CompiledFormRefused, match="no C compiler on this machine"):
        compile_walk(tmp_path)


def test_a_folder_that_cannot_be_used_is_no_compiler(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CompiledFormRefused, match="cannot be used"):
        compile_walk(tmp_path / "file" / "native")


def test_what_others_may_write_is_not_run(tmp_path: Path) -> None:
    library = compile_walk(tmp_path / "native")
    library.chmod(0o777)
    with pytest.raises(CompiledFormRefused, match="others may write"):
        compile_walk(tmp_path / "native")
    library.chmod(0o500)
    library.parent.chmod(0o777)
    with pytest.raises(CompiledFormRefused, match="others may write"):
        compile_walk(tmp_path / "native")
    library.parent.chmod(0o700)
    if os.geteuid() == 0:
        os.chown(library, 12345, -1)
        with pytest.raises(CompiledFormRefused, match="somebody else"):
            compile_walk(tmp_path / "native")


def test_code_that_cannot_be_loaded_is_refused(tmp_path: Path, table: TreeTable) -> None:
    broken = tmp_path / "walk.so"
    broken.write_bytes(b"\x7fELF not really")
    with pytest.raises(CompiledFormRefused, match="cannot be loaded"):
        build_native_walk(broken, table, 2)


def test_code_that_gives_other_sums_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: TreeTable
) -> None:
    source = tmp_path / "walk_trees.c"
    source.write_text(native._SOURCE.read_text().replace("value > node->threshold", "value >= node->threshold"))
    monkeypatch.setattr(native, "_SOURCE", source)
    library = compile_walk(tmp_path / "native")
    with pytest.raises(CompiledFormRefused, match="other sums"):
        build_native_walk(library, table, 2)
