"""Does requirements*.txt say what requirements*.in asks for? Run by ``make check``."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from include.settings import PROJECT_ROOT

_NAMES = (
    "requirements",
    "requirements-dev",
    "requirements-bench",
    "requirements-bench-servers",
    "requirements-serving",
    "requirements-script-mode",
)


def _compile(name: str, output: Path) -> subprocess.CompletedProcess[str]:
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--python-version", "3.11"),
        *(f"{name}.in", "-o", str(output)),
    ]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)


def read_pins(lock: str) -> dict[str, str]:
    """Package to version, from the ``name==version`` lines of a lock."""
    pins: dict[str, str] = {}
    for line in lock.splitlines():
        if line and line[0].isalnum() and "==" in line:
            name, _, version = line.split(";")[0].partition("==")
            pins[canonicalize_name(name.partition("[")[0].strip())] = version.strip()
    return pins


def list_unmet(asked: str, pins: dict[str, str]) -> list[str]:
    """Lines of a ``.in`` file that no pin satisfies."""
    unmet = []
    for line in asked.splitlines():
        text = line.partition(" #")[0].strip()
        if not text or text.startswith(("#", "-")):
            continue
        requirement = Requirement(text)
        version = pins.get(canonicalize_name(requirement.name))
        if version is None or not requirement.specifier.contains(version, prereleases=True):
            unmet.append(text)
    return unmet


def check_lock(name: str) -> list[str]:
    """Problems of one lock; away from the package index only what the two files tell, and in CI that is a problem."""
    lock = (PROJECT_ROOT / f"{name}.txt").read_text()
    unmet = list_unmet((PROJECT_ROOT / f"{name}.in").read_text(), read_pins(lock))
    if unmet:
        return [f"{name}.txt does not satisfy: {', '.join(unmet)}. Run `make lock`."]
    with tempfile.TemporaryDirectory() as folder:
        # Starting from the lock itself: what still fits stays, so only a changed .in changes anything.
        output = Path(folder) / f"{name}.txt"
        output.write_text(lock)
        done = _compile(name, output)
        if done.returncode != 0:
            problem = f"{name}.in could not be resolved: {' '.join(done.stderr.split())}"
            # A person may be away from the index; what CI let pass would count as checked.
            if "No solution found" in done.stderr or os.environ.get("CI") == "true":
                return [problem]
            print(problem)
            return []
        compiled = output.read_text()
    old, new = read_pins(lock), read_pins(compiled)
    changes = difflib.unified_diff([f"{n}=={v}" for n, v in old.items()], [f"{n}=={v}" for n, v in new.items()], n=0)
    wrong = [line for line in changes if line[0] in "+-" and line[:3] not in ("+++", "---")]
    return [f"{name}.txt is not what {name}.in gives: {' '.join(wrong)}. Run `make lock`."] if wrong else []


def main() -> int:
    """Print every problem; 1 when there is any."""
    problems = [problem for name in _NAMES for problem in check_lock(name)]
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
