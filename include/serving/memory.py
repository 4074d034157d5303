"""A limit to the memory of this process: a candidate that eats memory fails in its own process, alone."""

from __future__ import annotations

import contextlib
import resource
import sys
from pathlib import Path

_MEBIBYTE = 1024 * 1024


def limit_memory(megabytes: int) -> None:
    """Let this process have so much private memory, for good: beyond it an allocation fails.

    RLIMIT_DATA counts what is written to and not what is only mapped, which libraries do freely. Where the whole
    machine runs short all the same, the kernel ends this process first.
    """
    limit = megabytes * _MEBIBYTE
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # a container may forbid it; the limit above holds
            Path("/proc/self/oom_score_adj").write_text("1000")
