"""Windows of load: the servers take turns, and each window says what it saw and what the server used for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.endpoint.servers import Running
from bench.endpoint.spent import count_cpu, read_cpu, share_cpu
from bench.endpoint.wrk import Load, run_load


@dataclass(frozen=True)
class Case:
    """Requests of ``rows`` rows by ``connections`` callers at a time, to ``servers``: windows of ``seconds``."""

    rows: int
    connections: int
    seconds: int
    rounds: int
    servers: tuple[str, ...]


@dataclass(frozen=True)
class Window:
    """``cpu_ms`` is what one request cost the server's processes."""

    cpu_ms: float
    load: Load


@dataclass
class Seen:
    """All windows, by server and rows of a request; MB at most by server; and of what a peer is laxer about."""

    windows: dict[tuple[str, int], list[Window]] = field(default_factory=lambda: defaultdict(list))
    memory: dict[str, float] = field(default_factory=dict)
    laxer: dict[str, str] = field(default_factory=dict)

    def find(self, server: str, rows: int, what: Callable[[Window], float]) -> float:
        """The median over the rounds."""
        return median(map(what, self.windows[server, rows]))

    def choose(self, servers: Sequence[str], rows: int, what: Callable[[Window], float], highest: bool = False) -> str:
        """The server of one kind that did best."""
        return (max if highest else min)(servers, key=lambda server: self.find(server, rows, what))


def get_cpu(window: Window) -> float:
    """CPU milliseconds a request."""
    return window.cpu_ms


def get_rate(window: Window) -> float:
    """Requests a second."""
    return window.load.rate


def get_p50(window: Window) -> float:
    """Milliseconds within which half of the callers had their answer."""
    return window.load.p50_ms


def get_p99(window: Window) -> float:
    """Milliseconds within which 99 of 100 callers had their answer."""
    return window.load.p99_ms


def measure_window(program: str, running: Running, bodies: Path, connections: int, seconds: int) -> Window:
    """One window. Ends the bench when a request failed, or none was answered: such a time is no figure."""
    before = read_cpu(running.pid)
    load = run_load(program, running.port, bodies, connections, seconds)
    used = count_cpu(before, read_cpu(running.pid))
    if load.failed or not load.requests:
        raise SystemExit(f"{running.name}: {load.failed} of {load.requests} requests failed; see {running.log}")
    return Window(share_cpu(used, load.requests, connections), load)


def take_turns(
    program: str, case: Case, running: Mapping[str, Running], find_bodies: Callable[[str, int], Path], seen: Seen
) -> None:
    """Measure the servers of ``case`` one after the other, round by round; every one is warmed up first."""
    for name in case.servers:
        run_load(program, running[name].port, find_bodies(name, case.rows), case.connections, 1)
    for number in range(case.rounds):
        for name in case.servers:
            bodies = find_bodies(name, case.rows)
            window = measure_window(program, running[name], bodies, case.connections, case.seconds)
            seen.windows[name, case.rows].append(window)
            load = window.load
            print(
                f"{case.rows:6,} rows, round {number + 1}, {name:18} {window.cpu_ms:9.3f} CPU ms, {load.rate:9,.1f}/s, "
                f"p50 {load.p50_ms:.2f} ms, p99 {load.p99_ms:.2f} ms",
                flush=True,
            )
