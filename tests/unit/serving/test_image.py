"""Dockerfile.serving as text, and what it copies run as it would run there: only its files, only its packages."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from config.lock_check import read_pins
from include.declaration import Pipeline
from include.scoring.scorer import Scorer
from include.settings import PROJECT_ROOT
from tests.unit.served_models import ask, save_model, wait_for

_LINES = [
    line for line in (PROJECT_ROOT / "Dockerfile.serving").read_text().splitlines() if line and line[0] not in "# "
]
ROW = {"year": 2013, "month": 1, "day": 5, "hour": 9, "carrier": "AA", "distance": 100.0}
# Run first by Python: of what is installed here only the image's packages can be imported.
_ONLY_LOCKED = """
import importlib.abc, sys
class _Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"{name} is not in the image", name=name)
sys.meta_path.insert(0, _Absent())
"""


def read_instructions(name: str) -> list[str]:
    return [line.partition(" ")[2] for line in _LINES if line.startswith(f"{name} ")]


def test_the_image_starts_from_the_same_base_as_the_other() -> None:
    other = [line for line in (PROJECT_ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM ")]
    assert [line for line in _LINES if line.startswith("FROM ")] == other
    assert re.search(r"python:3\.11\.\d+-", other[0])


def test_it_listens_where_sagemaker_asks_and_gets_its_signals() -> None:
    assert read_instructions("EXPOSE") == ["8080"]
    assert read_instructions("ENTRYPOINT") == ['["python", "-m", "include.serving"]']
    assert read_instructions("CMD") == ['["serve"]']
    assert read_instructions("LABEL") == ["com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true"]
    assert "--no-deps -r requirements-serving.txt" in " ".join(read_instructions("RUN"))


def test_the_lock_agrees_with_the_systems() -> None:
    ours = read_pins((PROJECT_ROOT / "requirements-serving.txt").read_text())
    all_pins = read_pins((PROJECT_ROOT / "requirements.txt").read_text())
    assert ours.items() <= all_pins.items()
    assert not {"apache-airflow", "mlflow", "great-expectations", "fastapi"} & ours.keys()


def test_an_address_that_is_no_port_is_one_clear_message_and_exit_code_78() -> None:
    command = [sys.executable, "-m", "include.serving", "serve"]
    env = {**os.environ, "SAGEMAKER_BIND_TO_PORT": "eighty"}
    done = subprocess.run(command, cwd=PROJECT_ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    assert "SAGEMAKER_BIND_TO_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_what_it_copies_serves_a_model_with_nothing_but_its_packages(
    tmp_path: Path, pipeline: Pipeline, scorer: Scorer
) -> None:
    image = tmp_path / "image"
    for line in read_instructions("COPY"):
        *sources, target = shlex.split(line)
        if sources[0].startswith("--from"):
            continue
        for source in sources:
            found = PROJECT_ROOT / source
            if found.is_dir():
                shutil.copytree(found, image / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (image / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(found, image / target)
    pins = {canonicalize_name(name) for name in read_pins((PROJECT_ROOT / "requirements-serving.txt").read_text())}
    absent = sorted(
        module
        for module, names in packages_distributions().items()
        if module not in sys.stdlib_module_names and not {canonicalize_name(name) for name in names} & pins
    )
    assert {"airflow", "mlflow", "pydantic", "great_expectations"} <= set(absent)
    # Instead of a copied folder's include, Python would find the one that it is started in.
    (image / "sitecustomize.py").write_text(f"ABSENT = frozenset({absent})\n{_ONLY_LOCKED}")
    model = save_model(pipeline, scorer, tmp_path / "model")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(image), "SM_MODEL_DIR": str(model), "HOME": str(tmp_path)}
    env["SAGEMAKER_BIND_TO_PORT"] = str(port)
    held_back = subprocess.run(
        [sys.executable, "-c", "import mlflow"], cwd=image, env=env, capture_output=True, text=True
    )
    assert "mlflow is not in the image" in held_back.stderr
    command = [sys.executable, "-m", "include.serving", "serve"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--host", "127.0.0.1"], cwd=image, env=env, stdout=log, stderr=log)
    try:
        wait_for(lambda: ask(port, "GET", "/ping")[0] == 200, 60)
        status, answer = ask(port, "POST", "/invocations", {"instances": [ROW]})
        assert (status, answer["model_version"]) == (200, "model")
        assert ask(port, "GET", "/openapi.json")[0] == 200
        from http.client import HTTPConnection

        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/metrics")
        assert b"tollgate_rows_total" in connection.getresponse().read()
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait(10)
        print((tmp_path / "log").read_text())
