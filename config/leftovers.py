"""Finding every process of one system, whatever became of its parents."""

from __future__ import annotations

import os
import time

import psutil  # type: ignore[import-untyped]

from config.environment import Site
from config.guard import find_noted, kill_all

_MARK = "TOLLGATE_SYSTEM"


def _is_marked(process: psutil.Process, home: str) -> bool:
    try:
        return bool(process.environ().get(_MARK) == home and process.status() != psutil.STATUS_ZOMBIE)
    except (psutil.Error, OSError):
        return False


def find_processes(site: Site) -> set[int]:
    """Pids that belong to this home: by the sessions that guards noted and by the mark in their environment.

    Both are needed: a process that renames itself overwrites its environment, and one that starts a session of its
    own leaves the noted one. This process and its ancestors never count.
    """
    home = str(site.settings.home)
    found = {process.pid for process in psutil.process_iter() if _is_marked(process, home)}
    for note in (site.run_folder / "sessions").glob("*.json"):
        found |= find_noted(note)
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return found - own


def describe_processes(pids: set[int]) -> list[str]:
    """One line for each living pid, for a person."""
    lines = []
    for pid in sorted(pids):
        try:
            lines.append(f"{pid} {' '.join(psutil.Process(pid).cmdline())[:120]}")
        except psutil.Error:
            continue
    return lines


def kill_processes(site: Site, seconds: float = 10.0) -> list[str]:
    """Kill what is left of this system and say what it was. Afterwards nothing is, or it is still dying."""
    left = find_processes(site)
    described = describe_processes(left)
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        kill_all(left)
        time.sleep(0.1)
        left = find_processes(site)
    for note in (site.run_folder / "sessions").glob("*.json"):
        note.unlink(missing_ok=True)
    return described
