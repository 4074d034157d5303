"""docker-compose.yaml and Dockerfile: what can be known about them without starting a container."""

from __future__ import annotations

import copy
import functools
import hashlib
import importlib.util
import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from include.settings import PROJECT_ROOT
from tests.unit.compose_file import COMPOSE_TEXT, list_required, read_compose

_COMPOSE: dict[str, Any] = read_compose(list_required())
_SERVICES: dict[str, dict[str, Any]] = _COMPOSE["services"]
_ALL = pytest.mark.parametrize("name", sorted(_SERVICES))
_DOCKERFILE = (PROJECT_ROOT / "Dockerfile").read_text()
_VENDORED = Path(__file__).with_name("compose_schema")
_SCHEMA = _VENDORED / "compose-spec.json"


def _read_command(service: dict[str, Any]) -> list[str]:
    command = service.get("command", [])
    return command.split() if isinstance(command, str) else [str(word) for word in command]


@functools.cache
def load_validator() -> Draft202012Validator:
    """Compose's own schema."""
    schema = json.loads(_SCHEMA.read_bytes())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def find_breaches(compose: dict[str, Any]) -> list[str]:
    """What the schema says against a file, each with its place."""
    return [f"{error.json_path}: {error.message}" for error in load_validator().iter_errors(compose)]


def test_the_schema_is_the_one_of_its_origin_with_its_licence() -> None:
    digest = hashlib.sha256(_SCHEMA.read_bytes()).hexdigest()
    assert f"`{digest}`" in (_VENDORED / "ORIGIN.md").read_text()
    assert "Apache License" in (_VENDORED / "LICENSE").read_text()
    schema = json.loads(_SCHEMA.read_bytes())
    assert (schema["title"], schema["additionalProperties"]) == ("Compose Specification", False)


def test_compose_itself_would_take_the_file() -> None:
    assert find_breaches(_COMPOSE) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("services", "worker", "comand"), ["airflow"]),
        (("services", "worker", "stop_grace_period"), 120),
        (("services", "mlflow", "healthcheck", "retry"), 5),
        (("services", "scheduler", "depends_on", "postgres", "condition"), "service_well"),
        (("services", "redis", "environment"), "REDISCLI_AUTH"),
        (("service",), {}),
    ],
)
def test_a_file_with_a_wrong_key_or_value_is_found_out(place: tuple[str, ...], value: Any) -> None:
    spoilt = copy.deepcopy(_COMPOSE)
    inner = spoilt
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    breaches = find_breaches(spoilt)
    assert breaches
    assert all(place[1 if len(place) > 1 else 0] in breach for breach in breaches), breaches


