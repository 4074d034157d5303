"""Which failures a bigger machine may mend: out of memory, out of time, a lost worker. Code fails there as well."""

from __future__ import annotations

import re
from typing import Literal

FailureKind = Literal["memory", "time", "lost", "transient", "code"]
CLIMBING: tuple[FailureKind, ...] = ("memory", "time", "lost")

# Killed by the kernel (SIGKILL, as a signal or as a shell's exit code), or aborted by a library that got no memory.
_MEMORY_CODES = (-9, -6, 137, 134)
# SIGTERM: somebody took the machine away.
_LOST_CODES = (-15, 143)
# Named, not imported: they are Airflow's, joblib's, loky's and Dask's, whichever of these is there.
_TIME_NAMES = ("AirflowTaskTimeout", "TimeoutError")
_LOST_NAMES = (
    "AirflowTaskTerminated",
    "KilledWorker",
    "TerminatedWorkerError",
    "BrokenProcessPool",
    "WorkerLostError",
    "CommClosedError",
)
_KILLED = re.compile(
    r"SIGKILL|SIGABRT|exit(?:ed with)? code -?(?:9|6)\b|\b137\b|out of memory|memory limit", re.IGNORECASE
)


def judge_exit_code(code: int) -> FailureKind:
    """What a process's exit code says; a negative one is the signal that ended it."""
    if code in _MEMORY_CODES:
        return "memory"
    return "lost" if code in _LOST_CODES else "code"


def judge_exception(error: BaseException) -> FailureKind:
    """What an exception, or one that it was raised from, says."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError):
            return "memory"
        names = {each.__name__ for each in type(seen).__mro__}
        if names.intersection(_TIME_NAMES):
            return "time"
        if names.intersection(_LOST_NAMES):
            return "memory" if _KILLED.search(str(seen)) else "lost"
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "transient" if getattr(error, "retryable", False) else "code"
