"""Work in a thread beside the event loop that lets it run again and again.

Two threads of Python take turns: when the loop's wakes up while another computes, it has to wait for the interpreter's
lock, and then for a processor, which the kernel may leave to who computes until its next tick. A model takes some 15 ms
to load, and requests during that took 4 to 8 ms longer. Who rests by itself does not need to be interrupted. (A lower
priority of the thread would do the same on an idle machine. On a busy one it would be stopped while it holds the lock,
and everybody with it.)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# Shorter turns only cost more: giving the processor away takes some 50 µs by itself.
TURN_SECONDS = 0.0003
REST_SECONDS = 0.0001


def run_breathing(function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call ``function`` in this thread, which rests for ``REST_SECONDS`` after each turn of ``TURN_SECONDS``.

    It takes some four times as long. The interpreter's profiling hook, called whenever a function is entered or left,
    looks at the clock: one call into C runs to its end. Raises what ``function`` raises.
    """
    turn_ends = time.perf_counter() + TURN_SECONDS

    def rest_when_due(_frame: FrameType, _event: str, _argument: Any) -> None:
        nonlocal turn_ends
        if time.perf_counter() >= turn_ends:
            time.sleep(REST_SECONDS)
            turn_ends = time.perf_counter() + TURN_SECONDS

    before = sys.getprofile()
    sys.setprofile(rest_when_due)
    try:
        return function(*arguments, **named)
    finally:
        sys.setprofile(before)
