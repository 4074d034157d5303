"""The container of all endpoints: its supervisor, started for real with two pipelines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config.environment import load_site
from config.leftovers import find_processes, kill_processes
from config.ports import iterate_free_bases
from config.supervise import name_session_file
from include.settings import PROJECT_ROOT

_DECLARATION = """
from tests.scenarios.variants import declare_variant

PIPELINE = declare_variant({name!r}, {offset})
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    for offset, name in enumerate(("first", "second")):
        folder = tmp_path / "pipelines" / name
        folder.mkdir(parents=True)
        (folder / "pipeline.py").write_text(_DECLARATION.format(name=name, offset=offset))
    # Below the ports that the system gives to connections.
    base = next(iterate_free_bases(20, low=12000 + os.getpid() % 50 * 20, high=16000))
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(PROJECT_ROOT),
        "TOLLGATE_HOME": str(tmp_path / "home"),
        "TOLLGATE_PIPELINES": str(tmp_path / "pipelines"),
        "TOLLGATE_PORT_BASE": str(base),
        # By this the test finds what is left.
        "TOLLGATE_SYSTEM": str(tmp_path / "home"),
    }


@pytest.fixture
def container(env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Started as the image's entry point starts it."""
    command = [sys.executable, "-m", "config.container", sys.executable, "-m", "config.endpoints"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()
    kill_processes(load_site(env))


def ask_for_health(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "config.endpoints", "--check"]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def wait_for(look: Callable[[], bool], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.2)


def test_without_its_endpoints_the_container_is_not_healthy(env: dict[str, str]) -> None:
    asked = ask_for_health(env)
    assert asked.returncode == 1
    assert asked.stderr == "no answer from endpoint-first, endpoint-second\n"


def test_every_endpoint_answers_and_comes_back_and_none_outlives_a_stop(
    env: dict[str, str], container: subprocess.Popen[bytes]
) -> None:
    site = load_site(env)
    note = name_session_file(site, "endpoint-second")
    wait_for(lambda: ask_for_health(env).returncode == 0, "both endpoints to answer")
    killed = json.loads(note.read_text())["session"]
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: note.exists() and json.loads(note.read_text())["session"] != killed, "the killed one to come back")
    wait_for(lambda: ask_for_health(env).returncode == 0, "it to answer")
    container.terminate()
    assert container.wait(40) == 0
    assert find_processes(site) == set()
