"""Time and memory are those of the work itself, in a process that has been through more before."""

from __future__ import annotations

import subprocess
import sys
import time
from multiprocessing import get_context

import numpy as np
import pytest

from include.runtime import measure
from include.runtime.measure import measure_work

MB = 1024 * 1024


def _fill(megabytes: int) -> None:
    np.ones(megabytes * MB // 8)


def _measure_small_work(answers: object) -> None:
    with measure_work() as meter, meter.phase("fit"):
        _fill(60)
    answers.put((meter.base_mb, meter.peak_mb))  # type: ignore[attr-defined]


def test_the_peak_is_of_the_work_and_not_of_what_the_process_had_before() -> None:
    _fill(400)
    with measure_work() as meter, meter.phase("fit"):
        _fill(60)
    assert 55 < meter.peak_mb - meter.base_mb < 90


def test_a_process_that_was_forked_from_a_big_one_is_measured_by_its_own_work() -> None:
    """A warm worker's tasks are such processes."""
    _fill(400)
    fork = get_context("fork")
    answers = fork.Queue()
    process = fork.Process(target=_measure_small_work, args=(answers,))
    process.start()
    base, peak = answers.get(timeout=30)
    process.join()
    assert 55 < peak - base < 90


def test_where_the_mark_cannot_be_reset_memory_is_looked_at_often(monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(400)
    monkeypatch.setattr(measure, "reset_peak", lambda: False)
    with measure_work() as meter, meter.phase("fit"):
        kept = np.ones(60 * MB // 8)
        time.sleep(0.3)
        del kept
    assert 55 < meter.peak_mb - meter.base_mb < 90


def test_worker_processes_count_as_well() -> None:
    script = "import time; kept = bytearray(100_000_000); end = time.process_time() + 0.6\n"
    script += "while time.process_time() < end: pass\ntime.sleep(0.7)"
    with measure_work() as meter, meter.phase("fit"):
        subprocess.run([sys.executable, "-c", script], check=True)
    assert meter.peak_mb - meter.base_mb > 100
    assert 0.6 <= meter.cpu.fit < 1.5
    assert meter.seconds.fit > 1.3


def test_a_process_that_was_there_before_is_no_part_of_the_work() -> None:
    script = "kept = bytearray(100_000_000); print(flush=True); input()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with measure_work() as meter, meter.phase("fit"):
            time.sleep(0.1)
        other.communicate(b"\n")
    assert meter.peak_mb - meter.base_mb < 30


def test_each_phase_has_its_own_time() -> None:
    with measure_work() as meter:
        with meter.phase("load"):
            time.sleep(0.2)
        with meter.phase("fit"):
            end = time.process_time() + 0.2
            while time.process_time() < end:
                pass
    assert meter.seconds.load >= 0.2
    assert meter.cpu.load < 0.1
    assert 0.2 <= meter.cpu.fit < 0.4
    assert meter.cpu.evaluate == 0.0
