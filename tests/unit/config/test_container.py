"""Containers run with what ``make run`` gives: key by key, with every difference and its reason."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.airflow_env import build_environment
from config.container import build_container_environment
from config.credentials import Credentials
from config.environment import Site, load_site
from config.programs import Program, list_programs
from include.declaration.loader import load_pipelines
from include.errors import SettingsError
from include.settings import PROJECT_ROOT, load_settings
from tests.unit.compose_file import list_required, read_compose

_DOCKERFILE = (PROJECT_ROOT / "Dockerfile").read_text()
_SERVICES: dict[str, dict[str, Any]] = read_compose(list_required())["services"]
_OURS = sorted(name for name, service in _SERVICES.items() if service["image"].startswith("tollgate:"))
_WITH_AIRFLOW = sorted(name for name in _OURS if "AIRFLOW_HOME" in _SERVICES[name]["environment"])

_OWN_PORTS = "no program asks for it: the file has it where it is needed"
_SECRETS = "made once by make run; from .env in containers"
_NAMES = "containers know each other by their services' names, not by the loopback address"
# What `make run` sets and a container does not have.
ONLY_EMBEDDED = {
    "AIRFLOW__API__HOST": "in the command of api-server",
    "AIRFLOW__API__PORT": "in the command of api-server",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "what waits in Redis waits for a worker, and long",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "about the locks of SQLite; here it is PostgreSQL",
    "TOLLGATE_SYSTEM": "the mark by which make stop finds processes",
    "TOLLGATE_PIPELINES": "the image holds the pipelines, at the default place",
    "TOLLGATE_GX_ROOT": "the image holds the rules, at the default place",
    "TOLLGATE_AIRFLOW_PORT": _OWN_PORTS,
    "TOLLGATE_MLFLOW_PORT": _OWN_PORTS,
    "TOLLGATE_MAIL_PORT": _OWN_PORTS,
    "TOLLGATE_HEALTH_PORT": _OWN_PORTS,
    "TOLLGATE_LOG_PORT": _OWN_PORTS,
    "TOLLGATE_WATCH_PORT": _OWN_PORTS,
}
# What a container has and `make run` does not set.
ONLY_CONTAINERS = {
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "Celery's",
    "AIRFLOW__CELERY__RESULT_BACKEND": "Celery's",
    "AIRFLOW__CELERY__BROKER_URL": "Celery's",
    "AIRFLOW__CELERY__EXTRA_CELERY_CONFIG": "Celery's",
    "AIRFLOW__CELERY__OPERATION_TIMEOUT": "Celery's",
    "AIRFLOW__CELERY__SYNC_PARALLELISM": "Celery's",
    "AIRFLOW__CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": "Celery's",
    "TOLLGATE_EXECUTOR": "whether Celery's workers are warm; make run reads it, and no program of it does",
    "TOLLGATE_TRAINING_QUEUE": "only an executor with queues looks at it; make run passes on what is set",
    "MLFLOW_BACKEND_STORE_URI": "in the command of make run's MLflow; here with a password",
    "ADMIN_PASSWORD": "airflow-init writes it to the passwords' file",
    "TOLLGATE_MAIL_CATCHER": _NAMES,
    "TOLLGATE_SMTP_HOST": "make run passes on what is set, and nothing else; empty here by default",
    "TOLLGATE_SMTP_USER": "the same",
    "TOLLGATE_SMTP_PASSWORD": "the same",
    "TOLLGATE_SMTP_SECURITY": "the same; none by default",
    "TOLLGATE_AIRFLOW_PUBLIC_URL": "make run takes it from the port",
    "TOLLGATE_MLFLOW_PUBLIC_URL": "make run takes it from the port",
    "TOLLGATE_MAILS_PUBLIC_URL": "make run takes it from the port",
    "TOLLGATE_MAIL_FROM": "its default stands in include/settings.py",
    "TOLLGATE_CORES": "make run counts them; a container would see the whole machine's",
    "TOLLGATE_ENDPOINT_HOST": _NAMES,
    "TOLLGATE_ENDPOINT_WORKERS": "make run passes on what is set; 1 by default, as there",
    "TOLLGATE_ENDPOINT_TOKEN": "the same; empty, which is none, by default",
}
# What both have, with another value.
OTHERWISE = {
    "AIRFLOW__CORE__EXECUTOR": "Celery instead of a fork",
    "AIRFLOW__CORE__PARALLELISM": "how much runs is up to Celery's workers",
    "AIRFLOW__CORE__HOSTNAME_CALLABLE": "a container's own name is the one under which its logs are fetched",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "a Celery worker that is started again takes up what waits in Redis",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": _NAMES,
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "PostgreSQL instead of SQLite",
    "AIRFLOW__CORE__FERNET_KEY": _SECRETS,
    "AIRFLOW__API_AUTH__JWT_SECRET": _SECRETS,
    "AIRFLOW__API__SECRET_KEY": _SECRETS,
    "AIRFLOW_CONN_SMTP_DEFAULT": _NAMES,
    "MLFLOW_TRACKING_URI": _NAMES,
    "NO_PROXY": _NAMES,
    "no_proxy": _NAMES,
    "PATH": "the image's environment instead of .venv",
    "PYTHONDONTWRITEBYTECODE": "the code's folder belongs to root; the image has the bytecode",
}
# Of which services each of these is true; all others must agree in everything.
_AIRFLOW_ONLY = re.compile(
    r"AIRFLOW|TOLLGATE_SMTP_|TOLLGATE_MAIL_CATCHER|ADMIN_PASSWORD|TOLLGATE_EXECUTOR|TOLLGATE_TRAINING_QUEUE"
)
# What one service alone has.
_OWN = {
    "ADMIN_PASSWORD": {"airflow-init"},
    "MLFLOW_BACKEND_STORE_URI": {"airflow-init", "mlflow"},
}


def make_site() -> Site:
    return load_site({"TOLLGATE_HOME": "/var/lib/tollgate", "PATH": "/usr/bin"})


def list_contained_only(service: str) -> set[str]:
    """The names of ONLY_CONTAINERS that this service has."""
    return {name for name in ONLY_CONTAINERS if service in _OWN.get(name, {service})}


def list_embedded() -> dict[str, str]:
    """What ``make run`` gives every program, with the image's folders in the place of this checkout's."""
    home = Path("/var/lib/tollgate")
    credentials = Credentials("password", home / "secrets" / "airflow_passwords.json", "fernet", "jwt", "secret")
    env = build_environment(make_site(), credentials)
    return {name: value.replace(str(PROJECT_ROOT), "/opt/tollgate") for name, value in env.items()}


def list_contained(service: str) -> dict[str, str]:
    """What a service's processes see: the image's, the file's and the entry point's."""
    image = dict(re.findall(r"(\w+)=(\S+)", "".join(re.findall(r"^ENV (.*)$", _DOCKERFILE, re.MULTILINE))))
    given = {name: str(value) for name, value in _SERVICES[service]["environment"].items()}
    return build_container_environment({**image, **given})


@pytest.mark.parametrize("service", _WITH_AIRFLOW)
def test_airflow_in_a_container_has_the_settings_of_make_run(service: str) -> None:
    embedded, contained = list_embedded(), list_contained(service)
    assert embedded.keys() - contained.keys() == ONLY_EMBEDDED.keys()
    assert contained.keys() - embedded.keys() == list_contained_only(service)
    differing = {name for name in embedded.keys() & contained.keys() if embedded[name] != contained[name]}
    assert differing == OTHERWISE.keys()


@pytest.mark.parametrize("service", sorted(set(_OURS) - set(_WITH_AIRFLOW)))
def test_the_other_containers_have_the_settings_of_make_run(service: str) -> None:
    embedded, contained = list_embedded(), list_contained(service)

    def leave_out_airflow(names: set[str]) -> set[str]:
        return {name for name in names if not _AIRFLOW_ONLY.match(name)}

    assert leave_out_airflow(embedded.keys() - contained.keys()) == leave_out_airflow(set(ONLY_EMBEDDED))
    assert contained.keys() - embedded.keys() == leave_out_airflow(list_contained_only(service))
    differing = {name for name in embedded.keys() & contained.keys() if embedded[name] != contained[name]}
    assert differing == leave_out_airflow(set(OTHERWISE))


def test_calls_between_containers_take_no_proxy() -> None:
    for name in _OURS:
        spared = _SERVICES[name]["environment"]["NO_PROXY"].split(",")
        airflow = {"api-server", "worker", "worker-training", "triggerer"}
        addressed = airflow | {"postgres", "redis", "mlflow", "endpoint", "mail-catcher"}
        assert set(spared) == addressed | {"localhost", "127.0.0.1"}
        assert addressed <= _SERVICES.keys()


# Options of a program's command that a container gives another value or does not need.
_OPTIONS = {
    "api-server": {"--workers": "AIRFLOW__API__WORKERS says the same"},
    "scheduler": {"--skip-serve-logs": "no other program's logs come from its port there"},
    "triggerer": {"--skip-serve-logs": "the web page fetches the logs of triggers from it"},
    "dag-processor": {},
    "mlflow": {"--backend-store-uri": "MLFLOW_BACKEND_STORE_URI says it, with a password that ps would show"},
    "mail-catcher": {},
    "sla-watcher": {},
}


def _list_options(command: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in command if word.startswith("--")}


def test_every_program_of_make_run_is_a_service_started_likewise() -> None:
    programs: dict[str, Program] = {
        program.name: program for program in list_programs(make_site()) if not program.name.startswith("endpoint-")
    }
    # The stand-in for the log servers of Airflow's components, which listen for themselves in containers.
    del programs["log-stub"]
    assert programs.keys() == _OPTIONS.keys()
    # What only containers have: both stores, Celery's worker, the first steps, all endpoints in one.
    assert _SERVICES.keys() - programs.keys() == {
        *("postgres", "redis", "worker", "worker-training", "airflow-init", "endpoint")
    }
    for name, program in programs.items():
        command = _SERVICES[name]["command"]
        dropped = _list_options(list(program.command)) - _list_options(command)
        assert dropped == _OPTIONS[name].keys(), name
        if "-m" in program.command:
            module = program.command[program.command.index("-m") + 1]
            assert command[:3] == ["python", "-m", module]
        else:
            assert command[:2] == ["airflow", program.command[1]]


def test_every_declared_endpoint_is_published_and_none_is_named() -> None:
    """A pipeline that is added shows here until its port is added, and needs no other change."""
    service = _SERVICES["endpoint"]
    assert service["command"] == ["python", "-m", "config.endpoints"]
    first = int(service["environment"]["TOLLGATE_ENDPOINT_PORT"])
    pipelines = load_pipelines(make_site().settings).pipelines
    wanted = {first + pipeline.deployment.target.port_offset for pipeline in pipelines.values()}
    assert {int(port.rpartition(":")[2]) for port in service["ports"]} == wanted
    assert not any(name in json.dumps(_SERVICES) for name in pipelines)


def read_connection(**given: str) -> dict[str, Any]:
    services = read_compose({**list_required(), **given})["services"]
    env = build_container_environment(services["worker"]["environment"])
    found: dict[str, Any] = json.loads(env["AIRFLOW_CONN_SMTP_DEFAULT"])
    return found


def test_the_catchers_page_is_linked_unless_env_names_a_server() -> None:
    def find_page(**given: str) -> str:
        return load_settings(
            read_compose({**list_required(), **given})["services"]["api-server"]["environment"]
        ).mails_public_url

    assert find_page() == "http://127.0.0.1:8025"
    assert find_page(TOLLGATE_MAIL_PORT="9025") == "http://127.0.0.1:9025"
    assert find_page(TOLLGATE_SMTP_HOST="smtp.example.test") == ""


def test_mails_go_to_the_catcher_unless_env_names_a_server() -> None:
    caught = read_connection()
    assert (caught["host"], caught["port"], caught["extra"]["disable_tls"]) == ("mail-catcher", 1025, True)
    assert "login" not in caught
    real = read_connection(
        TOLLGATE_SMTP_HOST="smtp.example.test",
        TOLLGATE_SMTP_PORT="465",
        TOLLGATE_SMTP_USER="me",
        TOLLGATE_SMTP_PASSWORD='a "quoted" secret',
        TOLLGATE_SMTP_SECURITY="ssl",
        TOLLGATE_MAIL_FROM="from@example.test",
    )
    assert (real["host"], real["port"]) == ("smtp.example.test", 465)
    assert (real["login"], real["password"]) == ("me", 'a "quoted" secret')
    assert (real["extra"]["disable_tls"], real["extra"]["disable_ssl"]) == (True, False)
    assert real["extra"]["from_email"] == "from@example.test"
    with pytest.raises(SettingsError, match="TOLLGATE_SMTP_SECURITY"):
        read_connection(TOLLGATE_SMTP_SECURITY="maybe")


def test_what_the_file_says_wins_over_what_is_shared() -> None:
    assert build_container_environment({"OMP_NUM_THREADS": "4"})["OMP_NUM_THREADS"] == "4"


def run_entry_point(*command: str, **given: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT_ROOT), **given}
    start = [sys.executable, "-m", "config.container", *command]
    return subprocess.run(start, env=env, capture_output=True, text=True, check=False)


def test_the_entry_point_becomes_the_command() -> None:
    words = json.loads(re.findall(r"^ENTRYPOINT (.*)$", _DOCKERFILE, re.MULTILINE)[0])
    assert words == ["python", "-m", "config.container"]
    done = run_entry_point("sh", "-c", 'echo "$JE_ARROW_MALLOC_CONF $MARK"; exit 7', MARK="given")
    assert (done.stdout, done.returncode) == ("background_thread:false given\n", 7)
    refused = run_entry_point("true", TOLLGATE_MAIL_CATCHER="mail-catcher", TOLLGATE_SMTP_SECURITY="maybe")
    assert refused.returncode == 1
    assert refused.stderr.startswith("TOLLGATE_SMTP_SECURITY is 'maybe'")
