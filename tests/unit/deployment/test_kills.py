"""Deployments that are killed, and deployments at the same time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from include.declaration import Pipeline
from include.deployment.local import switch
from include.deployment.local.lock import hold_endpoint
from include.deployment.local.status import read_status
from include.errors import EndpointUnavailable
from include.pointer import locate_endpoint_folder, read_pointer
from include.settings import Settings
from tests.unit.deployment.steps import StartEndpoint, deploy_now, hurry, list_deployments


def _deploy_and_die(settings: Settings, pipeline: Pipeline, number: str, model_dir: Path) -> None:
    """A task killed right after it wrote the pointer."""
    write = switch.write_pointer

    def write_and_die(folder: Path, pointer: object) -> None:
        write(folder, pointer)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGKILL)

    switch.write_pointer = write_and_die
    deploy_now(settings, pipeline, number, model_dir)


def kill_a_deployment(settings: Settings, pipeline: Pipeline, number: str, model_dir: Path) -> None:
    task = multiprocessing.get_context("fork").Process(
        target=_deploy_and_die, args=(settings, pipeline, number, model_dir)
    )
    task.start()
    task.join(60)
    assert task.exitcode == -signal.SIGKILL


def test_a_deployment_killed_after_the_pointer_was_written_ends_the_same_when_run_again(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path
) -> None:
    server = start_endpoint()
    kill_a_deployment(settings, pipeline, "1", model_dir)
    assert list_deployments(settings) == []
    swapped_at = server.wait_ready("1")["swapped_at"]
    assert deploy_now(settings, pipeline, "1", model_dir).deployed_at == swapped_at
    assert list_deployments(settings) == ["1"]


def test_a_killed_deployment_of_a_model_that_cannot_be_served_is_taken_back_by_its_retry(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path, broken_dir: Path
) -> None:
    start_endpoint()
    deploy_now(settings, pipeline, "1", model_dir)
    kill_a_deployment(settings, pipeline, "2", broken_dir)
    with pytest.raises(EndpointUnavailable):
        deploy_now(settings, pipeline, "2", broken_dir)
    pointer = read_pointer(settings.serving_root / "parcels")
    assert pointer is not None
    assert pointer.version == "1"


def test_a_served_version_is_not_unpointed_when_it_is_deployed_again_while_the_endpoint_restarts(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path, other_dir: Path
) -> None:
    server = start_endpoint()
    deploy_now(settings, pipeline, "1", model_dir)
    deploy_now(settings, pipeline, "2", other_dir)
    server.stop()
    with pytest.raises(EndpointUnavailable):
        deploy_now(settings, hurry(pipeline, 0.3), "2", other_dir)
    pointer = read_pointer(settings.serving_root / "parcels")
    assert pointer is not None
    assert pointer.version == "2"


def test_one_deployment_at_a_time_and_a_dead_holder_lets_go(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path
) -> None:
    start_endpoint()
    folder = locate_endpoint_folder(settings, "parcels")
    held = multiprocessing.get_context("fork").Event()

    def hold() -> None:
        with hold_endpoint(folder, 5):
            held.set()
            time.sleep(60)

    holder = multiprocessing.get_context("fork").Process(target=hold)
    holder.start()
    try:
        assert held.wait(10)
        with pytest.raises(EndpointUnavailable, match="under way"):
            deploy_now(settings, hurry(pipeline, 0.2), "1", model_dir)
    finally:
        holder.kill()
        holder.join(10)
    assert deploy_now(settings, pipeline, "1", model_dir).version == "1"


def test_two_deployments_at_once_end_with_one_of_them_whole(
    settings: Settings, pipeline: Pipeline, start_endpoint: StartEndpoint, model_dir: Path, other_dir: Path
) -> None:
    server = start_endpoint()
    failures: list[BaseException] = []

    def run(number: str, folder: Path) -> None:
        try:
            deploy_now(settings, pipeline, number, folder)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=task) for task in (("1", model_dir), ("2", other_dir))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert sorted(list_deployments(settings)) == ["1", "2"]
    status = read_status(settings, pipeline)
    assert status.agree
    assert server.ask("GET", "/version")[1]["version"] == list_deployments(settings)[-1]
