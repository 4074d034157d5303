"""How each server is started: at its best setting for one small model, and the same model for all."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.endpoint.servers import Plan, find_port
from include.pointer import Pointer, locate_endpoint_folder, write_pointer
from include.records import utc_now
from include.settings import load_settings

# An OpenMP thread for every core costs scikit-learn's small predictions far more than it gives.
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}
WITHOUT_COMPILER = {"TOLLGATE_C_COMPILER": "there-is-no-compiler"}


def point_at(home: Path, pipeline: str, version: str) -> None:
    """Have the endpoint of ``home`` serve ``version``, whose model is there already."""
    folder = locate_endpoint_folder(load_settings({"TOLLGATE_HOME": str(home)}), pipeline)
    write_pointer(folder, Pointer(version, f"models/{version}", "2013-03", utc_now(), "bench", "to be measured"))


def deploy(home: Path, pipeline: str, models: Mapping[str, Path]) -> None:
    """Put ``models``, by version, into ``home`` and point at the first."""
    folder = locate_endpoint_folder(load_settings({"TOLLGATE_HOME": str(home)}), pipeline)
    for version, model in models.items():
        shutil.copytree(model, folder / "models" / version)
    point_at(home, pipeline, next(iter(models)))


def plan_tollgate(name: str, pipeline: str, home: Path, workers: int = 1, **env: str) -> Plan:
    """Our endpoint, following the pointer of ``home``."""
    command = (sys.executable, "-m", "include.serving", "--pipeline", pipeline, "--host", "127.0.0.1")
    settings = {"TOLLGATE_HOME": str(home), **env}
    return Plan(name, (*command, "--port", "{port}", "--workers", str(workers)), settings)


def plan_uvicorn(name: str, app: str, model: Path) -> Plan:
    """An ASGI application of this bench, on uvicorn with the settings of our own endpoint."""
    options = ("--http", "httptools", "--loop", "uvloop", "--ws", "none", "--no-access-log", "--log-level", "warning")
    address = ("--host", "127.0.0.1", "--port", "{port}", "--no-proxy-headers", "--no-server-header")
    command = (sys.executable, "-m", "uvicorn", app, *options, *address)
    return Plan(name, command, {"MODEL_DIR": str(model), **_ONE_THREAD})


def plan_mlflow(name: str, model: Path, workers: int) -> Plan:
    """``mlflow models serve`` with the one setting that helps it most."""
    stock = plan_stock_mlflow(name, model)
    return Plan(name, (*stock.command, "-w", str(workers)), _ONE_THREAD)


def plan_stock_mlflow(name: str, model: Path) -> Plan:
    """``mlflow models serve`` as it comes."""
    program = str(Path(sys.executable).with_name("mlflow"))
    command = (program, "models", "serve", "-m", str(model), "--env-manager", "local", "-h", "127.0.0.1")
    return Plan(name, (*command, "-p", "{port}"))


def plan_mlserver(name: str, python: str, model: Path, folder: Path) -> Plan:
    """MLServer with its MLflow runtime, in its own process: workers of its own only add copying to one model."""
    folder.mkdir(parents=True)
    settings = {
        "host": "127.0.0.1",
        "grpc_port": find_port(),
        "metrics_port": find_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    facts = {"name": "flights", "implementation": "mlserver_mlflow.MLflowRuntime", "parameters": {"uri": str(model)}}
    (folder / "model-settings.json").write_text(json.dumps(facts))
    program = str(Path(python).with_name("mlserver"))
    return Plan(name, (program, "start", str(folder)), {"MLSERVER_HTTP_PORT": "{port}", **_ONE_THREAD})


def plan_bentoml(name: str, python: str, model: Path) -> Plan:
    """BentoML with one worker."""
    program = str(Path(python).with_name("bentoml"))
    command = (program, "serve", "bench.endpoint.peers.bentoml_server:Flights", "--host", "127.0.0.1")
    env = {"MODEL_DIR": str(model), "BENTOML_DO_NOT_TRACK": "1", **_ONE_THREAD}
    return Plan(name, (*command, "--port", "{port}"), env)
