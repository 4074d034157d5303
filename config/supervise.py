"""The process supervisor: its configuration, and talking to the one that runs."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

from config.environment import Site
from config.programs import Program
from include.errors import TransientError
from include.records import write_file_atomically

_GUARD = Path(__file__).with_name("guard.py")
# A socket's path may have about 108 bytes.
_LONGEST_SOCKET_PATH = 90
# Beyond the guard's own grace, which ends with everything killed.
_MORE_THAN_GRACE = 10
# The XML-RPC client wants an address; the transport talks to the socket all the same.
_UNUSED_ADDRESS = "http://127.0.0.1"


def name_session_file(site: Site, program: str) -> Path:
    """Where the guard of ``program`` notes its session."""
    return site.run_folder / "sessions" / f"{program}.json"


def name_log(site: Site, program: str) -> Path:
    """The log of ``program``; older ones beside it end in .1, .2 …"""
    return site.logs_folder / f"{program}.log"


def name_socket(site: Site) -> Path:
    """The supervisor's socket; in a private temporary folder when the home's path is too long for one."""
    path = site.run_folder / "supervisor.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"tollgate-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to someone else; set TMPDIR to a folder of your own.")
    return folder / f"{digest}.sock"


def _quote(text: str) -> str:
    # supervisord reads a command like a shell and expands %(…)s.
    return "'" + text.replace("'", "'\"'\"'").replace("%", "%%") + "'"


def _render_program(site: Site, program: Program) -> str:
    guard = [sys.executable, "-I", "-S", str(_GUARD)]
    session = ["--session", str(name_session_file(site, program.name)), "--grace", str(program.grace), "--"]
    command = " ".join(_quote(part) for part in (*guard, *session, *program.command))
    return f"""
[program:{program.name}]
command={command}
directory={str(site.run_folder).replace("%", "%%")}
priority={program.rank}
autostart=true
autorestart=true
startsecs=3
startretries=1000
stopsignal=TERM
stopwaitsecs={program.grace + _MORE_THAN_GRACE}
redirect_stderr=true
stdout_logfile={str(name_log(site, program.name)).replace("%", "%%")}
stdout_logfile_maxbytes=10MB
stdout_logfile_backups=3
"""


def write_configuration(site: Site, programs: Sequence[Program]) -> Path:
    """Write ``run/supervisord.conf`` for ``programs`` and return it."""
    for folder in (site.run_folder / "sessions", site.logs_folder):
        folder.mkdir(parents=True, exist_ok=True)

    def escape(path: Path) -> str:
        return str(path).replace("%", "%%")

    socket = escape(name_socket(site))
    text = f"""[unix_http_server]
file={socket}
chmod=0600
[supervisord]
logfile={escape(site.logs_folder / "supervisord.log")}
logfile_maxbytes=5MB
logfile_backups=1
pidfile={escape(site.run_folder / "supervisord.pid")}
childlogdir={escape(site.logs_folder)}
minfds=1024
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{socket}
"""
    path = site.run_folder / "supervisord.conf"
    write_file_atomically(path, (text + "".join(_render_program(site, program) for program in programs)).encode())
    return path


class Supervisor:
    """The supervisor of one home; every call goes to its socket."""

    def __init__(self, site: Site) -> None:
        self.site = site
        address = f"unix://{name_socket(site)}"
        proxy = xmlrpc.client.ServerProxy(_UNUSED_ADDRESS, transport=SupervisorTransport(None, None, address))
        self._calls: Any = proxy.supervisor

    def read_pid(self) -> int | None:
        """Pid of the running supervisor, or None when none answers."""
        try:
            return int(self._calls.getPID())
        except (OSError, xmlrpc.client.Error):
            return None

    def list_states(self) -> dict[str, dict[str, Any]]:
        """Program name to supervisord's own description (``statename``, ``pid``, ``spawnerr`` …)."""
        return {state["name"]: state for state in self._calls.getAllProcessInfo()}

    def start_program(self, name: str) -> None:
        """Start one program that is not running, without waiting for it."""
        self._calls.startProcess(name, False)

    def reload(self) -> tuple[list[str], list[str]]:
        """Take in a rewritten configuration: returns the programs that were added (or changed) and removed."""
        added, changed, removed = self._calls.reloadConfig()[0]
        for name in (*changed, *removed):
            self._calls.stopProcess(name, True)
            self._calls.removeProcessGroup(name)
        for name in (*added, *changed):
            self._calls.addProcessGroup(name)
        return [*added, *changed], list(removed)

    def stop_programs(self, names: Sequence[str], seconds: float) -> None:
        """Ask ``names`` to stop all at once and wait until they have, at most ``seconds``."""
        for name in names:
            try:
                self._calls.stopProcess(name, False)
            except xmlrpc.client.Fault:
                continue  # it was not running
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            states = self.list_states()
            if not any(states[name]["statename"] in ("RUNNING", "STOPPING", "STARTING") for name in names):
                return
            time.sleep(0.1)

    def shut_down(self) -> None:
        """End the supervisor itself; what still runs is stopped first."""
        self._calls.shutdown()


def start_supervisor(configuration: Path, env: Mapping[str, str]) -> None:
    """Start supervisord in the background with ``env``, which every program inherits. Raises TransientError."""
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
    done = subprocess.run(command, env=dict(env), capture_output=True, text=True, check=False, cwd=configuration.parent)
    if done.returncode != 0:
        raise TransientError(
            f"The process supervisor did not start: {(done.stderr or done.stdout).strip()[-600:]}",
            next_step=f"Look at {configuration.parent.parent / 'logs' / 'supervisord.log'}.",
            exit_code=done.returncode,
        )
