"""How much memory programs take: a whole system as PSS, in which what processes share counts once; one process as the
resident memory that it had at most."""

from __future__ import annotations

import threading
from collections.abc import Callable
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


def read_peak(process: psutil.Process) -> float:
    """MB of resident memory that one process had at most so far (VmHWM); 0 when it ended meanwhile."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0.0
    # One that ended and was not waited for yet has no such line.
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")), 0) / 1024


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


def measure_system(site: Site) -> float:
    """MB of all programs together."""
    return sum(measure_programs(site).values())


class PeakMemory(threading.Thread):
    """The highest MB that ``measure`` gives, asked every ``seconds`` until ``end``."""

    def __init__(self, measure: Callable[[], float], seconds: float = _LOOK_SECONDS) -> None:
        super().__init__(daemon=True)
        self._measure = measure
        self._seconds = seconds
        self._done = threading.Event()
        self._highest = 0.0

    def run(self) -> None:
        """Look and look again."""
        while not self._done.wait(self._seconds):
            self._highest = max(self._highest, self._measure())

    def end(self) -> float:
        """Stop looking, after a last look; the peak in MB."""
        self._done.set()
        self.join()
        return max(self._highest, self._measure())