def test_every_part_of_the_system_is_a_service() -> None:
    """Airflow's parts on Celery with a worker for each queue, its two stores, MLflow, the endpoints and the mails."""
    airflow = {
        "api-server",
        "scheduler",
        "dag-processor",
        "triggerer",
        "worker",
        "worker-training",
        "airflow-init",
        "sla-watcher",
    }
    assert set(_SERVICES) == airflow | {"postgres", "redis", "mlflow", "endpoint", "mail-catcher"}
    for name in airflow:
        assert _SERVICES[name]["environment"]["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"


@_ALL
def test_service_is_complete(name: str) -> None:
    """It says what it runs at an exact version, how it shows that it is well, and what happens when it dies."""
    service = _SERVICES[name]
    tag = service["image"].rpartition(":")[2]
    assert re.fullmatch(r"\d+\.\d+[\w.-]*", tag), service["image"]
    assert service["healthcheck"]["test"]
    assert service["restart"] in ("unless-stopped", "on-failure")


@_ALL
def test_service_may_do_and_take_no_more_than_it_needs(name: str) -> None:
    """Nobody is root, nobody becomes it, and each has its share of cores, memory and room for logs."""
    service = _SERVICES[name]
    user = service.get("user") or _read_dockerfile_user()
    assert user not in ("", "0", "root")
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert service["init"] is True, "somebody has to reap what a killed process leaves"
    limits = service["deploy"]["resources"]["limits"]
    assert float(limits["cpus"]) > 0
    assert re.fullmatch(r"\d+[mg]", limits["memory"])
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


def _read_dockerfile_user() -> str:
    return re.findall(r"^USER (\S+)$", _DOCKERFILE, re.MULTILINE)[-1]


def test_the_image_is_built_in_two_steps_from_what_the_context_has() -> None:
    """The libraries come from a step whose tools stay behind; .dockerignore lets through what is copied."""
    assert len(re.findall(r"^FROM python:\d+\.\d+\.\d+-slim-\w+", _DOCKERFILE, re.MULTILINE)) == 2
    copied: set[str] = set()
    for name in ("Dockerfile", "Dockerfile.serving"):
        for line in (PROJECT_ROOT / name).read_text().splitlines():
            if line.startswith("COPY ") and "--from" not in line:
                copied |= {source.partition("/")[0] for source in line.split()[1:-1]}
    lines = (PROJECT_ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert copied == let_through
    kept_out = [".env", ".git", ".venv", ".tollgate", "tests"]
    assert not any(fnmatch(name, pattern) for name in kept_out for pattern in let_through)


def test_each_queue_has_a_worker_that_imports_before_it_forks() -> None:
    workers = {name: _SERVICES[name] for name in ("worker", "worker-training")}
    queues = {}
    for name, worker in workers.items():
        command, env = _read_command(worker), worker["environment"]
        assert command[:3] == ["airflow", "celery", "worker"]
        queues[name] = command[command.index("--queues") + 1]
        assert json.loads(env["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"]) == {"imports": ["config.warm_celery"]}
        # As it is called, so it is asked for: two with one name would answer for each other.
        node = command[command.index("--celery-hostname") + 1].removesuffix("%h")
        assert f'-d "{node}$(hostname)"' in worker["healthcheck"]["test"][1]
    training = _SERVICES["dag-processor"]["environment"]["TOLLGATE_TRAINING_QUEUE"]
    assert queues == {"worker": "default", "worker-training": training}
    renamed = read_compose({**list_required(), "TOLLGATE_TRAINING_QUEUE": "big"})["services"]
    assert "big" in renamed["worker-training"]["command"]
    assert renamed["dag-processor"]["environment"]["TOLLGATE_TRAINING_QUEUE"] == "big"


@_ALL
def test_service_depends_on_services_that_exist(name: str) -> None:
    """Every name in depends_on is a service; one that must have completed is one that ends."""
    for needed, how in _SERVICES[name].get("depends_on", {}).items():
        assert needed in _SERVICES
        if how["condition"] == "service_completed_successfully":
            assert _SERVICES[needed]["restart"] == "on-failure"


@_ALL
def test_modules_that_a_service_runs_can_be_imported(name: str) -> None:
    """The X of every ``python -m X``."""
    command = _read_command(_SERVICES[name])
    for module in (command[i + 1] for i, word in enumerate(command[:-1]) if word == "-m"):
        assert importlib.util.find_spec(module) is not None, module


@_ALL
def test_named_volumes_are_declared(name: str) -> None:
    """A volume that is no path is one of the file's own."""
    for volume in _SERVICES[name].get("volumes", []):
        source = volume.partition(":")[0]
        assert source.startswith((".", "/")) or source in _COMPOSE["volumes"]


def test_every_variable_is_in_the_example_of_settings() -> None:
    """``${VAR}`` is a setting that .env.example explains."""
    used = set(re.findall(r"(?<!\$)\$\{?([A-Z][A-Z0-9_]*)", COMPOSE_TEXT))
    known = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", (PROJECT_ROOT / ".env.example").read_text(), re.MULTILINE))
    assert used
    assert used <= known, used - known


def test_no_secret_is_written_in_the_file() -> None:
    """Compose itself refuses to start without a password or key; that of a mail server of your own may be empty."""
    secrets = re.findall(r"\$\{(\w*(?:PASSWORD|KEY|SECRET)\w*)([^}]*)\}", COMPOSE_TEXT)
    assert {name for name, _ in secrets} >= {"TOLLGATE_POSTGRES_PASSWORD", "TOLLGATE_FERNET_KEY", "TOLLGATE_JWT_SECRET"}
    assert {name for name, rest in secrets if not rest.startswith(":?")} == {"TOLLGATE_SMTP_PASSWORD"}
    assert "${TOLLGATE_SMTP_PASSWORD:-}" in COMPOSE_TEXT


def test_mlflow_accepts_its_own_service_name() -> None:
    """Its middleware answers 403 to hosts that it was not told of."""
    allowed = next(word for word in _read_command(_SERVICES["mlflow"]) if word.startswith("--allowed-hosts="))
    assert "mlflow:5000" in allowed.partition("=")[2].split(",")
    assert _SERVICES["worker"]["environment"]["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"


def test_published_ports_are_on_loopback() -> None:
    """Nothing is offered to the network by default."""
    ports = [port for service in _SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)
