"""MLflow's deployment API in front of the door: found by MLflow's own command, refusing what no declaration says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from config.mlflow_deployments import TollgateDeployments
from config.register import register
from include.errors import NotBlessed
from include.settings import PROJECT_ROOT, Settings
from tests.unit.cloud.fake_aws import FakeAws, make_error
from tests.unit.deployment.hosted import Hosted, declare_pipeline


@pytest.fixture
def hosted(settings: Settings, tmp_path: Path) -> Hosted:
    return Hosted(settings, declare_pipeline(), FakeAws(), tmp_path)


@pytest.fixture
def deployments(hosted: Hosted, monkeypatch: pytest.MonkeyPatch) -> TollgateDeployments:
    """The plugin on an AWS in memory."""
    monkeypatch.setattr("config.mlflow_deployments.load_settings", lambda: hosted.settings)
    monkeypatch.setattr("config.mlflow_deployments.get_pipeline", lambda _settings, _name: hosted.pipeline)
    monkeypatch.setattr("config.mlflow_deployments.open_target", lambda *_: hosted.target)
    monkeypatch.setattr("include.steps.by_hand.open_target", lambda *_: hosted.target)
    return TollgateDeployments("tollgate:/parcels")


def test_what_is_served_is_listed_got_asked_and_deleted(deployments: TollgateDeployments, hosted: Hosted) -> None:
    assert deployments.list_deployments() == []
    with pytest.raises(MlflowException, match="serves nothing"):
        deployments.get_deployment("parcels")
    hosted.go_live("1")
    found = deployments.get_deployment("parcels")
    assert (found["name"], found["served_version"], found["agree"]) == ("parcels", "1", True)
    assert deployments.list_deployments() == [found]
    answer = deployments.predict("parcels", pd.DataFrame({"weight": [1.0, None]}))
    assert json.loads(answer.to_json())["predictions"] == [0.5, 0.5]
    for _ in range(2):
        deployments.delete_deployment("parcels")
        hosted.aws.settle()
    assert deployments.list_deployments() == []


def test_a_version_goes_through_the_same_steps_and_a_refusal_is_mlflows_error(
    deployments: TollgateDeployments, hosted: Hosted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("include.tracking.registry.resolve_version", lambda *_: "2")
    asked: list[tuple[str, str]] = []

    def deploy(_settings: Any, pipeline: Any, number: str, _who: str) -> None:
        asked.append((pipeline.name, number))

    monkeypatch.setattr("include.steps.by_hand.deploy_by_hand", deploy)
    created = deployments.create_deployment("parcels", "models:/parcels/2")
    assert created["name"] == "parcels" and asked == [("parcels", "2")]
    hosted.go_live("1")
    with pytest.raises(MlflowException, match="use update"):
        deployments.create_deployment("parcels", "models:/parcels/2")
    deployments.update_deployment("parcels", "models:/parcels/2", flavor="python_function")
    assert len(asked) == 2

    def refuse(*_: Any) -> None:
        raise NotBlessed("Version 2 is not blessed.", next_step="Bless it.", pipeline="parcels", version="2")

    monkeypatch.setattr("include.steps.by_hand.deploy_by_hand", refuse)
    with pytest.raises(MlflowException, match="not blessed"):
        deployments.update_deployment("parcels", "models:/parcels/2")


def test_a_refusal_of_the_models_is_told_however_long_it_is(deployments: TollgateDeployments, hosted: Hosted) -> None:
    hosted.go_live("1")

    def refuse(moment: str, _service: str, operation: str, _parameters: Any) -> None:
        if (moment, operation) == ("before", "invoke_endpoint"):
            told = {"OriginalStatusCode": 400, "OriginalMessage": "x" + "é" * 400}
            raise make_error("ModelError", "Received client error (400)", operation, 424, **told)

    hosted.aws.intercept = refuse
    with pytest.raises(MlflowException, match=r"refused it \(400\): xéé"):
        deployments.predict("parcels", pd.DataFrame({"weight": [1.0]}))


@pytest.mark.parametrize(
    ("name", "given", "told"),
    [
        ("other", {}, "is named 'parcels'"),
        ("parcels", {"config": {"instance_type": "ml.m5.large"}}, "declared with the pipeline"),
        ("parcels", {"flavor": "sklearn"}, "declared with the pipeline"),
        ("parcels", {"endpoint": "mine"}, "declared with the pipeline"),
    ],
)
def test_what_the_declaration_says_is_not_taken_from_a_shell(
    deployments: TollgateDeployments, name: str, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(MlflowException, match=told):
        deployments.create_deployment(name, "models:/parcels/1", **given)


@pytest.mark.slow
def test_mlflows_own_command_finds_it(tmp_path: Path) -> None:
    """As ``config/bootstrap.sh`` registers it, in a folder of the test's own."""
    register(tmp_path / "site")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*")}
    register(tmp_path / "site")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "site").rglob("*")}
    env = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path / 'site'}:{PROJECT_ROOT}",
        "TOLLGATE_HOME": str(tmp_path / "home"),
        "TOLLGATE_ENDPOINT_PORT": "9",
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "mlflow"), "deployments", *arguments]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    told = run("help", "-t", "tollgate")
    assert "tollgate:/<pipeline>" in told.stdout, told.stderr
    listed = run("list", "-t", "tollgate:/flight_delays")
    assert listed.returncode == 0, listed.stderr
    assert "[]" in listed.stdout
    unknown = run("list", "-t", "tollgate:/flight_delay")
    assert unknown.returncode != 0 and "Did you mean 'flight_delays'?" in unknown.stderr
