"""Rollouts for real: an endpoint, a customer who asks all the time, and candidates that fail in every way."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import yaml

from include.declaration import AutoRollback, Deployment, Pipeline, Rollout, TrafficRouting
from include.deployment.local.deploy import deploy_version
from include.deployment.local.rollout import roll_out
from include.deployment.local.traffic import RolloutReport
from include.errors import RolledBack, RolloutInterrupted
from include.pointer import read_pointer, write_pointer
from include.records import list_records
from include.rollout import LEASE_SECONDS, locate_rollout, remove_rollout
from include.scoring.scorer import Scorer
from include.settings import PROJECT_ROOT, Settings
from tests.scenarios.customer import Customer
from tests.unit.deployment.conftest import write_predictions
from tests.unit.deployment.steps import StartEndpoint, list_deployments, make_version
from tests.unit.served_models import Server, save_compiled, wait_for

ROW = {"year": 2013, "month": 1, "day": 5, "hour": 9, "carrier": "AA", "distance": 100.0}
MISBEHAVIOUR = Path(__file__).parent / "misbehaviour"

pytestmark = pytest.mark.slow


def declare(pipeline: Pipeline, **changes: Any) -> Pipeline:
    """The toy pipeline with a quick rollout: half of the requests, then all of them."""
    fields: dict[str, Any] = {
        "traffic_routing_configuration": TrafficRouting(
            type="LINEAR", linear_step_size={"value": 50}, wait_interval_in_seconds=0.5
        ),
        "termination_wait_in_seconds": 0.5,
        # Only who sleeps is slow, however busy the machine.
        "candidate_deadline_ms": 3000.0,
        "auto_rollback_configuration": AutoRollback(minimum_requests=30, max_mean_shift=0.2),
        **changes,
    }
    return pipeline.model_copy(
        update={"deployment": Deployment(sandbox_seconds=90, swap_seconds=60, rollout=Rollout(**fields))}
    )


@pytest.fixture
def pipeline(pipeline: Pipeline) -> Pipeline:
    return declare(pipeline)


@pytest.fixture
def champion(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, scorer: Scorer, tmp_path: Path
) -> Server:
    """A running endpoint that serves version 1."""
    server = start_endpoint()
    model_dir = save_compiled(pipeline, scorer, tmp_path / "download" / "1")
    deploy_version(settings, pipeline, make_version("1"), model_dir, by="a test", reason="first")
    return server


@pytest.fixture
def candidate(pipeline: Pipeline, other_scorer: Scorer, tmp_path: Path) -> Path:
    return save_compiled(pipeline, other_scorer, tmp_path / "download" / "2")


@pytest.fixture
def roll(
    settings: Settings, candidate: Path, other_scorer: Scorer, pipeline: Pipeline, tmp_path: Path
) -> Callable[[Pipeline], RolloutReport]:
    stored = write_predictions(pipeline, other_scorer, tmp_path / "stored.parquet")

    def run(declared: Pipeline) -> RolloutReport:
        return roll_out(settings, declared, make_version("2"), candidate, stored, "a test", "because 2")

    return run


@contextlib.contextmanager
def ask_all_the_time(server: Server) -> Iterator[Customer]:
    with Customer(f"http://127.0.0.1:{server.port}", ROW, pause=0.005) as customer:
        yield customer
    assert [answer for answer in customer.answers if answer.status != 200] == []


def misbehave(monkeypatch: pytest.MonkeyPatch, how: str, after: int = 2) -> None:
    """From its ``after``-th answer on; loading a model takes one or two."""
    monkeypatch.setenv("MISBEHAVE", f"{how}:{after}")
    monkeypatch.setenv("PYTHONPATH", f"{MISBEHAVIOUR}{os.pathsep}{PROJECT_ROOT}")


def check_champion_alone(settings: Settings, server: Server) -> None:
    folder = settings.serving_root / "parcels"
    assert not locate_rollout(folder).exists()
    assert list(folder.glob("*.sock")) == []
    pointer = read_pointer(folder)
    assert pointer is not None
    assert pointer.version == "1"
    wait_for(lambda: server.ask("GET", "/rollout")[1]["rollout"] is None, 5)
    assert server.ask("POST", "/invocations", {"instances": [ROW]})[1]["model_version"] == "1"


def test_a_good_candidate_gets_its_share_then_all_and_is_promoted(
    settings: Settings, pipeline: Pipeline, champion: Server, roll: Callable[[Pipeline], RolloutReport]
) -> None:
    with ask_all_the_time(champion) as customer:
        report = roll(pipeline)
        time.sleep(0.2)
    assert (report.outcome, report.champion, report.failed) == ("promoted", "1", 0)
    assert report.requests >= 30
    versions = [answer.version for answer in sorted(customer.answers, key=lambda answer: answer.began)]
    assert set(versions) == {"1", "2"}
    first = versions.index("2")
    assert "1" in versions[first:], "at first it is asked for a share only"
    assert set(versions[-20:]) == {"2"}
    # Nobody went back to the champion between the end of the bake and the swap.
    last = max(place for place, version in enumerate(versions) if version == "1")
    baked = len(versions) - last
    assert baked > 50, baked
    pointer = read_pointer(settings.serving_root / "parcels")
    assert pointer is not None
    assert (pointer.version, pointer.by, pointer.reason) == ("2", "a test", "because 2")
    records = [record for _, record in list_records(settings, "parcels", "rollout")]
    assert [record["outcome"] for record in records] == ["promoted"]
    assert records[0]["counts"]["probe"]["outcomes"]["answered"] > 0
    assert not locate_rollout(settings.serving_root / "parcels").exists()
    again = roll(pipeline)
    assert (again.outcome, again.reason) == ("not needed", "it is served already")


@pytest.mark.parametrize(
    ("how", "statistic", "said"),
    [
        ("raise", "max_failure_rate", "error"),
        ("sleep", "max_failure_rate", "slow"),
        ("garbage", "max_failure_rate", "garbled"),
        ("rows", "max_failure_rate", "garbled"),
        ("nan", "max_failure_rate", "garbled"),
        ("eat", "max_failure_rate", "error"),
        ("shift", "max_mean_shift", "mean prediction is +0."),
        ("nonsense", "max_mean_shift", "mean prediction is +"),
        ("die", "candidate_ended", "killed by signal 9"),
    ],
)
def test_a_bad_candidate_is_taken_back_and_no_customer_notices(
    settings: Settings,
    pipeline: Pipeline,
    champion: Server,
    roll: Callable[[Pipeline], RolloutReport],
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    statistic: str,
    said: str,
) -> None:
    misbehave(monkeypatch, how, 12)
    changes = {"candidate_deadline_ms": 300.0} if how == "sleep" else {}
    patient = declare(pipeline, termination_wait_in_seconds=60.0, candidate_memory_mb=512, **changes)
    with ask_all_the_time(champion) as customer:
        with pytest.raises(RolledBack) as caught:
            roll(patient)
        check_champion_alone(settings, champion)
    error = caught.value
    assert (error.version, error.champion, error.statistic) == ("2", "1", statistic)
    assert said in error.message
    assert error.seconds < 30
    assert customer.answers[-1].version == "1"
    outcome = [record for _, record in list_records(settings, "parcels", "rollout")][-1]
    assert outcome["outcome"] == "rolled back"


def test_a_candidate_that_breaks_its_rule_is_taken_back_and_the_champion_answers_instead(
    settings: Settings,
    pipeline: Pipeline,
    champion: Server,
    candidate: Path,
    roll: Callable[[Pipeline], RolloutReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = candidate / "MLmodel"
    content = yaml.safe_load(file.read_bytes())
    content["metadata"]["tollgate"]["prediction_rules"] = [{"name": "never_certain", "maximum": 0.999}]
    file.write_text(yaml.safe_dump(content))
    misbehave(monkeypatch, "certain", 12)
    patient = declare(pipeline, termination_wait_in_seconds=60.0)
    with ask_all_the_time(champion) as customer:
        with pytest.raises(RolledBack, match=r"[0-9]+ rule") as caught:
            roll(patient)
        check_champion_alone(settings, champion)
    assert (caught.value.statistic, caught.value.failed > 0) == ("max_failure_rate", True)
    assert "no customer an answer" in caught.value.next_step
    versions = [answer.version for answer in customer.answers]
    assert versions.count("2") <= 12, "what it answered before it broke the rule"
    assert versions[-1] == "1"
    record = [record for _, record in list_records(settings, "parcels", "rollout")][-1]
    assert record["outcome"] == "rolled back"
    broken = sum(source["outcomes"].get("rule", 0) for source in record["counts"].values())
    assert broken == record["failed"] > 0
    counted = champion.read_metrics()["tollgate_prediction_rules_total", "2", "never_certain"]
    assert counted >= broken, "the endpoint counts on after the last look"


def test_the_first_version_has_nobody_to_stand_beside(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, roll: Callable[[Pipeline], RolloutReport]
) -> None:
    start_endpoint()
    report = roll(pipeline)
    assert (report.outcome, report.champion) == ("not needed", None)
    assert list(list_records(settings, "parcels", "rollout")) == []
    assert list((settings.serving_root / "parcels").glob("models/*")) == []


def test_a_rollout_that_nobody_could_judge_in_its_time_is_taken_back(
    settings: Settings, pipeline: Pipeline, champion: Server, roll: Callable[[Pipeline], RolloutReport]
) -> None:
    unwatched = declare(pipeline, probe_requests_per_second=0.0, maximum_execution_timeout_in_seconds=15.0)
    with pytest.raises(RolledBack, match="fewer than the 30 requests came that it takes to judge") as caught:
        roll(unwatched)
    assert caught.value.statistic == "maximum_execution_timeout_in_seconds"
    check_champion_alone(settings, champion)


def test_a_candidate_that_cannot_be_loaded_gets_no_request(
    settings: Settings, pipeline: Pipeline, champion: Server, candidate: Path, roll: Callable[[Pipeline], RolloutReport]
) -> None:
    (candidate / "MLmodel").write_text("nothing")
    with ask_all_the_time(champion) as customer, pytest.raises(RolledBack, match="MLmodel") as caught:
        roll(pipeline)
    assert caught.value.statistic == "candidate_ended"
    assert {answer.version for answer in customer.answers} == {"1"}
    check_champion_alone(settings, champion)


def test_who_ends_a_rollout_by_hand_is_not_overruled(
    settings: Settings, pipeline: Pipeline, champion: Server, roll: Callable[[Pipeline], RolloutReport]
) -> None:
    folder = settings.serving_root / "parcels"
    patient = declare(pipeline, termination_wait_in_seconds=60.0)
    ended: list[BaseException] = []

    def run() -> None:
        try:
            roll(patient)
        except BaseException as error:
            ended.append(error)

    for end_it in (lambda: remove_rollout(folder), lambda: renew_pointer(folder)):
        ended.clear()
        # In this process's main thread the candidate would be its child too, which ends with the thread that made it.
        thread = threading.Thread(target=run)
        thread.start()
        wait_for(lambda: champion.ask("GET", "/rollout")[1]["rollout"], 60)
        end_it()
        thread.join(30)
        (error,) = ended
        assert isinstance(error, RolloutInterrupted), error
        assert "somebody else" in error.message
        check_champion_alone(settings, champion)
    outcomes = [record["outcome"] for _, record in list_records(settings, "parcels", "rollout")]
    assert outcomes == ["not ended", "not ended"]


def renew_pointer(folder: Path) -> None:
    """What a rollback by hand does last: another pointer."""
    pointer = read_pointer(folder)
    assert pointer is not None
    write_pointer(folder, msgspec.structs.replace(pointer, by="an operator"))


def list_candidates(folder: Path) -> list[int]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "--uds" in command and any(str(folder) in part for part in command):
            found.append(process.pid)
    return found


def test_a_killed_controller_leaves_no_candidate_on_and_its_retry_promotes_once(
    settings: Settings, pipeline: Pipeline, champion: Server, roll: Callable[[Pipeline], RolloutReport]
) -> None:
    folder = settings.serving_root / "parcels"
    patient = declare(pipeline, termination_wait_in_seconds=60.0)
    with ask_all_the_time(champion) as customer:
        task = multiprocessing.get_context("fork").Process(target=roll, args=(patient,))
        task.start()
        wait_for(lambda: customer.answers and customer.answers[-1].version == "2", 90)
        assert task.pid is not None
        os.kill(task.pid, signal.SIGKILL)
        task.join(10)
        wait_for(lambda: not list_candidates(folder), 10)
        assert locate_rollout(folder).exists()
        wait_for(lambda: champion.ask("GET", "/rollout")[1]["rollout"] is None, LEASE_SECONDS + 5)
        assert roll(pipeline).outcome == "promoted"
    assert list_candidates(folder) == []
    assert list(folder.glob("*.sock")) == []
    assert list_deployments(settings) == ["1", "2"]


def test_a_killed_worker_and_a_restarted_endpoint_are_no_fault_of_the_candidate(
    settings: Settings,
    pipeline: Pipeline,
    scorer: Scorer,
    tmp_path: Path,
    start_endpoint: StartEndpoint,
    roll: Callable[[Pipeline], RolloutReport],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TOLLGATE_ENDPOINT_WORKERS", "2")
    server = start_endpoint()
    model_dir = save_compiled(pipeline, scorer, tmp_path / "download" / "1")
    deploy_version(settings, pipeline, make_version("1"), model_dir, by="a test", reason="first")
    patient = declare(pipeline, termination_wait_in_seconds=4.0)
    reports: list[RolloutReport] = []
    thread = threading.Thread(target=lambda: reports.append(roll(patient)))
    thread.start()
    wait_for(lambda: server.ask("GET", "/rollout")[1]["rollout"], 90)
    os.kill(server.ask("GET", "/version")[1]["workers"][0]["pid"], signal.SIGKILL)
    wait_for(lambda: (server.ask("GET", "/rollout")[1]["rollout"] or {}).get("share_percent") == 100, 60)
    server.stop()
    start_endpoint()
    thread.join(120)
    assert [report.outcome for report in reports] == ["promoted"]
