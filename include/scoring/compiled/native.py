"""Native code for trees, compiled on this machine from our own C file, or not at all.

The C file holds no model's numbers: one compilation (a fifth of a second) serves every model that is ever deployed
here. The result is kept below ``TOLLGATE_HOME`` under the digest of what it was made of; nothing native is ever taken
from a registry.

Why not treelite 4.8, whose answers are as exact: with 200 boosted trees of 31 leaves its runtime takes 95 µs of CPU for
a row and 1,200 for a hundred, this walk 4 and 130, and numpy without a compiler 44 and 480 (``bit_vectors``). Only for
one row of fully grown forests is it quicker than numpy, 240 µs to 370, and slower again for a hundred (27 ms to 11).
Its import takes five times as long as numpy's and 23 MB, and what tl2cgen makes is compiled for 12 s with every model.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from struct import Struct

import numpy as np

from include.errors import CompiledFormRefused
from include.scoring.compiled.trees import Matrix, TreeTable, TreeWalk

_SOURCE = Path(__file__).with_name("walk_trees.c")
# No contraction: a multiply-add in one rounding would be other bits on processors that have it.
_FLAGS = ("-std=c99", "-O2", "-ffp-contract=off", "-shared", "-fPIC")
_COMPILERS = ("cc", "gcc", "clang")
# It takes 0.2 s; a machine where it takes longer than this serves without.
_COMPILE_SECONDS = 20.0
_CHECKED_ROWS = 64


class NativeWalk:
    """The sums of trees by the compiled walk. Rows of float64, ``width`` columns."""

    def __init__(self, library: Path, table: TreeTable, width: int) -> None:
        # Kept here: the compiled code reads them where they lie.
        self._nodes = np.ascontiguousarray(table.nodes)
        self._roots = np.ascontiguousarray(table.roots)
        self._pack = Struct(f"={width}d").pack
        self._trees = (self._nodes.ctypes.data, self._roots.ctypes.data, len(self._roots), table.start)
        # A row takes 2 µs: giving the interpreter's lock away and getting it back would take longer under load.
        self._walk_row = ctypes.PyDLL(str(library)).tollgate_walk_row
        self._walk_row.restype = ctypes.c_double
        self._walk_rows = ctypes.CDLL(str(library)).tollgate_walk_rows
        self._walk_rows.restype = None
        trees = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_double)
        self._walk_row.argtypes = (*trees, ctypes.c_char_p)
        self._walk_rows.argtypes = (*trees, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)

    def sum_row(self, values: Sequence[float]) -> float:
        """The sum of one row's leaves."""
        total: float = self._walk_row(*self._trees, self._pack(*values))
        return total

    def sum_rows(self, matrix: Matrix) -> Matrix:
        """The sum of each row's leaves."""
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        sums = np.empty(len(rows))
        self._walk_rows(*self._trees, rows.ctypes.data, rows.shape[0], rows.shape[1], sums.ctypes.data)
        return sums


def compile_walk(folder: Path, compiler: str | None = None) -> Path:
    """The compiled walk below ``folder``, made if it is not there, by ``compiler`` or by what this machine has.

    Raises CompiledFormRefused when there is no compiler, or it does not do its work in time.
    """
    program = next(filter(None, map(shutil.which, [compiler] if compiler else _COMPILERS)), None)
    if program is None:
        raise _refuse(f"there is no C compiler {compiler or ''} on this machine".replace("  ", " "))
    digest = hashlib.sha256(_SOURCE.read_bytes())
    digest.update("\0".join([*_FLAGS, os.path.realpath(program), platform.machine(), *platform.libc_ver()]).encode())
    library = folder / f"walk_trees-{digest.hexdigest()[:32]}.so"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not library.is_file():
            _run_compiler(program, library)
        _check_owner(folder)
        _check_owner(library)
    except OSError as error:
        raise _refuse(f"its folder {folder} cannot be used ({error.strerror})") from error
    return library


def build_native_walk(library: Path, table: TreeTable, width: int) -> NativeWalk:
    """The trees with the compiled walk, which is first compared with numpy's on rows at the trees' own thresholds.

    Raises CompiledFormRefused when it cannot be loaded here or gives other sums.
    """
    try:
        walk = NativeWalk(library, table, width)
    except (OSError, AttributeError) as error:
        raise _refuse(f"the compiled code cannot be loaded ({error})") from error
    random = np.random.default_rng(1)
    thresholds = table.nodes["threshold"][table.nodes["feature"] >= 0]
    pool = np.concatenate([thresholds, np.nextafter(thresholds, np.inf), [np.nan, 0.0, np.inf, -np.inf]])
    rows = random.choice(pool, (_CHECKED_ROWS, width))
    expected = TreeWalk(table, width).sum_rows(rows)
    single = [walk.sum_row(row) for row in rows.tolist()]
    # Sums in another order differ in the last bits; a walk that went elsewhere differs by a leaf.
    if not all(np.allclose(sums, expected, rtol=1e-9, atol=1e-12) for sums in (walk.sum_rows(rows), single)):
        raise _refuse("the compiled code gives other sums than numpy")
    return walk


def _run_compiler(program: str, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as scratch:
        made = Path(scratch) / library.name
        try:
            done = subprocess.run(
                [program, *_FLAGS, "-o", str(made), str(_SOURCE)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_COMPILE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _refuse(f"the C compiler {program} took longer than {_COMPILE_SECONDS:g} s") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            raise _refuse(f"the C compiler {program} failed with {done.returncode}: {said}")
        made.chmod(0o500)
        made.replace(library)


def _check_owner(path: Path) -> None:
    """What others could have written is not run."""
    facts = path.stat()
    if facts.st_uid != os.geteuid() or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _refuse(f"{path} belongs to somebody else, or others may write to it")


def _refuse(problem: str) -> CompiledFormRefused:
    return CompiledFormRefused(
        f"Trees are not walked by native code: {problem}.",
        next_step="numpy walks them; install a C compiler (cc) and deploy again for native code.",
        reason=problem,
    )
