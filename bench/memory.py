"""How much memory a running system takes: PSS, in which memory that processes share counts once."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from config.environment import Site
from config.supervise import Supervisor

_LOOK_SECONDS = 0.5


def read_pss(process: psutil.Process) -> float:
    """MB of one process; 0 when it ended meanwhile."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) / 1024


def measure_programs(site: Site) -> dict[str, float]:
    """MB of the supervisor and of each supervised program, guard, workers and running tasks included."""
    supervisor = Supervisor(site)
    pid = supervisor.read_pid()
    if pid is None:
        raise SystemExit("The system is not up.")
    sizes = {"supervisord": read_pss(psutil.Process(pid))}
    for name, state in supervisor.list_states().items():
        guard = psutil.Process(state["pid"])
        sizes[name] = sum(read_pss(process) for process in (guard, *guard.children(recursive=True)))
    return sizes


class PeakMemory(threading.Thread):
    """The highest sum over all programs, looked at twice a second until ``end``."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self._site = site
        self._done = threading.Event()
        self._highest = 0.0

    def run(self) -> None:
        """Look and look again."""
        while not self._done.wait(_LOOK_SECONDS):
            self._highest = max(self._highest, sum(measure_programs(self._site).values()))

    def end(self) -> float:
        """Stop looking; the peak in MB."""
        self._done.set()
        self.join()
        return self._highest
