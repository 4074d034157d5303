"""docker-compose.yaml, run without Docker: S0, S1, S5 and a training whose worker is killed, on CeleryExecutor.

Each test continues where the one before it left the system.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pytest

from config.databases import make_databases
from include.declaration.loader import get_pipeline
from include.runtime.history import list_fits, name_recipe, write_fit
from tests.scenarios.customer import REQUEST, Customer
from tests.scenarios.invariants import Landed, Observer
from tests.scenarios.lenient import take_rows
from tests.scenarios.refreshes import make_month
from tests.services.conftest import require_server
from tests.services.image import PIPELINE, declare_ladder
from tests.services.servers import Stores, connect, find_redis, take_number
from tests.services.stack import ELSEWHERE, Stack
from tests.unit.compose_file import list_required, read_compose
from tests.unit.runtime.records import make_record

# Three minutes on two idle cores; a busy machine takes several times as long.
pytestmark = pytest.mark.timeout(1500)
slow = pytest.mark.slow

_SERVICES: dict[str, dict[str, Any]] = read_compose(list_required())["services"]
TRAINING = f"{PIPELINE}.train_model"
WORKERS = ("worker", "worker-training")


@pytest.fixture(scope="module")
def stack(stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(tmp_path_factory.mktemp("stack"), stores)
    try:
        yield running.start()
    finally:
        running.stop()


@pytest.fixture(scope="module")
def landed() -> list[Landed]:
    """Everything that was landed so far."""
    return []


def land(stack: Stack, partition: str, frame: Any, landed: list[Landed]) -> None:
    path = stack.land(PIPELINE, partition, frame)
    landed.append(Landed(partition, hashlib.sha256(path.read_bytes()).hexdigest(), len(frame)))


def wait_until_deployed(stack: Stack, partition: str) -> dict[str, Any]:
    deployed = stack.wait_for_record(
        PIPELINE, "deployment", lambda record: record["partition"] == partition, seconds=600
    )
    stack.wait_until_idle()
    return deployed


@slow
def test_every_service_of_the_file_runs_or_says_why_it_does_not(stack: Stack) -> None:
    assert _SERVICES.keys() == stack.composition.containers.keys() | ELSEWHERE.keys()
    assert not stack.composition.containers.keys() & ELSEWHERE.keys()
    assert all(ELSEWHERE.values())
    for container in stack.composition.containers.values():
        assert container.starts == 1, container.read_log()
        assert container.is_well(), container.read_log()
        assert (container.exit_code == 0) == (container.service["restart"] == "on-failure")


@slow
def test_nothing_of_the_files_environment_is_changed_but_what_only_a_container_understands(stack: Stack) -> None:
    """The one place where it is, ``Places``: hosts, folders, the two stores' addresses."""
    changed = set()
    for container in stack.composition.containers.values():
        for name, given in container.service["environment"].items():
            if container.env[name] != str(given):
                changed.add(name)
    assert changed == {
        *("AIRFLOW_HOME", "TOLLGATE_HOME", "TOLLGATE_ENDPOINT_HOST", "TOLLGATE_MAIL_CATCHER", "MLFLOW_TRACKING_URI"),
        *("AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__CORE__PLUGINS_FOLDER", "AIRFLOW__CORE__EXECUTION_API_SERVER_URL"),
        *("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CELERY__RESULT_BACKEND", "AIRFLOW__CELERY__BROKER_URL"),
        *("AIRFLOW__LOGGING__BASE_LOG_FOLDER", "AIRFLOW__LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY"),
        *("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE", "MLFLOW_BACKEND_STORE_URI"),
    }


