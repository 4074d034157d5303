"""Work beside the event loop: it returns and raises as without, and leaves turns to another thread."""

from __future__ import annotations

import sys
import time

import pytest

from include.serving import breathing
from include.serving.breathing import run_breathing


def call_often(seconds: float) -> int:
    """Call a function of Python again and again for ``seconds``; returns how often."""
    calls = 0
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        calls = add_one(calls)
    return calls


def add_one(number: int) -> int:
    return number + 1


def test_what_it_returns_and_raises_is_the_functions_own() -> None:
    before = sys.getprofile()
    assert run_breathing(add_one, number=4) == 5
    with pytest.raises(ZeroDivisionError):
        run_breathing(divmod, 1, 0)
    assert sys.getprofile() is before


def test_it_rests_after_each_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    sleep = time.sleep

    def note(seconds: float) -> None:
        rests.append(seconds)
        sleep(seconds)

    monkeypatch.setattr(breathing.time, "sleep", note)
    began = time.thread_time()
    run_breathing(call_often, 0.1)
    computed = time.thread_time() - began
    assert set(rests) == {breathing.REST_SECONDS}
    # At least a rest for each five turns that were computed, however busy the machine is.
    assert len(rests) >= computed / (5 * breathing.TURN_SECONDS)
