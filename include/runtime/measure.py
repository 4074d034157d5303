"""What a piece of work takes in this process: seconds, processor time and peak memory, each of that work alone.

A task runs in a process that was forked from one which lives long and has every library loaded. ``ru_maxrss`` and
``VmHWM`` then start from that memory and from whatever the process did before, so the high-water mark is set back first
(``5`` in /proc/self/clear_refs, Linux 4.0). Where that is not allowed, memory is looked at twenty times a second.
"""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from include.runtime.history import Phases

_PHASES = ("load", "features", "fit", "evaluate", "search")
# Worker processes live for seconds; each is asked for its own high-water mark, so that a look may come late.
_LOOK_SECONDS = 0.5
_CLOSE_LOOK_SECONDS = 0.05


def _read_status(pid: int | str, name: str) -> float:
    """MB of a line of /proc/<pid>/status; 0 when the process has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{name}:")), 0) / 1024


def reset_peak() -> bool:
    """Set this process's high-water mark of resident memory back to what it has now; False when not allowed."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _list_children() -> list[psutil.Process]:
    try:
        return list(psutil.Process().children(recursive=True))
    except psutil.Error:
        return []


def read_cpu() -> float:
    """Seconds of processor time of this process, all its threads, and the processes it started, ended or not."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = time.process_time() + ended.ru_utime + ended.ru_stime
    for child in _list_children():
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        spent += times.user + times.system
    return float(spent)


class _MemoryWatch(threading.Thread):
    """The most that the worker processes had together, and, where the mark cannot be reset, this process's most."""

    def __init__(self, exact: bool) -> None:
        super().__init__(daemon=True)
        self._exact = exact
        # What was started before is no part of the work.
        self._before = {child.pid for child in _list_children()}
        self._done = threading.Event()
        self.children_mb = 0.0
        self.own_mb = 0.0

    def look(self) -> None:
        """Take what is there now into account."""
        started = (child.pid for child in _list_children() if child.pid not in self._before)
        together = sum(_read_status(pid, "VmHWM") for pid in started)
        self.children_mb = max(self.children_mb, together)
        self.own_mb = max(self.own_mb, _read_status("self", "VmHWM" if self._exact else "VmRSS"))

    def run(self) -> None:
        """Look and look again, until ``end``."""
        while not self._done.wait(_LOOK_SECONDS if self._exact else _CLOSE_LOOK_SECONDS):
            self.look()

    def end(self) -> None:
        """Look once more and stop."""
        self._done.set()
        self.join()
        self.look()


class Meter:
    """Figures of one piece of work, filled by ``measure_work``; ``phase`` may be entered more than once by a name."""

    def __init__(self) -> None:
        self._seconds = dict.fromkeys(_PHASES, 0.0)
        self._cpu = dict.fromkeys(_PHASES, 0.0)
        self.base_mb = 0.0
        self.peak_mb = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """What happens inside belongs to the phase ``name``: load, features, search, fit or evaluate."""
        wall, cpu = time.perf_counter(), read_cpu()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - wall, read_cpu() - cpu)

    def add(self, name: str, seconds: float, cpu: float) -> None:
        """Count what was spent elsewhere, such as on another machine, or measured by itself."""
        self._seconds[name] += seconds
        self._cpu[name] += max(cpu, 0.0)

    @property
    def seconds(self) -> Phases:
        """Wall clock by phase."""
        return Phases(**{name: round(value, 4) for name, value in self._seconds.items()})

    @property
    def cpu(self) -> Phases:
        """Processor time by phase."""
        return Phases(**{name: round(value, 4) for name, value in self._cpu.items()})


@contextmanager
def measure_work() -> Iterator[Meter]:
    """Measure what is done inside; ``base_mb`` and ``peak_mb`` of the meter are there when it is over."""
    meter = Meter()
    watch = _MemoryWatch(exact=reset_peak())
    meter.base_mb = round(_read_status("self", "VmRSS"), 1)
    watch.start()
    try:
        yield meter
    finally:
        watch.end()
        meter.peak_mb = round(watch.own_mb + watch.children_mb, 1)
