"""A lock that is a file, and that the kernel lets go when its holder dies: waited for with an end."""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from include.errors import TollgateError
from include.records import make_folder

_PAUSE_SECONDS = 0.02


def take_lock(file: IO[str], how: int) -> bool:
    """Have the lock of an open file (``fcntl.LOCK_EX`` or ``LOCK_SH``) if it is free, until the file is closed."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextlib.contextmanager
def hold_lock(path: Path, seconds: float, refuse: Callable[[], TollgateError]) -> Iterator[None]:
    """Be the only holder of ``path``. Raises what ``refuse`` makes when another is for longer than ``seconds``."""
    make_folder(path.parent)
    deadline = time.monotonic() + seconds
    with path.open("a") as file:
        while not take_lock(file, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                raise refuse()
            time.sleep(_PAUSE_SECONDS)
        yield
