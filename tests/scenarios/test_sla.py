"""S14, S15 and the mail of S6: what is late is told within 30 s, once, while it is late, whatever is killed meanwhile.

On a system of its own with a real mail server; clocks are made short by the declarations alone.
"""

from __future__ import annotations

import email.utils
import os
import shutil
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pandas as pd
import pytest

from config.health import wait_until_well
from config.programs import list_programs
from config.supervise import Supervisor
from include.sla.misses import list_misses
from tests.scenarios.lenient import take_rows
from tests.scenarios.system import RunningSystem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

HERE = Path(__file__).parent
TRAIN = "watched.train_model"
# What the issue promises.
PROMPT = 30.0


@pytest.fixture(scope="module")
def minute() -> datetime:
    """The minute of the one partition of ``fresh``: it ends after the system is up."""
    return (datetime.now(UTC) + timedelta(minutes=3)).replace(second=0, microsecond=0)


@pytest.fixture(scope="module")
def own_system(tmp_path_factory: pytest.TempPathFactory, minute: datetime) -> Iterator[RunningSystem]:
    folder = tmp_path_factory.mktemp("sla")
    shutil.copytree(HERE / "sla_pipelines", folder / "pipelines")
    running = RunningSystem(
        folder / "home",
        pipelines=folder / "pipelines",
        suites=HERE / "sla_expectations",
        TOLLGATE_TEST_MINUTE=f"{minute:%Y-%m-%dT%H%M}",
    )
    try:
        yield running.start()
    finally:
        (running.home / "hang").unlink(missing_ok=True)
        running.stop()


def read_time(mail: dict[str, Any]) -> float:
    """When a mail was composed."""
    return email.utils.parsedate_to_datetime(mail["date"]).timestamp()


def find_miss(system: RunningSystem, kind: str, run_id: str) -> dict[str, Any]:
    """The one record of a miss of a run, once it is there."""

    def look() -> dict[str, Any] | None:
        found = [m for m in list_misses(system.settings, "watched") if (m["kind"], m.get("run_id")) == (kind, run_id)]
        assert len(found) <= 1
        return found[0] if found else None

    return system.wait_for(look, 200, f"a miss of {run_id}: {kind}")


def wait_for_mails(system: RunningSystem, run_id: str, subject: str, count: int = 1) -> list[dict[str, Any]]:
    """The mails to the owner about a run, as soon as there are so many."""

    def look() -> list[dict[str, Any]] | None:
        found = [
            mail
            for mail in system.mails(subject)
            if run_id in mail["text"] and not mail["subject"].startswith("beside")
        ]
        return found if len(found) >= count else None

    return system.wait_for(look, 120, f"{count} mails about {subject!r} of {run_id}")


def wait_for_training(system: RunningSystem, partition: str) -> dict[str, Any]:
    return system.wait_for(
        lambda: next((run for run in system.runs(TRAIN) if run["partition_key"] == partition), None),
        200,
        f"the training of {partition}",
    )


def wait_until_fitting(system: RunningSystem, run_id: str) -> None:
    def look() -> bool | None:
        return system.api.list_states(TRAIN, run_id).get("fit_candidate[0]") == "running" or None

    system.wait_for(look, 120, "the fit to run")


@pytest.fixture
def hang(own_system: RunningSystem) -> Iterator[Path]:
    """The file that makes a fit hang; gone at the end."""
    path = own_system.home / "hang"
    path.touch()
    yield path
    path.unlink(missing_ok=True)
    (own_system.home / "fail").unlink(missing_ok=True)

    def look() -> bool | None:
        # The run of ``fresh`` waits for its data all the time.
        return None if any(run["dag_id"].startswith("watched.") for run in own_system.list_busy_runs()) else True

    own_system.wait_for(look, 240, "every run of watched to end")


def test_trainings_that_are_in_time_are_usual_and_tell_nothing(own_system: RunningSystem) -> None:
    system = own_system
    for month in (1, 2):
        system.land("watched", f"2013-{month:02d}", take_rows(month))
        run = system.wait_for_run(TRAIN, lambda run, month=month: run["partition_key"] == f"2013-{month:02d}")  # type: ignore[misc]
        assert run["state"] == "success"
    system.wait_for_record("watched", "deployment", lambda record: record["partition"] == "2013-02", 120)
    assert list_misses(system.settings, "watched") == []
    assert system.mails("SLA") == []


