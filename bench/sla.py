"""How late the mail about something late is, whether anybody hears of what was in time, and what the watching costs:
``python -m bench.sla``.

One real system, whose runs are Airflow's own. Runs of a paused DAG stay queued, so that many pass one deadline at the
same instant. For the cost 200 task instances of real runs are set to running in Airflow's database; the same looks are
then made through Airflow's REST API.
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil  # type: ignore[import-untyped]

from bench import system
from bench.memory import read_peak
from bench.results import Measured, find_versions, read_load, write_results
from config.supervise import Supervisor
from include.sla.misses import list_misses
from include.sla.watch import LOOK_SECONDS

DELAY, FALSE, CPU = "sla_mail_worst_delay", "sla_false_alerts", "sla_watch_cpu"
PIPELINE = "watched"
_TRAIN, _REFRESH = f"{PIPELINE}.train_model", f"{PIPELINE}.data_refresh"
_LIMIT, _IN_TIME = 20.0, 120.0
_AT_ONCE, _APART = 20, 30
_ON_TIME_RUNS, _BESIDE = 200, 8
_TASKS = 200
_WATCHED_SECONDS = 60.0
_DECLARATION = """
from include.declaration import Sla
from include.pipelines.flight_delays.pipeline import PIPELINE as FLIGHTS

