"""A system of a bench's own: a home in a temporary folder, free ports, started and stopped for real."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from config.airflow_env import build_environment
from config.api import AirflowApi
from config.credentials import load_credentials
from config.environment import Site, load_site
from config.lifecycle import start_system, stop_system
from config.ports import iterate_free_bases
from config.run import wait_for_dags
from include.data.names import landing_folder
from include.declaration import Pipeline
from include.declaration.loader import load_pipelines
from include.errors import TransientError
from include.settings import PROJECT_ROOT

T = TypeVar("T")
BY_AIRFLOW, BY_PYTHON = "by_airflow", "by_python"
# The flights with all their work, and rules under which every month is deployed: a refused month would end half-way.
_DECLARATION = """
from include.declaration import Calibration, Change, LocalTarget, Threshold
from include.pipelines.flight_delays.pipeline import PIPELINE as FLIGHTS

_SLICES = tuple(s.model_copy(update={{"minimum": 0.0, "margin": 1.0}}) for s in FLIGHTS.blessing.slices)
PIPELINE = FLIGHTS.model_copy(
    update={{
        "name": "{name}",
        "package": "include.pipelines.flight_delays",
        "blessing": FLIGHTS.blessing.model_copy(
            update={{
                "value": {{"roc_auc": Threshold(minimum=0.0)}},
                "change": Change(metric="roc_auc", margin=1.0),
                "slices": _SLICES,
                "calibration": Calibration(max_gap=1.0),
            }}
        ),
        "deployment": FLIGHTS.deployment.model_copy(update={{"target": LocalTarget(port_offset={offset})}}),
    }}
)
"""
_DELIVERY_SECONDS = 3.0
_LOOK_SECONDS = 0.02
_LONGEST_SECONDS = 300.0
# Ports below the base: six programs, then the endpoints from +10.
_SPAN = 20


@dataclass(frozen=True)
class RunningSystem:
    """A started system; ``env`` is what its programs run with."""

    site: Site
    api: AirflowApi
    env: Mapping[str, str]
    executor: str

    def get_pipeline(self, name: str) -> Pipeline:
        """A declared pipeline of this system."""
        return load_pipelines(self.site.settings).pipelines[name]

    def land(self, pipeline: str, file: Path) -> float:
        """Land ``file`` under its own name; returns the second of the rename.

        As a real delivery, which takes longer than a moment: the watcher has seen the part when it is renamed.
        """
        folder = landing_folder(self.site.settings, self.get_pipeline(pipeline))
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{file.name}.part"
        shutil.copyfile(file, part)
        time.sleep(_DELIVERY_SECONDS)
        landed = time.time()
        part.rename(folder / file.name)
        return landed

    def wait_until_served(self, pipeline: str, partition: str, check: Callable[[], None] = lambda: None) -> float:
        """The second in which the endpoint first answers with the version of ``partition``.

        ``check`` is called at every look: it raises when waiting on is in vain.
        """
        settings = self.site.settings
        port = settings.endpoint_port + (self.get_pipeline(pipeline).deployment.port_offset or 0)
        deadline = time.monotonic() + _LONGEST_SECONDS
        with httpx.Client(base_url=f"http://{settings.endpoint_host}:{port}", trust_env=False) as client:
            while time.monotonic() < deadline:
                if client.get("/version").json()["partition"] == partition:
                    return time.time()
                check()
                time.sleep(_LOOK_SECONDS)
        raise SystemExit(f"{partition} of {pipeline} was not served within {_LONGEST_SECONDS:.0f} s")

    def insist(self, write: Callable[[], T], what: str) -> T:
        """Its answer to a write: Airflow on SQLite now and then refuses one that meets another, and has then done
        nothing."""
        for _ in range(20):
            try:
                return write()
            except TransientError:
                time.sleep(0.5)
        raise SystemExit(f"Airflow does not {what}.")

    def pause(self, dag_id: str) -> None:
        """Keep a DAG from starting runs."""
        self.insist(lambda: self.api.call("PATCH", f"/dags/{dag_id}", json={"is_paused": True}), f"pause {dag_id}")

    def wait_until_idle(self) -> None:
        """What goes on after the serving (replay, records, closing of runs) must not disturb what comes next."""
        while any(run["state"] in ("queued", "running") for run in self.api.list_runs("~")):
            time.sleep(0.5)


def write_pair(folder: Path) -> None:
    """Two equal pipelines: one for Airflow, one for plain Python."""
    for offset, name in enumerate((BY_AIRFLOW, BY_PYTHON)):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").touch()
        (folder / name / "pipeline.py").write_text(_DECLARATION.format(name=name, offset=offset))


@contextmanager
def start(executor: str, write_pipelines: Callable[[Path], None] | None = None) -> Iterator[RunningSystem]:
    """Start a system with ``executor`` (stock or warm) and stop it at the end; its home is then gone.

    It has the project's own pipelines, or those that ``write_pipelines`` writes into a folder.
    """
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("TOLLGATE_", "AIRFLOW", "MLFLOW_"))}
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        pipelines = PROJECT_ROOT / "include" / "pipelines"
        if write_pipelines is not None:
            pipelines = Path(folder) / "pipelines"
            write_pipelines(pipelines)
        low = int(os.environ.get("TOLLGATE_PORT_BASE") or 20000)
        site = load_site(
            {
                **inherited,
                "TOLLGATE_HOME": str(Path(folder) / "home"),
                "TOLLGATE_PIPELINES": str(pipelines),
                "TOLLGATE_EXECUTOR": executor,
                "TOLLGATE_PORT_BASE": str(next(iterate_free_bases(_SPAN, low, low + 5000))),
            }
        )
        print(f"starting a system with the {executor} executor", flush=True)
        try:
            credentials = start_system(site, lambda line: None)
            with AirflowApi(site.settings.airflow_public_url, credentials.password) as api:
                declared = list(load_pipelines(site.settings).pipelines.values())
                missing = wait_for_dags(api, declared)
                if missing:
                    raise SystemExit(f"Airflow does not show {', '.join(missing)}.")
                env = build_environment(site, load_credentials(site.settings.home))
                yield RunningSystem(site, api, env, executor)
        finally:
            stop_system(site, lambda line: None)
