"""S0, S1, S10, S11 and S18 where SageMaker serves: the same loop, on the emulator, by a change of the declaration."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.register import register
from include.console.history import read_history
from include.declaration.loader import get_pipeline
from include.deployment.door import open_target
from include.deployment.target import DeploymentTarget
from include.settings import PROJECT_ROOT
from tests.emulator.running import RunningEmulator
from tests.scenarios.customer import REQUESTS
from tests.scenarios.lenient import take_rows
from tests.scenarios.sagemaker_variants import BUCKET, CONNECTION
from tests.scenarios.system import RunningSystem
from tests.unit.deployment.customers import Customers
from tests.unit.deployment.emulated import LATE_IMAGE

PIPELINES = Path(__file__).parent / "sagemaker_pipelines"
HOSTED, LATE = "hosted", "late"
BODY = json.dumps({"dataframe_records": [dict(REQUESTS[0])]}).encode()

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEmulator]:
    running = RunningEmulator(tmp_path_factory.mktemp("emulator"), images=[LATE_IMAGE]).start()
    running.make_client("s3").create_bucket(Bucket=BUCKET)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory, emulator: RunningEmulator) -> Iterator[RunningSystem]:
    """A system of its own with both pipelines; it knows of the emulator by endpoint URLs alone."""
    connection = {
        "conn_type": "aws",
        "login": "testtest",
        "password": "testtest",
        "extra": {"region_name": "us-east-1", "endpoint_url": emulator.url},
    }
    running = RunningSystem(
        tmp_path_factory.mktemp("hosted") / "home",
        pipelines=PIPELINES,
        **emulator.build_environment(),
        **{f"AIRFLOW_CONN_{CONNECTION.upper()}": json.dumps(connection)},
    )
    try:
        yield running.start()
    finally:
        running.stop()


class Watched:
    """One pipeline of the system, with what SageMaker says of it."""

    def __init__(self, system: RunningSystem, emulator: RunningEmulator, name: str) -> None:
        self.system, self.emulator, self.name = system, emulator, name
        self.pipeline = get_pipeline(system.settings, name)

    def open(self) -> DeploymentTarget:
        return open_target(self.system.settings, self.pipeline, self.emulator.make_client)

    def ask(self) -> dict[str, Any]:
        answer = self.open().predict(BODY, "application/json")
        assert answer.status == 200, answer.body
        told: dict[str, Any] = json.loads(answer.body)
        return told

    def land(self, partition: str, month: int) -> dict[str, Any]:
        """Land a refresh and return the finished run that deploys its model."""
        dag = f"{self.name}.deploy_model"
        known = {run["dag_run_id"] for run in self.system.runs(dag)}
        self.system.land(self.name, partition, take_rows(month))
        return self.system.wait_for_run(dag, lambda run: run["dag_run_id"] not in known, seconds=400)

    def find_champion(self) -> str | None:
        champion = self.system.registry_champion(self.name)
        return champion.version if champion else None


@pytest.fixture(scope="module")
def hosted(system: RunningSystem, emulator: RunningEmulator) -> Watched:
    return Watched(system, emulator, HOSTED)


@pytest.fixture(scope="module")
def late(system: RunningSystem, emulator: RunningEmulator) -> Watched:
    return Watched(system, emulator, LATE)


def test_s0_the_first_version_is_created_proved_and_champion(hosted: Watched) -> None:
    run = hosted.land("2013-01", 1)
    states = hosted.system.task_states(run)
    assert run["state"] == "success", states
    assert states["await_rollout"] == "success"
    assert hosted.ask()["model_version"] == "1" and hosted.find_champion() == "1"
    assert hosted.system.wait_for_mail(f"{HOSTED}: version 1 is live")
    shown = next(each for each in hosted.system.read_overview()["pipelines"] if each["name"] == HOSTED)
    assert (shown["endpoint"]["served_version"], shown["endpoint"]["agree"]) == ("1", True)
    assert "serves version 1 (2013-01)" in hosted.system.run_command("status")


def test_mlflows_own_command_asks_the_same_endpoint(hosted: Watched, tmp_path: Path) -> None:
    register(tmp_path / "site")
    rows = tmp_path / "rows.json"
    rows.write_text(json.dumps([dict(REQUESTS[0])]))
    env = {**hosted.system.env, "PYTHONPATH": f"{tmp_path / 'site'}:{PROJECT_ROOT}"}
    env["MLFLOW_TRACKING_URI"] = hosted.system.settings.mlflow_uri

    def run(*arguments: str) -> str:
        program = str(Path(sys.executable).parent / "mlflow")
        command = [program, "deployments", *arguments, "-t", f"tollgate:/{HOSTED}", "--name", HOSTED]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "served_version: 1" in run("get")
    answer = json.loads(run("predict", "-I", str(rows)))
    assert answer["predictions"] == hosted.ask()["predictions"]


def test_s1_a_refresh_is_shifted_without_a_failed_request(hosted: Watched) -> None:
    with Customers(hosted.open, BODY) as customers:
        run = hosted.land("2013-02", 2)
        time.sleep(1)
    assert run["state"] == "success", hosted.system.task_states(run)
    assert {status for status, _ in customers.answers} == {200}
    assert {version for _, version in customers.answers} == {"1", "2"}
    assert customers.answers[-1][1] == "2" and hosted.find_champion() == "2"
    # Waiting held no slot: the task was deferred to the triggerer.
    log = hosted.system.task_log(run, "await_rollout")
    assert "RolloutTrigger" in log or "defer" in log.lower(), log[-2000:]


def test_s11_going_back_by_hand_is_one_update_and_everybody_is_told(hosted: Watched) -> None:
    with Customers(hosted.open, BODY) as customers:
        run_id = hosted.system.api.trigger(f"{HOSTED}.rollback", {"reason": "too gloomy"})
        run = hosted.system.api.wait_run(f"{HOSTED}.rollback", run_id, 240)
        time.sleep(0.5)
    assert run["state"] == "success", hosted.system.task_states(run)
    assert {status for status, _ in customers.answers} == {200}
    assert customers.answers[-1][1] == "1" and hosted.find_champion() == "1"
    mail = hosted.system.wait_for_mail("rolled back from version 2 to 1")
    assert "too gloomy" in mail["text"] and "stored rows got the answers" in mail["text"]
    assert read_history(hosted.system.settings, HOSTED)[-1].outcome == "put back"


def test_s10_and_s18_a_rollback_of_the_service_is_a_red_task_and_changes_no_champion(late: Watched) -> None:
    first = late.land("2013-01", 1)
    assert first["state"] == "success", late.system.task_states(first)
    with Customers(late.open, BODY) as customers:
        run = late.land("2013-02", 2)
    states = late.system.task_states(run)
    assert run["state"] == "failed", states
    assert (states["shift_traffic"], states["await_rollout"]) == ("success", "failed")
    assert states["deploy_champion"] == "upstream_failed"
    sagemaker = late.emulator.make_client("sagemaker")
    told = sagemaker.describe_endpoint(EndpointName="tollgate-late")
    assert told["EndpointStatus"] == "InService", "as the service says it, all is well"
    assert late.ask()["model_version"] == "1" and late.find_champion() == "1"
    failed = [status for status, _ in customers.answers if status != 200]
    assert failed and len(failed) < len(customers.answers) * 0.6
    mail = late.system.wait_for_mail(f"{LATE}: await_rollout failed")
    assert "Version 2 was taken back by SageMaker" in mail["text"] and "-5xx" in mail["text"]
    newest = read_history(late.system.settings, LATE)[-1]
    assert (newest.partition, newest.outcome, newest.version) == ("2013-02", "rolled back", "2")


def test_nothing_secret_is_in_any_log_record_or_mail(system: RunningSystem) -> None:
    secret = "testtest"
    places = [system.site.logs_folder, system.settings.records_root, system.settings.outbox_root]
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if secret in path.read_text(errors="replace")] == []