@slow
@pytest.mark.parametrize(("service", "tool"), [("postgres", "pg_isready"), ("redis", "redis-cli")])
def test_the_stores_own_healthchecks_pass_on_the_machines_servers(stores: Stores, service: str, tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed here; it comes with the image of {service}")
    server = stores.databases["airflow"]
    if service == "redis" and (stores.redis.host, stores.redis.port) != ("127.0.0.1", 6379):
        pytest.skip("redis-cli is told no address, and asks the one of its own container")
    kind, *words = _SERVICES[service]["healthcheck"]["test"]
    command = ["/bin/sh", "-c", *words] if kind == "CMD-SHELL" else words
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PGHOST": str(server.host), "PGPORT": str(server.port or 5432)}
    password = str(stores.redis.password or "any-password")
    done = subprocess.run(command, env={**env, "REDISCLI_AUTH": password}, capture_output=True, check=False)
    assert done.returncode == 0, done


@slow
@pytest.mark.parametrize("name", WORKERS)
def test_a_workers_processes_are_born_warm_and_alone(stack: Stack, name: str) -> None:
    """What they share with the worker is mapped into them before any task ran, and none has a second thread."""
    worker = stack.composition.containers[name]
    family = [psutil.Process(pid) for pid in worker.find_processes()]
    celery = next(process for process in family if any(_is_warm(child) for child in process.children()))
    pool = [child for child in celery.children() if _is_warm(child)]
    assert len(pool) == int(worker.service["environment"]["AIRFLOW__CELERY__WORKER_CONCURRENCY"])
    assert {process.num_threads() for process in (celery, *pool)} == {1}


def _is_warm(process: psutil.Process) -> bool:
    try:
        files = {Path(mapped.path).as_posix() for mapped in process.memory_maps()}
    except psutil.ZombieProcess:
        # A log server: here all workers are one host's, and the port is another's already.
        return False
    return all(any(f"/{library}/" in file for file in files) for library in ("sklearn", "pandas", "pyarrow"))


@slow
def test_s0_the_first_refresh_becomes_a_served_model(stack: Stack, landed: list[Landed]) -> None:
    assert stack.endpoint_version(PIPELINE) is None
    land(stack, "2013-01", take_rows(1), landed)
    deployed = wait_until_deployed(stack, "2013-01")
    assert (deployed["version"], stack.endpoint_version(PIPELINE)) == ("1", "1")
    assert 0 <= stack.predict(PIPELINE, [REQUEST])["predictions"][0] <= 1
    assert "version 1" in stack.wait_for_mail(f"{PIPELINE}: version 1 is live")["text"].lower()
    for stage in ("data_refresh", "train_model", "deploy_model"):
        run = stack.wait_for_run(f"{PIPELINE}.{stage}")
        assert run["state"] == "success", stack.task_states(run)
        for task in stack.api.list_tasks(run["dag_id"], run["dag_run_id"]):
            fits = task["task_id"] in ("prepare_training_set", "fit_candidate")
            assert task["queue"] == ("training" if fits else "default"), task
    assert find_logged(stack, "worker-training", "fit_candidate") == 2
    assert find_logged(stack, "worker", "fit_candidate") == 0


def find_logged(stack: Stack, worker: str, task_id: str) -> int:
    """How often a worker said that it takes up a task."""
    lines = stack.composition.containers[worker].log.read_text().splitlines()
    return sum("Executing workload in Celery" in line and f"task_id='{task_id}'" in line for line in lines)


@slow
def test_s1_a_good_refresh_replaces_the_champion_without_a_failed_request(stack: Stack, landed: list[Landed]) -> None:
    with Customer(stack.endpoint_url(PIPELINE)) as customer:
        land(stack, "2013-02", take_rows(2), landed)
        wait_until_deployed(stack, "2013-02")
        time.sleep(1)
    assert stack.endpoint_version(PIPELINE) == "2"
    observer = Observer(stack, PIPELINE, landed)
    observer.check_answers(customer.answers, ())
    assert {answer.version for answer in customer.answers} == {"1", "2"}
    observer.check_at_rest()


@slow
def test_a_training_whose_worker_is_killed_is_taken_up_again_and_deployed(stack: Stack, landed: list[Landed]) -> None:
    """SIGKILL to every process of the worker, in the middle of a fit, as when its machine dies."""
    worker = stack.composition.containers["worker-training"]
    with Customer(stack.endpoint_url(PIPELINE), pause=0.1) as customer:
        # A whole month: its fits take seconds.
        land(stack, "2013-03", make_month(3), landed)
        run = stack.wait_for(lambda: find_run(stack, "2013-03"), 300, "the training of 2013-03")
        killed = stack.wait_for(lambda: find_running_fits(stack, run), 300, "a fit to run")
        worker.kill()
        wait_until_deployed(stack, "2013-03")
    assert worker.starts == 2, worker.read_log()
    assert worker.is_well(), worker.read_log()
    tries = {
        task["map_index"]: (task["state"], task["try_number"])
        for task in stack.api.list_tasks(TRAINING, run["dag_run_id"])
        if task["task_id"] == "fit_candidate"
    }
    assert {state for state, _ in tries.values()} == {"success"}
    assert any(tries[index][1] > 1 for index in killed), (killed, tries)
    assert stack.endpoint_version(PIPELINE) == "3"
    assert stack.mails("failed") == []
    observer = Observer(stack, PIPELINE, landed)
    # The endpoint is a service of its own, and noticed nothing.
    observer.check_answers(customer.answers, ())
    observer.check_at_rest()


def find_run(stack: Stack, partition: str) -> dict[str, Any] | None:
    return next((run for run in stack.runs(TRAINING) if run["partition_key"] == partition), None)


def find_running_fits(stack: Stack, run: dict[str, Any]) -> list[int] | None:
    """The candidates whose fit runs now, by their index; None when none does."""
    tasks = stack.api.list_tasks(TRAINING, run["dag_run_id"])
    return [t["map_index"] for t in tasks if t["task_id"] == "fit_candidate" and t["state"] == "running"] or None


@slow
def test_s5_what_grew_is_trained_by_the_other_queues_worker_before_it_is_late(
    stack: Stack, landed: list[Landed]
) -> None:
    """Two queues become two rungs; past fits on the small one took half a minute for each thousand rows."""
    declare_ladder(stack.places.image)
    plant_fits(stack)

    def see_rungs() -> bool | None:
        tasks = stack.api.call("GET", f"/dags/{TRAINING}/tasks")["tasks"]
        return {"fit_on_small", "fit_on_big"} <= {task["task_id"] for task in tasks} or None

    stack.wait_for(see_rungs, 120, "the declared ladder in the DAG")
    land(stack, "2013-04", take_rows(4), landed)
    wait_until_deployed(stack, "2013-04")
    run = find_run(stack, "2013-04")
    assert run is not None
    fits = {
        (task["task_id"], task["state"], task["queue"])
        for task in stack.api.list_tasks(TRAINING, run["dag_run_id"])
        if task["task_id"].startswith("fit_on_")
    }
    assert fits == {("fit_on_small", "skipped", "default"), ("fit_on_big", "success", "training")}
    assert find_logged(stack, "worker-training", "fit_on_big") == 2
    assert find_logged(stack, "worker", "fit_on_big") == 0
    assert [fit.rung for fit in list_fits(stack.settings, PIPELINE)[-2:]] == ["big", "big"]
    mail = stack.wait_for_mail("training for 2013-04 begins on big")
    assert "big is the lowest rung that suffices" in mail["text"]
    assert "too slow" in mail["text"]
    Observer(stack, PIPELINE, landed).check_at_rest()


def plant_fits(stack: Stack) -> None:
    """Six fits of each candidate on the small rung, an hour apart, the last an hour ago."""
    pipeline, now = get_pipeline(stack.settings, PIPELINE), datetime.now(UTC)
    for number in range(6):
        rows, finished = 2_000 * (number + 1), now - timedelta(hours=6 - number)
        for place, candidate in enumerate(pipeline.training.candidates):
            record = make_record(
                10 * place + number,
                pipeline=PIPELINE,
                candidate=candidate.name,
                recipe=name_recipe(pipeline, candidate),
                rung="small",
                rows=rows,
                seconds=rows / 1000 * 30,
                finished_at=finished.isoformat(timespec="milliseconds"),
            )
            write_fit(stack.settings, record)


@slow
def test_no_service_needed_more_memory_than_the_file_gives_it(stack: Stack) -> None:
    for container in stack.composition.containers.values():
        limit = container.service["deploy"]["resources"]["limits"]["memory"]
        megabytes = int(limit[:-1]) * {"m": 1, "g": 1024}[limit[-1]]
        needed = container.measure_memory()
        print(f"{container.name}: {needed:.0f} MB of {megabytes}")
        # Between two refreshes, so with some left for what one of them needs.
        assert needed < 0.7 * megabytes, container.name


@slow
def test_both_databases_were_made_by_the_first_step_and_a_second_start_finds_them(stack: Stack) -> None:
    first_step = stack.composition.containers["airflow-init"]
    names = ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "MLFLOW_BACKEND_STORE_URI"]
    said = first_step.log.read_text()
    assert all(f"{name}: made tollgate_" in said for name in names), said
    assert all(
        f"{name}: found tollgate_" in line
        for name, line in zip(names, make_databases(names, first_step.env), strict=True)
    )


@slow
def test_the_state_is_in_postgresql_alone(stack: Stack, stores: Stores) -> None:
    for owner, table in (("airflow", "dag_run"), ("mlflow", "model_versions")):
        connection = connect(stores.databases[owner])
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            assert cursor.fetchone()[0] >= 3
        connection.close()
    assert [path.name for path in stack.home.rglob("*.db")] == []


@pytest.mark.parametrize(("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_a_missing_redis_fails_in_ci_and_is_named_either_way(
    monkeypatch: pytest.MonkeyPatch, ci: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setenv("CI", ci)
    monkeypatch.setenv("TOLLGATE_TEST_REDIS", "redis://:hidden@127.0.0.1:1")
    with pytest.raises(outcome, match=r"127\.0\.0\.1:1") as caught, require_server():
        take_number(find_redis())
    assert "hidden" not in str(caught.value)
