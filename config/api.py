"""A small client of Airflow's REST API, for the commands and the scenario tests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx

from config.credentials import ADMIN
from include.errors import TerminalError, TransientError

_FINISHED = ("success", "failed")


def _format_line(line: Any) -> str:
    """One entry of a task's log: its message, why a task is skipped, and the error that came with it."""
    if isinstance(line, str):
        return line
    errors = [f"{error['exc_type']}: {error['exc_value']}" for error in line.get("error_detail") or ()]
    reason = f" ({line['reason']})" if line.get("reason") else ""
    return "\n".join([f"{line.get('event', line)}{reason}", *errors])


class AirflowApi:
    """Logged in as the one user; every method raises TransientError when Airflow does not answer or cannot answer now,
    TerminalError when it refuses."""

    def __init__(self, address: str, password: str) -> None:
        # No proxy may get between programs of one machine. On a busy one, Airflow takes its time over SQLite's lock.
        self._client = httpx.Client(base_url=address, timeout=60.0, trust_env=False)
        self._password = password
        self._token = ""

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _log_in(self) -> None:
        answer = self._client.post("/auth/token", json={"username": ADMIN, "password": self._password})
        if answer.status_code != 201:
            raise TerminalError(
                f"Airflow refused the login of {ADMIN} ({answer.status_code}).",
                next_step="The password is in secrets/airflow_passwords.json of TOLLGATE_HOME.",
                status=answer.status_code,
            )
        self._token = answer.json()["access_token"]

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One call below /api/v2; returns the decoded answer, None when it is empty."""
        try:
            if not self._token:
                self._log_in()
            for attempt in (1, 2):
                headers = {"Authorization": f"Bearer {self._token}"}
                answer = self._client.request(method, f"/api/v2{path}", headers=headers, **options)
                if answer.status_code != 401 or attempt == 2:
                    break
                self._log_in()  # the token has expired
        except httpx.HTTPError as error:
            raise TransientError(
                f"Airflow did not answer {method} {path}: {type(error).__name__} {error}.",
                next_step="Look at `make status` and the log of api-server.",
                address=str(self._client.base_url),
            ) from error
        if answer.status_code >= 500:
            raise TransientError(
                f"Airflow could not do {method} {path} ({answer.status_code}): {answer.text[:400]}",
                next_step="Try again; if it stays, look at the log of api-server.",
                status=answer.status_code,
            )
        if answer.status_code >= 400:
            raise TerminalError(
                f"Airflow refused {method} {path} ({answer.status_code}): {answer.text[:400]}",
                next_step="Correct the call.",
                status=answer.status_code,
            )
        return answer.json() if answer.content else None

    def read_health(self) -> dict[str, Any]:
        """Airflow's own health page."""
        health: dict[str, Any] = self.call("GET", "/monitor/health")
        return health

    def list_import_errors(self) -> dict[str, str]:
        """DAG file to its import error."""
        found = self.call("GET", "/importErrors", params={"limit": 100})["import_errors"]
        return {entry["filename"]: entry["stack_trace"] for entry in found}

    def list_dags(self) -> list[str]:
        """Ids of every DAG that is parsed and not stale."""
        found: list[str] = []
        while True:
            # A hundred is the most that one answer holds; thirty pipelines have more.
            page = self.call("GET", "/dags", params={"limit": 100, "offset": len(found), "order_by": "dag_id"})
            found += [dag["dag_id"] for dag in page["dags"]]
            if not page["dags"] or len(found) >= page["total_entries"]:
                return found

    def list_runs(self, dag_id: str, limit: int = 100) -> list[dict[str, Any]]:
        """Runs of a DAG (``~``: of all), newest first."""
        path = f"/dags/{dag_id}/dagRuns"
        runs: list[dict[str, Any]] = self.call("GET", path, params={"limit": limit, "order_by": "-run_after"})[
            "dag_runs"
        ]
        return runs

    def get_run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        """One run."""
        run: dict[str, Any] = self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")
        return run

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, **fields: Any) -> str:
        """Start a run by hand and return its id."""
        body = {"logical_date": None, "conf": dict(conf or {}), **fields}
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def wait_run(self, dag_id: str, run_id: str, seconds: float = 300.0) -> dict[str, Any]:
        """The run once it has finished. Raises TransientError when it has not within ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            run = self.get_run(dag_id, run_id)
            if run["state"] in _FINISHED:
                return run
            if time.monotonic() > deadline:
                raise TransientError(
                    f"{dag_id} {run_id} is still {run['state']} after {seconds:.0f} s.",
                    next_step="Look at its tasks in Airflow.",
                    states=self.list_states(dag_id, run_id),
                )
            time.sleep(0.3)

    def list_tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Task instances of a run, mapped ones included."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        tasks: list[dict[str, Any]] = self.call("GET", path, params={"limit": 100})["task_instances"]
        return tasks

    def list_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Task id to state; a mapped task's id is followed by its index: ``fit_candidate[1]``."""
        states = {}
        for task in self.list_tasks(dag_id, run_id):
            index = f"[{task['map_index']}]" if task["map_index"] >= 0 else ""
            states[f"{task['task_id']}{index}"] = task["state"]
        return states

    def read_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """The log of one try of a task as text."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.call("GET", path, params={"map_index": map_index, "full_content": True})["content"]
        return "\n".join(_format_line(line) for line in content)

    def list_assets(self, pattern: str = "") -> dict[str, int]:
        """Asset name to id, of those whose name contains ``pattern``."""
        found = self.call("GET", "/assets", params={"name_pattern": pattern, "limit": 100})["assets"]
        return {asset["name"]: asset["id"] for asset in found}

    def post_asset_event(self, name: str, extra: Mapping[str, Any], partition_key: str | None = None) -> dict[str, Any]:
        """Tell Airflow that an asset was updated."""
        assets = self.list_assets(name)
        if name not in assets:
            raise TerminalError(
                f"Airflow knows no asset {name!r}.",
                next_step=f"Known with such a name: {', '.join(assets) or 'none'}.",
                asset=name,
            )
        body = {"asset_id": assets[name], "extra": dict(extra)}
        if partition_key is not None:
            body["partition_key"] = partition_key
        event: dict[str, Any] = self.call("POST", "/assets/events", json=body)
        return event

    def list_asset_events(self, name: str) -> list[dict[str, Any]]:
        """Events of an asset, newest first."""
        params = {"asset_id": self.list_assets(name)[name], "order_by": "-timestamp", "limit": 100}
        events: list[dict[str, Any]] = self.call("GET", "/assets/events", params=params)["asset_events"]
        return events

    def list_approvals(self, dag_id: str = "~") -> list[dict[str, Any]]:
        """Questions to a person that are not answered yet."""
        path = f"/dags/{dag_id}/dagRuns/~/hitlDetails"
        found: list[dict[str, Any]] = self.call("GET", path, params={"response_received": False})["hitl_details"]
        return found

    def answer_approval(self, dag_id: str, run_id: str, task_id: str, choice: str) -> None:
        """Answer a question: ``Approve`` or ``Reject``."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
        self.call("PATCH", path, json={"chosen_options": [choice], "params_input": {}})

    def start_backfill(self, dag_id: str, first: str, last: str, **fields: Any) -> int:
        """Start a backfill from ``first`` to ``last`` (ISO dates with time zone) and return its id."""
        body = {"dag_id": dag_id, "from_date": first, "to_date": last, **fields}
        return int(self.call("POST", "/backfills", json=body)["id"])
