"""A whole system of its own for scenario tests: own home, own ports, own pipelines, started and stopped for real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx

from config.api import AirflowApi
from config.credentials import ADMIN, load_credentials
from config.environment import Site, load_site
from config.health import read_tail, wait_until_well
from config.leftovers import describe_processes, find_processes
from config.lifecycle import start_system, stop_system
from config.ports import iterate_free_bases
from config.programs import list_programs
from config.supervise import Supervisor, name_log, name_session_file
from include.contracts import ModelVersion
from include.declaration.loader import load_pipelines
from include.errors import TransientError
from include.records import list_records
from include.settings import PROJECT_ROOT

T = TypeVar("T")
LandMode = Literal["rename", "in_place", "done"]
Record = dict[str, Any]

# Airflow, MLflow, SMTP, mails, health, logs, then endpoints with offsets from 0.
_SPAN = 60
# Characters at the end of a failed task's log in the words of a failed wait: its exception.
_SAID = 3000
# What the tests themselves may set for the system under test.
_PASSED_ON = ("TOLLGATE_EXECUTOR", "TOLLGATE_PARALLELISM", "TOLLGATE_CORES", "TOLLGATE_AIRFLOW_DB")


class RunningSystem:
    """A started system. Every wait has a limit and says what it saw when it gives up.

    ``pipelines`` is a folder of declared pipelines; the suites in ``suites`` are added to the project's own.
    """

    def __init__(self, home: Path, pipelines: Path | None = None, suites: Path | None = None, **settings: str) -> None:
        self.home = home
        gx_root = home / "great_expectations"
        shutil.copytree(PROJECT_ROOT / "great_expectations", gx_root)
        if suites is not None:
            shutil.copytree(suites, gx_root / "expectations", dirs_exist_ok=True)
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or not name.startswith(("TOLLGATE_", "AIRFLOW", "MLFLOW_"))
        }
        # Spread by process, so that two test runs at the same time do not look for the same ports.
        bases = list(iterate_free_bases(_SPAN, low=20000 + os.getpid() % 50 * 200, high=32000))
        self.env = {
            **inherited,
            "TOLLGATE_HOME": str(home),
            "TOLLGATE_PORT_BASE": str(bases[0]),
            "TOLLGATE_GX_ROOT": str(gx_root),
            "TOLLGATE_PIPELINES": str(pipelines or PROJECT_ROOT / "include" / "pipelines"),
            **settings,
        }
        self.site: Site = load_site(self.env)
        self.settings = self.site.settings
        self.said: list[str] = []
        self._http = httpx.Client(timeout=30.0, trust_env=False)
        self.api = AirflowApi(self.settings.airflow_public_url, load_credentials(home).password)

    # --- life

    def start(self) -> RunningSystem:
        """Start everything, wait until it is well and every DAG is parsed."""
        start_system(self.site, self.said.append)
        pipelines = len(load_pipelines(self.settings).pipelines)
        expected = 4 * pipelines + 1  # and the housekeeping
        self.wait_for(lambda: len(self.api.list_dags()) >= expected or None, 60, f"{expected} DAGs to be parsed")
        return self

    def stop(self) -> None:
        """Stop everything; raises AssertionError when a process of this system is left."""
        self.api.close()
        self._http.close()
        stop_system(self.site, self.said.append)
        left = describe_processes(find_processes(self.site))
        assert not left, f"left after the stop: {left}"
        killed = [line for line in self.said if "killed what did not stop" in line]
        assert not killed, killed

    def read_logs(self, lines: int = 15) -> str:
        """The last lines of every program and the failed tasks' names, for a failed test."""
        parts = []
        for program in list_programs(self.site):
            parts.append(f"--- {program.name}\n{read_tail(name_log(self.site, program.name), lines)}")
        return "\n".join(parts)

    def wait_for(self, look: Callable[[], T | None], seconds: float, what: str) -> T:
        """What ``look`` returns as soon as it is not None. Raises AssertionError after ``seconds``.

        A look that fails for the moment, because a server is being restarted, is repeated like one that found nothing.
        """
        deadline = time.monotonic() + seconds
        while True:
            problem = ""
            try:
                found = look()
            except TransientError as error:
                found, problem = None, f"; the last look failed: {error}"
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds:.0f} s for {what}{problem}; runs:\n{self.describe_runs()}")
            time.sleep(0.25)

    def describe_runs(self) -> str:
        """Every run with its state, the tasks that did not succeed and the end of what a failed one said; why not,
        when Airflow does not answer."""
        lines = []
        try:
            for run in self.runs("~"):
                tasks = self.api.list_tasks(run["dag_id"], run["dag_run_id"])
                others = {task["task_id"]: task["state"] for task in tasks if task["state"] != "success"}
                lines.append(f"{run['dag_id']} {run['dag_run_id']} {run['state']} {others}")
                for task in (task for task in tasks if task["state"] == "failed"):
                    log = self.task_log(run, task["task_id"], task["try_number"], task["map_index"])
                    lines.append(f"  {task['task_id']}, try {task['try_number']}: {log[-_SAID:]}")
        except TransientError as error:
            lines.append(str(error))
        return "\n".join(lines) or "none"

    # --- landing

    def land(
        self,
        pipeline: str,
        partition: str,
        content: Any,
        mode: LandMode = "rename",
        extension: str = "parquet",
    ) -> Path:
        """Put a refresh into the landing folder: a pandas frame, bytes, or a file to copy.

        ``rename``: written as .part and renamed. ``in_place``: written under its name, so it has to settle.
        ``done``: likewise, with a .done marker.
        """
        folder = self.settings.landing_root / pipeline
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{partition}.{extension}"
        written = target.with_name(f"{target.name}.part") if mode == "rename" else target
        if isinstance(content, bytes):
            written.write_bytes(content)
        elif isinstance(content, (str, Path)):
            shutil.copyfile(content, written)
        elif extension == "csv":
            content.to_csv(written, index=False)
        else:
            content.to_parquet(written, index=False)
        if mode == "rename":
            written.rename(target)
        elif mode == "done":
            target.with_name(f"{target.name}.done").touch()
        return target

    # --- what happened

    def list_records(self, pipeline: str, kind: str) -> list[Record]:
        """Records of the ledger, oldest first."""
        return [record for _, record in list_records(self.settings, pipeline, kind)]

    def wait_for_record(
        self, pipeline: str, kind: str, predicate: Callable[[Record], bool] = lambda record: True, seconds: float = 120
    ) -> Record:
        """The newest record of ``kind`` for which ``predicate`` holds."""

        def look() -> Record | None:
            found = [record for record in self.list_records(pipeline, kind) if predicate(record)]
            return found[-1] if found else None

        return self.wait_for(look, seconds, f"a record of {pipeline}/{kind}")

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Runs of a DAG, newest first."""
        return self.api.list_runs(dag_id)

    def wait_for_run(
        self, dag_id: str, predicate: Callable[[dict[str, Any]], bool] = lambda run: True, seconds: float = 180
    ) -> dict[str, Any]:
        """The newest finished run of a DAG for which ``predicate`` holds."""

        def look() -> dict[str, Any] | None:
            finished = (run for run in self.runs(dag_id) if run["state"] in ("success", "failed"))
            return next((run for run in finished if predicate(run)), None)

        return self.wait_for(look, seconds, f"a finished run of {dag_id}")

    def task_states(self, run: Mapping[str, Any]) -> dict[str, str | None]:
        """Task id to state of a run; mapped tasks as ``task[0]``."""
        return self.api.list_states(run["dag_id"], run["dag_run_id"])

    def task_log(self, run: Mapping[str, Any], task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """The log of one task of a run."""
        return self.api.read_log(run["dag_id"], run["dag_run_id"], task_id, try_number, map_index)

    def list_busy_runs(self) -> list[dict[str, Any]]:
        """Runs that are queued or running."""
        return [run for run in self.runs("~") if run["state"] in ("queued", "running")]

    def wait_until_idle(self, seconds: float = 240) -> None:
        """Return when no run is queued or running, four looks in a row."""
        quiet = 0

        def look() -> bool | None:
            nonlocal quiet
            quiet = 0 if self.list_busy_runs() else quiet + 1
            return True if quiet >= 4 else None

        self.wait_for(look, seconds, "every run to end")

    def mails(self, subject: str = "") -> list[dict[str, Any]]:
        """Mails that arrived so far whose subject contains ``subject``, oldest first."""
        answer = self._http.get(f"http://127.0.0.1:{self.site.ports.mail}/mails").json()
        return [mail for mail in answer if subject in mail["subject"]]

    def wait_for_mail(self, subject: str, seconds: float = 60) -> dict[str, Any]:
        """The first mail whose subject contains ``subject``."""
        return self.wait_for(lambda: next(iter(self.mails(subject)), None), seconds, f"a mail about {subject!r}")

    # --- what is served

    def registry_champion(self, pipeline: str) -> ModelVersion | None:
        """The registry's champion."""
        from include.tracking.registry import get_champion

        return get_champion(self.settings, pipeline)

    def endpoint_url(self, pipeline: str) -> str:
        """Address of a pipeline's endpoint."""
        program = next(p for p in list_programs(self.site) if p.name == f"endpoint-{pipeline}")
        return f"http://127.0.0.1:{program.ports[0][0]}"

    def endpoint_version(self, pipeline: str) -> str | None:
        """The model version that answers now; None before the first deployment."""
        answer = self._http.get(f"{self.endpoint_url(pipeline)}/ping")
        return str(answer.json()["model_version"]) if answer.status_code == 200 else None

    def predict(self, pipeline: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Ask the endpoint: ``{"predictions": […], "model_version": …}``."""
        body = {"dataframe_records": [dict(row) for row in rows]}
        answer = self._http.post(f"{self.endpoint_url(pipeline)}/invocations", json=body)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        predictions: dict[str, Any] = answer.json()
        return predictions

    def version_tags(self, pipeline: str, version: str) -> dict[str, str]:
        """What the registry says of a version."""
        from include.tracking.client import open_client

        with open_client(self.settings) as client:
            return dict(client.get_model_version(pipeline, version).tags)

    def read_overview(self) -> dict[str, Any]:
        """What the Tollgate page shows, as JSON."""
        user, password = self.login
        address = self.settings.airflow_public_url
        token = self._http.post(f"{address}/auth/token", json={"username": user, "password": password}).json()
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        overview: dict[str, Any] = self._http.get(f"{address}/tollgate/status.json", headers=headers).json()
        return overview

    def run_command(self, *arguments: str) -> str:
        """Run a command as the Makefile does, and return what it printed. Raises CalledProcessError."""
        command = [sys.executable, "-m", "config", *arguments]
        done = subprocess.run(command, cwd=PROJECT_ROOT, env=self.env, capture_output=True, text=True, check=True)
        return done.stdout

    # --- breaking things

    def find_pid(self, program: str) -> int:
        """The first process of a program itself (not its guard)."""
        return int(json.loads(name_session_file(self.site, program).read_text())["session"])

    def kill(self, program: str, number: int = signal.SIGKILL) -> int:
        """Send a signal to a program's first process and return its pid."""
        pid = self.find_pid(program)
        os.kill(pid, number)
        return pid

    def kill_guard(self, program: str) -> int:
        """SIGKILL the guard of a program, as if the machine's memory ran out, and return its pid."""
        pid = int(Supervisor(self.site).list_states()[program]["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def kill_supervisor(self) -> int:
        """SIGKILL the process supervisor and return its pid."""
        pid = Supervisor(self.site).read_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_until_restarted(self, program: str, old_pid: int, seconds: float = 60) -> None:
        """Return when a killed program runs anew under another pid; it need not be well yet."""

        def look() -> bool | None:
            try:
                return self.find_pid(program) != old_pid or None
            except FileNotFoundError:
                return None

        self.wait_for(look, seconds, f"{program} to be started again")

    def wait_until_back(self, program: str, old_pid: int, seconds: float = 60) -> float:
        """Seconds until a killed program runs anew under another pid and is well."""
        began = time.monotonic()
        self.wait_until_restarted(program, old_pid, seconds)
        chosen = [entry for entry in list_programs(self.site) if entry.name == program]
        wait_until_well(self.site, chosen, seconds, self.said.append)
        return time.monotonic() - began

    @property
    def login(self) -> tuple[str, str]:
        """User and password of Airflow's UI."""
        return ADMIN, load_credentials(self.home).password