PIPELINE = FLIGHTS.model_copy(
    update={{
        "name": "{name}",
        "package": "include.pipelines.flight_delays",
        "sla": Sla(
            train_model="{late:.0f}s",
            data_refresh=("{in_time:.0f}s", "5 × usual"),
            tasks={{"train_model.*": "1h", "data_refresh.*": ("{in_time:.0f}s", "5 × usual")}},
        ),
    }}
)
"""


def _write_pipeline(folder: Path) -> None:
    (folder / PIPELINE).mkdir(parents=True)
    (folder / PIPELINE / "__init__.py").touch()
    text = _DECLARATION.format(name=PIPELINE, late=_LIMIT, in_time=_IN_TIME)
    (folder / PIPELINE / "pipeline.py").write_text(text)


def _read_time(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def find_arrivals(folder: Path, run_ids: Sequence[str]) -> dict[str, float]:
    """Run to the second in which the mail server had the mail about it."""
    arrived: dict[str, float] = {}
    for path in folder.glob("*.eml"):
        text = path.read_text(errors="replace")
        for run_id in run_ids:
            if run_id in text:
                arrived.setdefault(run_id, path.stat().st_mtime)
    return arrived


def _trigger(running: system.RunningSystem, dag_id: str, run_id: str) -> str:
    """Start a run."""
    return running.insist(lambda: running.api.trigger(dag_id, dag_run_id=run_id), f"make {run_id} of {dag_id}")


def measure_delays(running: system.RunningSystem) -> list[float]:
    """Seconds from a deadline to its mail being at the mail server: 20 deadlines at one time, 30 one after another."""
    running.pause(_TRAIN)
    # Triggered by a person's calls, the runs are made within a second or two of each other.
    runs = [_trigger(running, _TRAIN, f"at-once-{number:02d}") for number in range(_AT_ONCE)]
    for number in range(_APART):
        time.sleep(1.0)
        runs.append(_trigger(running, _TRAIN, f"apart-{number:02d}"))
    queued = {run["dag_run_id"]: _read_time(run["queued_at"]) for run in running.api.list_runs(_TRAIN)}
    deadline = time.monotonic() + _LIMIT + 120
    arrived: dict[str, float] = {}
    while len(arrived) < len(runs):
        if time.monotonic() > deadline:
            raise SystemExit(f"only {len(arrived)} of {len(runs)} mails came")
        time.sleep(0.5)
        arrived = find_arrivals(running.site.mail_folder, runs)
    return [arrived[run] - queued[run] - _LIMIT for run in runs]


def measure_false_alerts(running: system.RunningSystem) -> tuple[int, float]:
    """Misses told of 200 runs that were in time, and the longest of these runs in seconds."""
    told = len(list_misses(running.site.settings, PIPELINE))
    waiting = [f"on-time-{number:03d}" for number in range(_ON_TIME_RUNS)]
    taken: dict[str, float] = {}
    under_way: list[str] = []
    while waiting or under_way:
        while waiting and len(under_way) < _BESIDE:
            under_way.append(_trigger(running, _REFRESH, waiting.pop(0)))
        for run_id in tuple(under_way):
            run = running.api.get_run(_REFRESH, run_id)
            if run["state"] in ("success", "failed"):
                under_way.remove(run_id)
                taken[run_id] = _read_time(run["end_date"]) - _read_time(run["queued_at"])
        time.sleep(0.2)
    time.sleep(3 * LOOK_SECONDS)
    longest = max(taken.values())
    if longest > _IN_TIME:
        raise SystemExit(f"a run took {longest:.0f} s: it was not in time, so this says nothing")
    return len(list_misses(running.site.settings, PIPELINE)) - told, longest


def _find_process(running: system.RunningSystem, program: str) -> psutil.Process:
    guard = psutil.Process(Supervisor(running.site).list_states()[program]["pid"])
    child: psutil.Process = guard.children()[0]
    return child


def _read_cpu(process: psutil.Process) -> float:
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        times = each.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def spend(process: psutil.Process, work: Callable[[], None]) -> float:
    """CPU seconds a second that ``process`` and its children use while ``work`` is done."""
    began, before = time.monotonic(), _read_cpu(process)
    work()
    return (_read_cpu(process) - before) / (time.monotonic() - began)


def _set_running(running: system.RunningSystem) -> int:
    """Set the task instances of the queued runs to running; returns how many there are."""
    database = running.site.settings.home / "airflow" / "airflow.db"
    with sqlite3.connect(database, timeout=60) as connection:
        connection.execute(
            "UPDATE task_instance SET state = 'running', try_number = 1, start_date = datetime('now') "
            "WHERE dag_id = ? AND id IN (SELECT id FROM task_instance WHERE dag_id = ? LIMIT ?)",
            (_TRAIN, _TRAIN, _TASKS),
        )
        return int(connection.execute("SELECT count(*) FROM task_instance WHERE state = 'running'").fetchone()[0])


def _ask_by_api(running: system.RunningSystem, seconds: float) -> None:
    """The watcher's two questions as often as it asks them, to Airflow's REST API."""
    end = time.monotonic() + seconds
    states: Mapping[str, Any] = {"state": ["queued", "running"], "limit": 100}
    while (began := time.monotonic()) < end:
        running.api.call("GET", "/dags/~/dagRuns", params=states)
        for offset in range(0, _TASKS, 100):
            path = "/dags/~/dagRuns/~/taskInstances"
            running.api.call("GET", path, params={**states, "offset": offset})
        time.sleep(max(0.0, LOOK_SECONDS - (time.monotonic() - began)))


def measure_cost(running: system.RunningSystem, seconds: float) -> tuple[float, float, float]:
    """Percent of a core of the watcher and of the API server for the same looks, and the watcher's peak MB."""
    watched = _set_running(running)
    if watched < _TASKS:
        raise SystemExit(f"{watched} tasks are running in the database instead of {_TASKS}")
    watcher, server = _find_process(running, "sla-watcher"), _find_process(running, "api-server")
    time.sleep(3 * LOOK_SECONDS)
    ours = spend(watcher, lambda: time.sleep(seconds))
    idle = spend(server, lambda: time.sleep(seconds))
    peer = spend(server, lambda: _ask_by_api(running, seconds))
    return ours * 100, (peer - idle) * 100, read_peak(watcher)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the three figures."""
    parser = argparse.ArgumentParser(prog="python -m bench.sla", description=__doc__)
    parser.add_argument("--seconds", type=float, default=_WATCHED_SECONDS, help="seconds over which the cost is taken")
    seconds = parser.parse_args(arguments).seconds
    load = read_load()
    with system.start("warm", _write_pipeline) as running:
        alerts, longest = measure_false_alerts(running)
        delays = measure_delays(running)
        ours, peer, peak = measure_cost(running, seconds)
    versions = find_versions("apache-airflow")
    count = f"{len(delays)} deadlines, {_AT_ONCE} of them at once"
    write_results(
        DELAY,
        [
            Measured(f"worst delay of a mail after its deadline, {count}", max(delays), "s", "", target="≤ 30 s"),
            Measured(f"median delay of a mail after its deadline, {count}", median(delays), "s", ""),
        ],
        load,
        versions,
    )
    write_results(
        FALSE,
        [
            Measured(
                measure=f"misses told of {_ON_TIME_RUNS} runs that were in time (the longest took {longest:.1f} s)",
                value=float(alerts),
                unit="misses",
                peer="",
                target="0",
            )
        ],
        load,
        versions,
    )
    write_results(
        CPU,
        [
            Measured(
                measure=f"watching {_TASKS} running tasks, a look every {LOOK_SECONDS:.0f} s",
                value=ours,
                unit="% of a core",
                peer="the same looks through Airflow's REST API, its server's share",
                peer_value=peer,
                ratio_is="peer ÷ ours",
                peak_mb=peak,
                target="watcher < 60 MB",
            )
        ],
        load,
        versions,
    )


if __name__ == "__main__":
    main()
