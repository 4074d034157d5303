"""Every second of a refresh is counted once, and the work of the critical path as what it must take at least."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bench.refresh.timeline import CHAIN, measure_chain, measure_work


def _write_time(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


def _make_task(name: str, start: float, end: float, index: int = -1) -> dict[str, Any]:
    return {"task_id": name, "map_index": index, "start_date": _write_time(start), "end_date": _write_time(end)}


def test_the_parts_sum_up_to_the_wall_time() -> None:
    """1 s to notice, 0.5 s before each further DAG, 0.25 s before a task and 2 s in it; the last serves after 1 s."""
    now = 1001.0
    runs = {}
    for place, (dag, chain) in enumerate(CHAIN):
        now += 0.5 if place else 0.0
        run = {"queued_at": _write_time(now)}
        tasks = []
        for name in chain:
            now += 0.25
            tasks.append(_make_task(f"a_group.{name}", now, now + 2.0, 0))
            if name == "fit_candidate":
                tasks.append(_make_task(name, now, now + 1.0, 1))
            now += 2.0
        runs[dag] = (run, [*tasks, _make_task("beside", now, now + 60.0)])
    served = now - 1.0
    found = measure_chain(1000.0, served, runs)
    count = sum(len(chain) for _, chain in CHAIN)
    assert found.wall == pytest.approx(served - 1000.0)
    assert sum(found.parts.values()) == pytest.approx(found.wall)
    assert found.parts == pytest.approx(
        {"notice": 1.0, "next_dag": 1.0, "between_tasks": 0.25 * count, "in_tasks": 2.0 * count - 1.0}
    )
    assert found.tasks["fit_candidate"] == pytest.approx(2.0)
    assert found.tasks["shift_traffic"] == pytest.approx(1.0)


def test_work_is_what_the_answer_waits_for() -> None:
    """``open_run`` is not in the chain; the last step goes on after the new version is served."""
    steps = [("take_in_arrival", 0.0, 0.5), ("open_run", 0.5, 9.0), ("fit_candidate", 1.0, 3.0)]
    work = measure_work([*steps, ("shift_traffic", 20.0, 7.0)], 20.5)
    assert work == {"take_in_arrival": 0.5, "fit_candidate": 3.0, "shift_traffic": 0.5}
