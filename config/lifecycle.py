"""Starting and stopping the whole system."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence

import psutil  # type: ignore[import-untyped]

from config.airflow_env import build_environment
from config.credentials import Credentials, load_credentials
from config.environment import Site
from config.health import Say, wait_until_well
from config.leftovers import find_processes, kill_processes
from config.order import put_in_order
from config.ports import check_port, name_setting
from config.programs import Program, list_programs
from config.supervise import Supervisor, start_supervisor, write_configuration
from include.errors import SettingsError, TerminalError
from include.records import utc_now, write_file_atomically

_START_SECONDS = 180.0


def _check_same_ports(site: Site) -> None:
    noted = json.loads((site.run_folder / "system.json").read_text())["ports"]
    wanted = site.ports.to_dict()
    for name, port in wanted.items():
        if noted.get(name) != port:
            raise SettingsError(
                f"The system of {site.settings.home} is up with {name_setting(name)}={noted.get(name)}, not {port}.",
                next_step="Run `make stop` first, or use the ports it was started with.",
                setting=name_setting(name),
                value=str(port),
            )


def _check_ports(programs: Sequence[Program]) -> None:
    taken: dict[int, str] = {}
    for program in programs:
        for port, setting in program.ports:
            if port in taken:
                raise SettingsError(
                    f"{program.name} and {taken[port]} are both given port {port}.",
                    next_step=f"Change {setting}.",
                    setting=setting,
                    value=str(port),
                )
            taken[port] = program.name
            check_port(port, setting, program.name, program.host)


def _migrate_database(site: Site, env: Mapping[str, str], say: Say) -> None:
    """Bring Airflow's database up to this version, in a few seconds even when nothing is to be done."""
    say("Preparing Airflow's database …")
    airflow = shutil.which("airflow", path=env["PATH"]) or "airflow"
    done = subprocess.run(
        [airflow, "db", "migrate"], env=dict(env), capture_output=True, text=True, check=False, cwd=site.run_folder
    )
    log = site.logs_folder / "db-migrate.log"
    log.write_text(done.stdout + done.stderr)
    if done.returncode != 0:
        raise TerminalError(
            f"Airflow's database could not be prepared: {(done.stderr or done.stdout).strip()[-800:]}",
            next_step=f"Read {log}; check TOLLGATE_AIRFLOW_DB if you set it.",
            log=str(log),
        )


def _note_system(site: Site, programs: Sequence[Program]) -> None:
    note = {"ports": site.ports.to_dict(), "started_at": utc_now(), "programs": [program.name for program in programs]}
    write_file_atomically(site.run_folder / "system.json", json.dumps(note, indent=1).encode())


def start_system(site: Site, say: Say, seconds: float = _START_SECONDS) -> Credentials:
    """Start every program and return when all are well; one that is up already is completed instead.

    Raises PortTaken, SettingsError, or TransientError with the last log lines of a program that does not come up.
    """
    programs = list_programs(site)
    credentials = load_credentials(site.settings.home)
    env = build_environment(site, credentials)
    supervisor = Supervisor(site)
    if supervisor.read_pid() is not None:
        _check_same_ports(site)
        say("The system is up already; taking in what is new.")
        write_configuration(site, programs)
        added, removed = supervisor.reload()
        for names, verb in ((added, "added"), (removed, "removed")):
            if names:
                say(f"  {verb}: {', '.join(names)}")
        for name, state in supervisor.list_states().items():
            if state["statename"] in ("STOPPED", "EXITED", "FATAL"):
                supervisor.start_program(name)
    else:
        for line in kill_processes(site):
            say(f"  ended a process that an earlier system left: {line}")
        _check_ports(programs)
        configuration = write_configuration(site, programs)
        for folder in ("airflow", "mlflow", "landing"):
            (site.settings.home / folder).mkdir(parents=True, exist_ok=True)
        _migrate_database(site, env, say)
        say("Starting …")
        start_supervisor(configuration, env)
    _note_system(site, programs)
    wait_until_well(site, programs, seconds, say)
    put_in_order(site, credentials, say)
    return credentials


def stop_system(site: Site, say: Say) -> bool:
    """Stop everything, those that use others first; returns False when nothing ran. No process is left."""
    supervisor = Supervisor(site)
    pid = supervisor.read_pid()
    if pid is None and not find_processes(site):
        return False
    if pid is not None:
        _stop_supervised(site, supervisor, pid, say)
    for line in kill_processes(site):
        say(f"  killed what did not stop: {line}")
    left = find_processes(site)
    if left:
        raise TerminalError(
            f"Processes that cannot be killed: {', '.join(map(str, sorted(left)))}.",
            next_step="They are stuck in the kernel (a dead network disk, for example).",
            pids=sorted(left),
        )
    return True


def _stop_supervised(site: Site, supervisor: Supervisor, pid: int, say: Say) -> None:
    states = supervisor.list_states()
    ranks: dict[int, list[Program]] = {}
    for program in list_programs(site):
        if program.name in states:
            ranks.setdefault(program.rank, []).append(program)
    for rank in sorted(ranks, reverse=True):
        programs = ranks[rank]
        say(f"Stopping {', '.join(program.name for program in programs)} …")
        supervisor.stop_programs([p.name for p in programs], max(p.grace for p in programs) + 15)
    process = psutil.Process(pid)
    supervisor.shut_down()
    try:
        process.wait(30)
    except psutil.TimeoutExpired:
        say("The process supervisor does not end by itself.")
