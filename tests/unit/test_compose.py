"""docker-compose.yaml and Dockerfile: what can be known about them without starting a container."""

from __future__ import annotations

import copy
import functools
import importlib.util
import re
from typing import Any

import pytest
from check_jsonschema.builtin_schemas import get_builtin_schema  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from include.settings import PROJECT_ROOT
from tests.unit.compose_file import COMPOSE_TEXT, list_required, read_compose

_COMPOSE: dict[str, Any] = read_compose(list_required())
_SERVICES: dict[str, dict[str, Any]] = _COMPOSE["services"]
_ALL = pytest.mark.parametrize("name", sorted(_SERVICES))


def _read_command(service: dict[str, Any]) -> list[str]:
    command = service.get("command", [])
    return command.split() if isinstance(command, str) else [str(word) for word in command]


@functools.cache
def load_validator() -> Draft202012Validator:
    """Compose's own schema, as check-jsonschema carries it."""
    schema = get_builtin_schema("vendor.compose-spec")
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def find_breaches(compose: dict[str, Any]) -> list[str]:
    """What the schema says against a file, each with its place."""
    return [f"{error.json_path}: {error.message}" for error in load_validator().iter_errors(compose)]


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
    """Airflow's six parts on Celery, its two stores, MLflow, the endpoints and the mails."""
    airflow = {"api-server", "scheduler", "dag-processor", "triggerer", "worker", "airflow-init", "sla-watcher"}
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
