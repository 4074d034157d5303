"""What CI runs, with a ``make`` that says and ends as a test wants."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from include.settings import PROJECT_ROOT

# As pytest's closing line, then what a library says when the interpreter ends.
_MAKE = """#!/bin/sh
echo "ran $2"
case $2 in test*) echo "===== 3 passed, 1 deselected in 1.25s (0:00:01) =====" ; echo "leaked" >&2 ;; esac
case " $FAILING " in *" $2 "*) exit 2 ;; esac
"""


def run_ci(folder: Path, failing: str) -> subprocess.CompletedProcess[str]:
    make = folder / "make"
    make.write_text(_MAKE)
    make.chmod(0o755)
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "FAILING": failing}
    return subprocess.run([PROJECT_ROOT / ".ci" / "run"], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("failing", ["", "check", "test", "test-slow", "check test-slow"])
def test_every_step_runs_and_the_exit_code_tells_of_any_failure(tmp_path: Path, failing: str) -> None:
    done = run_ci(tmp_path, failing)
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("ran")] == ["ran check", "ran test", "ran test-slow"]
    assert (done.returncode == 0) == (not failing)
    assert lines[-3] == f"=== failed steps: {failing or 'none'}"
    assert lines[-2:] == ["===== 3 passed, 1 deselected in 1.25s (0:00:01) ====="] * 2
    assert "leaked" in lines[:-3]
    assert done.stderr == ""
