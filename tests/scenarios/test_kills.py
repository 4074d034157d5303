"""S12: whatever is killed at a random instant, the loop finishes, and what always holds still holds.

The moments are drawn from a seed that is printed; TOLLGATE_KILL_SEED=<seed> draws the same again.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from include.console.history import read_history
from tests.scenarios.customer import Answer, Customer
from tests.scenarios.invariants import Landed, Observer, Outage
from tests.scenarios.kills import ANY_TASK, Kill, Killer
from tests.scenarios.lenient import PIPELINE, PIPELINES, land, take_rows
from tests.scenarios.refreshes import drop_carriers, spoil_distances
from tests.scenarios.system import Record, RunningSystem

# Twelve kills and four trainings take three minutes on two idle cores; a busy machine takes several times as long.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

ENDPOINT = f"endpoint-{PIPELINE}"
DAG = f"{PIPELINE}.train_model"
PROGRAMS = ("mlflow", "triggerer", "scheduler", "dag-processor", "api-server", "mail-catcher")


@pytest.fixture(scope="module")
def own_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    running = RunningSystem(tmp_path_factory.mktemp("kills") / "home", pipelines=PIPELINES)
    try:
        yield running.start()
    finally:
        running.stop()


def is_finished(system: RunningSystem, landed: list[Landed]) -> bool:
    """Whether every landed file has its verdict, what was published was trained on, and what was blessed is live.

    No run under way does not say so: while the scheduler is dead nobody makes the next one.
    """
    verdicts = {(record["partition"], record["fingerprint"]): record for record in read(system, "refresh")}
    if not {(each.partition, each.fingerprint) for each in landed} <= set(verdicts):
        return False
    published = {record["version"] for record in verdicts.values() if record["status"] == "published"}
    claims, blessings = read(system, "training"), read(system, "blessing")
    if not published <= {version for claim in claims for version in claim["partitions"].values()}:
        return False
    blessed = [record["recorded_at"] for record in blessings if record["blessed"]]
    deployed = [record["recorded_at"] for record in read(system, "deployment")]
    return len(blessings) == len(claims) and max(blessed, default="") <= max(deployed, default="")


def read(system: RunningSystem, kind: str) -> list[Record]:
    return system.list_records(PIPELINE, kind)


def wait_until_finished(system: RunningSystem, landed: list[Landed]) -> None:
    partitions = ", ".join(each.partition for each in landed)
    system.wait_for(lambda: True if is_finished(system, landed) else None, 900, f"the end of {partitions}")
    system.wait_until_idle(300)


def keep_house(system: RunningSystem) -> None:
    """Do now what the system does every five minutes: send waiting mails, close what dead runs left open."""
    run_id = system.api.trigger("tollgate.housekeeping")
    run = system.wait_for_run("tollgate.housekeeping", lambda run: run["dag_run_id"] == run_id, 300)
    assert run["state"] == "success", system.task_states(run)


def find_outages(answers: list[Answer], kills: list[float]) -> list[Outage]:
    """From each kill of the endpoint until a request that began later was answered."""
    outages = []
    for killed in kills:
        back = next((answer.ended for answer in answers if answer.began > killed and answer.status == 200), None)
        assert back is not None, "the endpoint did not come back"
        outages.append(Outage(killed, back))
    return outages


def find_failed_tasks(system: RunningSystem) -> list[str]:
    """Every task of the pipeline that failed for good; a mapped one once for each of its instances."""
    runs = [run for run in system.runs("~") if run["dag_id"].startswith(f"{PIPELINE}.")]
    tasks = [task for run in runs for task in system.api.list_tasks(run["dag_id"], run["dag_run_id"])]
    return [task["task_id"].rpartition(".")[2] for task in tasks if task["state"] == "failed"]


def check_retried(system: RunningSystem, kill: Kill) -> None:
    """A task that was killed was run again, unless it had done its work and said so before its moment came."""
    if kill.task is None:
        return
    place = {name: kill.task[name] for name in ("task_id", "map_index")}
    tasks = system.api.list_tasks(kill.task["dag_id"], kill.task["dag_run_id"])
    (now,) = [task for task in tasks if place.items() <= task.items()]
    if kill.task["task_id"] == "fit_candidate":
        assert now["state"] == "success"
    assert now["try_number"] > kill.task["try_number"] or now["state"] == "success", now


def test_s12_the_loop_finishes_whatever_is_killed(own_system: RunningSystem) -> None:
    system = own_system
    seed = int(os.environ.get("TOLLGATE_KILL_SEED") or random.randrange(2**32))
    print(f"\nTOLLGATE_KILL_SEED={seed}")
    killer = Killer(system, PIPELINE, seed)
    programs = killer.spread(PROGRAMS, 3)
    tasks = killer.spread(["fit_candidate", ANY_TASK, ANY_TASK], 3)
    # Its kill says something only once it serves.
    programs[killer.draw(1, 2)].append(ENDPOINT)

    spoilt, _ = spoil_distances(take_rows(3), 0.005)
    refreshes = [
        {"2013-01": take_rows(1)},
        {"2013-02": take_rows(2), "2013-03": spoilt},
        {"2013-04": take_rows(4), "2013-05": drop_carriers(take_rows(5))},
    ]
    landed: list[Landed] = []
    with Customer(system.endpoint_url(PIPELINE), pause=0.1) as customer:
        for frames, some_programs, some_tasks in zip(refreshes, programs, tasks, strict=True):
            began = time.monotonic()
            landed += [land(system, partition, frame) for partition, frame in frames.items()]
            killer.strike(some_programs, some_tasks)
            wait_until_finished(system, landed)
            print(f"  {', '.join(frames)}: {time.monotonic() - began:.0f} s")

    keep_house(system)
    assert find_failed_tasks(system) == ["gate_refresh"]
    assert system.mails("failed") == [], "what was killed was tried again, and a blocked refresh is said in other words"
    for kill in killer.kills:
        check_retried(system, kill)
    observer = Observer(system, PIPELINE, landed)
    outages = find_outages(customer.answers, [kill.at for kill in killer.kills if kill.what == ENDPOINT])
    observer.check_answers(customer.answers, outages)
    observer.check_at_rest()


def test_a_fit_that_is_killed_in_every_try_is_mailed_and_leaves_nothing_open(own_system: RunningSystem) -> None:
    """Nobody but Airflow can say that a process was killed: the task itself cannot."""
    system = own_system
    served = system.endpoint_version(PIPELINE)
    land(system, "2013-06", take_rows(6))

    def find_training() -> dict[str, Any] | None:
        return next((run for run in system.runs(DAG) if run["partition_key"] == "2013-06"), None)

    run = system.wait_for(find_training, 300, "the training of 2013-06")
    killer = Killer(system, PIPELINE, seed=0)
    killer.kill_every_try(DAG, run["dag_run_id"], "fit_candidate", map_index=0)
    run = system.wait_for_run(DAG, lambda found: found["dag_run_id"] == run["dag_run_id"], 300)
    tasks = system.task_states(run)
    assert (run["state"], tasks["fit_candidate[0]"], tasks["close_run"]) == ("failed", "failed", "success"), tasks
    # As often as its declaration says: once, and three retries.
    assert len(killer.kills) == 4, killer.kills
    mail = system.wait_for_mail("fit_candidate failed", 120)
    assert "killed" in mail["text"]
    assert run["dag_run_id"] in mail["text"]
    row = read_history(system.settings, PIPELINE)[-1]
    assert (row.partition, row.outcome) == ("2013-06", "stopped")
    assert "fit_candidate failed without a word" in row.why
    assert Observer(system, PIPELINE, ()).list_open_runs() == []
    assert system.endpoint_version(PIPELINE) == served
