"""Whatever is killed comes back by itself, and a stop leaves nothing: on a system of its own, with nothing landed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from config.guard import find_noted, read_processes
from config.leftovers import find_processes
from config.lifecycle import start_system
from config.programs import list_programs
from config.supervise import name_session_file
from include.errors import PortTaken, SettingsError
from tests.scenarios.system import RunningSystem

pytestmark = pytest.mark.slow

PROGRAMS = [
    "api-server",
    "scheduler",
    "dag-processor",
    "triggerer",
    "mlflow",
    "mail-catcher",
    "log-stub",
    "sla-watcher",
    "endpoint-flight_delays",
]


@pytest.fixture(scope="module")
def own_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    running = RunningSystem(tmp_path_factory.mktemp("supervision") / "home")
    try:
        yield running.start()
    finally:
        running.stop()


def test_every_program_is_covered(own_system: RunningSystem) -> None:
    assert sorted(PROGRAMS) == sorted(program.name for program in list_programs(own_system.site))


def test_everything_listens_on_loopback_only(own_system: RunningSystem) -> None:
    ours = find_processes(own_system.site)
    listening = [c for c in psutil.net_connections("tcp") if c.pid in ours and c.status == psutil.CONN_LISTEN]
    assert len(listening) >= len(PROGRAMS) - 3  # the dag-processor and the triggerer need no port
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}


def test_the_ui_asks_for_the_password_that_was_made(own_system: RunningSystem) -> None:
    address = own_system.settings.airflow_public_url
    user, password = own_system.login
    right = httpx.post(f"{address}/auth/token", json={"username": user, "password": password}, trust_env=False)
    wrong = httpx.post(f"{address}/auth/token", json={"username": user, "password": "admin"}, trust_env=False)
    without = httpx.get(f"{address}/api/v2/dags", trust_env=False)
    assert (right.status_code, wrong.status_code, without.status_code) == (201, 401, 401)
    assert httpx.get(f"{address}/", trust_env=False).status_code == 200


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_killed_program_comes_back_well(own_system: RunningSystem, program: str) -> None:
    old = own_system.kill(program)
    seconds = own_system.wait_until_back(program, old)
    print(f"{program} back after {seconds:.1f} s")


@pytest.mark.parametrize("program", ["scheduler", "mlflow"])
def test_a_killed_guard_takes_its_program_along_and_both_come_back(own_system: RunningSystem, program: str) -> None:
    old = own_system.find_pid(program)
    members = find_noted(name_session_file(own_system.site, program))
    assert old in members
    own_system.kill_guard(program)
    own_system.wait_until_back(program, old)
    assert not members & set(read_processes())


def test_a_second_start_resumes(own_system: RunningSystem) -> None:
    before = {program: own_system.find_pid(program) for program in PROGRAMS}
    start_system(own_system.site, own_system.said.append)
    assert {program: own_system.find_pid(program) for program in PROGRAMS} == before


def test_a_second_start_on_other_ports_is_refused(own_system: RunningSystem) -> None:
    from config.environment import load_site

    other = load_site({**own_system.env, "TOLLGATE_MAIL_PORT": "31999"})
    with pytest.raises(SettingsError, match="TOLLGATE_MAIL_PORT"):
        start_system(other, own_system.said.append)


def test_a_taken_port_is_named_and_nothing_is_started(own_system: RunningSystem, tmp_path: Path) -> None:
    from config.environment import load_site

    other = load_site({**own_system.env, "TOLLGATE_HOME": str(tmp_path / "home")})
    with pytest.raises(PortTaken, match="api-server") as caught:
        start_system(other, own_system.said.append)
    assert caught.value.setting == "TOLLGATE_AIRFLOW_PORT"
    assert caught.value.port == own_system.site.ports.airflow
    assert not find_processes(other)


def test_without_its_supervisor_everything_stops_and_a_start_brings_it_back(own_system: RunningSystem) -> None:
    own_system.kill_supervisor()
    own_system.wait_for(lambda: not find_processes(own_system.site) or None, 60, "every program to stop")
    start_system(own_system.site, own_system.said.append)

    def look() -> bool | None:
        return own_system.api.read_health()["scheduler"]["status"] == "healthy" or None

    # Its own page says so at once; Airflow's after its next heartbeat, when its workers have loaded everything.
    own_system.wait_for(look, 60, "the scheduler to be healthy in Airflow's eyes")
