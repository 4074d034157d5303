"""What a server's processes used: CPU time and memory of the whole tree."""

from __future__ import annotations

import psutil  # type: ignore[import-untyped]

from bench.memory import read_peak


def list_tree(pid: int) -> list[psutil.Process]:
    """The process and all that it started, as they are now."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def read_cpu(pid: int) -> dict[int, float]:
    """Seconds of user and system time so far, by process of the tree; what ended children used is their parent's."""
    spent = {}
    for process in list_tree(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        spent[process.pid] = times.user + times.system + times.children_user + times.children_system
    return spent


def count_cpu(before: dict[int, float], after: dict[int, float]) -> float:
    """Seconds used between two readings. A process that is new began at 0; one that ended shows in its parent's."""
    ended = sum(seconds for pid, seconds in before.items() if pid not in after)
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items()) - ended


def share_cpu(seconds: float, requests: int, connections: int) -> float:
    """CPU milliseconds a request. Those still under way when the window ended count as done: in favour of slow servers,
    for which they are many of the few."""
    return 1000 * seconds / max(1, requests + connections)


def measure_peak(pid: int) -> float:
    """MB of resident memory at its peak: the sum over the processes that the tree has now, of each one's own peak."""
    return float(sum(read_peak(process) for process in list_tree(pid)))