def test_s6_s15_a_hung_fit_is_told_while_it_hangs_then_its_run_then_its_delivery(
    own_system: RunningSystem, hang: Path
) -> None:
    system = own_system
    system.land("watched", "2013-03", take_rows(3))
    run = wait_for_training(system, "2013-03")
    run_id = run["dag_run_id"]
    (task,) = wait_for_mails(system, run_id, "train_model: fit_candidate[0] missed its SLA of 2 × usual")
    assert system.api.list_states(TRAIN, run_id)["fit_candidate[0]"] == "running", "the mail comes while it hangs"
    miss = find_miss(system, "task", run_id)
    assert miss["due"] <= miss["noticed"]
    assert time.time() - miss["due"] <= PROMPT
    assert "is late, its SLA is 2 × usual" in task["text"]
    # What is usual, of how many runs at how many rows, and what happens to what hangs.
    assert " in 2 runs of 6,000 to 12,000 rows" in task["text"].replace("\n", " ")
    assert "none: it should have ended at" in task["text"]
    assert "This try (1) is stopped at" in task["text"] and "after 30 min 0 s, and tried again, 3 more" in task["text"]
    assert f"/runs/{quote(run_id)}/tasks/fit_candidate/mapped/0" in task["text"]
    assert "<table" in task["html"]

    (late,) = wait_for_mails(system, run_id, "train_model missed its SLA of 60s")
    assert system.api.get_run(TRAIN, run_id)["state"] == "running"
    assert time.time() - find_miss(system, "run", run_id)["due"] <= PROMPT
    assert "by an asset" in late["text"] and "Under way: fit_candidate (running)" in late["text"]
    assert f"/dags/{TRAIN}/runs/{quote(run_id)}" in late["text"]

    delivery = system.wait_for_mail("a refresh is not served within 90s", 120)
    assert "2013-03 is training" in delivery["text"]
    beside = system.wait_for_mail("beside the mail: [Tollgate] watched: train_model: fit_candidate", 120)
    assert beside["to"] == ["chat@example.com"] or "chat@example.com" in str(beside["to"])

    # It then fails, which has a mail of its own; the misses were told once.
    (system.home / "fail").touch()
    hang.unlink()
    system.wait_for_run(TRAIN, lambda run: run["dag_run_id"] == run_id and run["state"] == "failed", 300)
    assert len(wait_for_mails(system, run_id, "missed its SLA", 2)) == 2


def test_s15_a_run_by_hand_is_told_and_an_edited_dag_loses_nothing(own_system: RunningSystem, hang: Path) -> None:
    system = own_system
    before = system.api.trigger(TRAIN)
    wait_until_fitting(system, before)
    # A declaration that is edited makes another version of the DAG while the run runs.
    source = system.settings.pipelines_path / "watched" / "pipeline.py"
    source.write_text(source.read_text().replace('"package": "",', '"package": "", "description": "edited",'))

    def is_edited() -> bool | None:
        return system.api.call("GET", f"/dags/{TRAIN}")["description"].startswith("edited") or None

    system.wait_for(is_edited, 120, "the edited DAG to be parsed")
    (late,) = wait_for_mails(system, before, "train_model missed its SLA of 60s")
    assert "by hand" in late["text"]
    assert time.time() - find_miss(system, "run", before)["due"] <= PROMPT
    hang.unlink()
    system.wait_for_run(TRAIN, lambda run: run["dag_run_id"] == before, 300)
    hang.touch()
    after = system.api.trigger(TRAIN)
    (late,) = wait_for_mails(system, after, "train_model missed its SLA of 60s")
    assert time.time() - find_miss(system, "run", after)["due"] <= PROMPT


def test_s15_killed_watcher_and_triggerer_a_dead_mail_server_and_nothing_is_lost_or_told_twice(
    own_system: RunningSystem, hang: Path
) -> None:
    system = own_system
    supervisor = Supervisor(system.site)
    run_id = system.api.trigger(TRAIN)
    wait_until_fitting(system, run_id)
    supervisor.stop_programs(["mail-catcher"], 30)
    began = time.monotonic()
    # Kept down over both deadlines, and dead triggerers with it.
    while time.monotonic() - began < 70:
        for program in ("sla-watcher", "triggerer"):
            try:
                system.wait_until_restarted(program, system.kill(program), 60)
            except (FileNotFoundError, ProcessLookupError):
                continue
        time.sleep(2)
    restarted = time.time()
    run, task = (find_miss(system, kind, run_id) for kind in ("run", "task"))
    supervisor.start_program("mail-catcher")
    catcher = [program for program in list_programs(system.site) if program.name == "mail-catcher"]
    wait_until_well(system.site, catcher, 30, system.said.append)
    returned = time.time()
    mails = wait_for_mails(system, run_id, "missed its SLA", 2)
    # The fits that hung before are part of what is usual now, so this one's deadline may come after the kills.
    assert run["due"] < restarted
    back = time.time()
    assert back - max(returned, task["due"]) <= PROMPT, "both are there soon after the mail server is"
    hang.unlink()
    system.wait_for_run(TRAIN, lambda run: run["dag_run_id"] == run_id, 300)
    time.sleep(6)
    again = wait_for_mails(system, run_id, "missed its SLA", 2)
    assert len(again) == len(mails) == 2


