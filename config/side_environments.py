"""Environments beside .venv for what does not belong into it: ``.venv-<name>`` for ``requirements-<name>.txt``."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys

from include.errors import TransientError
from include.settings import PROJECT_ROOT


class InstallFailed(TransientError):
    """An environment could not be made from its lock; facts: ``folder``, ``lock``."""


def prepare_python(name: str) -> str:
    """The Python of ``.venv-<name>``, which is made or brought up to its lock first (needs the package index then).

    Another process that wants the same waits. Raises InstallFailed; why, uv itself wrote to stderr.
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
        try:
            subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True)
            subprocess.run([*uv, "pip", "sync", "--quiet", "--python", python, str(lock)], check=True)
        except subprocess.CalledProcessError as error:
            raise InstallFailed(
                f"{lock.name} could not be installed into {folder.name}.",
                next_step="See what uv wrote above; check that the package index can be reached, then try again.",
                folder=str(folder),
                lock=str(lock),
            ) from error
        stamp.write_text(wanted)
        return python
