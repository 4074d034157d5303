"""Environments beside .venv for what does not belong into it: ``.venv-<name>`` for ``requirements-<name>.txt``."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys

from include.settings import PROJECT_ROOT


def prepare_python(name: str) -> str:
    """The Python of ``.venv-<name>``, which is made or brought up to its lock first (needs the package index then).

    Another process that wants the same waits. Raises CalledProcessError when the installing fails.
    """
    lock, folder = PROJECT_ROOT / f"requirements-{name}.txt", PROJECT_ROOT / f".venv-{name}"
    python, stamp = str(folder / "bin" / "python"), folder / ".installed"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    with folder.with_name(f"{folder.name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if stamp.is_file() and stamp.read_text() == wanted:
            return python
        print(f"Installing {lock.name} into {folder.name}", flush=True)
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
        subprocess.run([*uv, "pip", "sync", "--quiet", "--python", python, str(lock)], check=True)
        stamp.write_text(wanted)
        return python
