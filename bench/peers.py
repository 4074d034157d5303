"""Environments of what is only measured against: one for each ``requirements-bench*.txt``, ``.venv-bench*``."""

from __future__ import annotations

import hashlib
import subprocess
import sys

from include.settings import PROJECT_ROOT


def prepare_python(name: str = "bench") -> str:
    """The Python of ``.venv-<name>``, which is made or brought up to its lock first (needs the package index then)."""
    lock, folder = PROJECT_ROOT / f"requirements-{name}.txt", PROJECT_ROOT / f".venv-{name}"
    python = str(folder / "bin" / "python")
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    stamp = folder / ".installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"Installing {lock.name} into {folder.name}", flush=True)
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
    subprocess.run([*uv, "pip", "sync", "--quiet", "--python", python, str(lock)], check=True)
    stamp.write_text(wanted)
    return python