def test_s14_late_data_waits_without_a_worker_and_is_told_when_due_and_when_it_has_come(
    own_system: RunningSystem, minute: datetime
) -> None:
    system = own_system
    partition, due = f"{minute:%Y-%m-%dT%H%M}", minute.timestamp() + 60 + 10
    late = system.wait_for_mail(f"fresh: data of {partition} is late", max(due - time.time(), 0) + 60)
    assert 0 <= read_time(late) - due + 1 <= PROMPT
    assert f"The data of {partition} was due 10s after its period" in late["text"]
    run = system.wait_for(
        lambda: next((run for run in system.runs("fresh.data_refresh") if run["run_type"] == "scheduled"), None),
        60,
        "the scheduled run",
    )
    assert system.task_states(run)["find_arrivals"] == "deferred"
    assert system.api.call("GET", "/pools/default_pool")["deferred_slots"] >= 1
    time.sleep(max(0.0, due + 30 - time.time()))
    assert len(system.mails(f"data of {partition}")) == 1, "once, however long it takes"
    assert system.mails("fresh: data_refresh missed") == [], "the run is not late: its data is"

    frame = pd.DataFrame(
        {"day": range(200), "x": [float(i % 7) for i in range(200)], "late": [i % 2 for i in range(200)]}
    )
    system.land("fresh", partition, frame)
    arrived = system.wait_for_mail(f"fresh: late data of {partition} has arrived", 120)
    assert "after it was due" in arrived["text"]
    time.sleep(6)
    assert len(system.mails("late data of")) == 1
    assert len(system.mails(f"data of {partition} is late")) == 1


def test_the_endpoints_own_figures_are_watched(own_system: RunningSystem) -> None:
    """An objective that nobody keeps is declared; the answers are those of real requests."""
    system = own_system
    source = system.settings.pipelines_path / "watched" / "pipeline.py"
    text = source.read_text().replace(
        "from include.declaration import", "from include.declaration import LatencyGate, LatencyWatch,"
    )
    text = text.replace("usual_runs=2,", 'usual_runs=2, latency=LatencyWatch(every="3s", requests=50),')
    text += (
        "_DEPLOYMENT = PIPELINE.deployment.model_copy("
        'update={"latency": LatencyGate(p50_ms=0.05, max_ratio=None)})\n'
        'PIPELINE = PIPELINE.model_copy(update={"deployment": _DEPLOYMENT})\n'
    )
    source.write_text(text)
    row = {"year": 2013, "month": 4, "day": 1, "hour": 18, "minute": 30, "sched_arr_time": 2035, "carrier": "UA"}
    row |= {"origin": "EWR", "dest": "ORD", "distance": 719}
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            system.predict("watched", [row])
            time.sleep(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        mail = system.wait_for_mail("answers slowly: p50 above 0.05 ms", 90)
    finally:
        done.set()
        asking.join()
    version = system.endpoint_version("watched")
    assert f"Version {version} misses its latency objective" in mail["text"]
    assert "answers took surely longer" in mail["text"]
    assert len(system.mails("answers slowly")) == 1


def test_the_watcher_says_how_it_is_and_what_was_late(own_system: RunningSystem) -> None:
    port = own_system.site.ports.watch
    health = httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).json()
    assert (health["status"], health["problem"], health["declarations"]) == ("watching", "", "")
    status = own_system.run_command("status")
    assert "  SLA 20" in status
    assert own_system.read_overview()["pipelines"][1]["misses"][0]["said"] in status
    assert "sla-watcher running" in status
    memory = Path(f"/proc/{own_system.find_pid('sla-watcher')}/status").read_text()
    resident = next(int(line.split()[1]) for line in memory.splitlines() if line.startswith("VmRSS:"))
    print(f"the watcher has {resident / 1024:.0f} MB of resident memory in process {os.getpid()}'s system")
    assert resident < 60 * 1024
