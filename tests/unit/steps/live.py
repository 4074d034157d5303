"""A pipeline with three registered versions in a real MLflow, deployed in turn to a real endpoint."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from include.contracts import DAY_COLUMN, LABEL_COLUMN, PREDICTION_COLUMN, Deployment, RunIdentity
from include.declaration import Pipeline
from include.pointer import Pointer, locate_endpoint_folder, read_pointer
from include.records import list_records
from include.settings import Settings
from include.steps.deploy import deploy_champion
from include.tracking.client import open_client
from include.tracking.models import log_predictions, log_scorer
from include.tracking.registry import get_champion, get_version, register_version
from include.tracking.runs import open_run
from tests.unit.served_models import Server, fit_scorer, make_requests, wait_for
from tests.unit.tracking.factory import make_blessing, make_training_set


def register(settings: Settings, pipeline: Pipeline, number: int, folder: Path) -> None:
    """Register a blessed version with its holdout's predictions; each number is another model."""
    run = open_run(settings, pipeline.name, f"dag/run-{number}", f"run-{number}", {})
    scorer = fit_scorer(pipeline, seed=number)
    holdout = make_requests(pipeline, 60, seed=9)
    uri = log_scorer(settings, run, scorer, pipeline, make_training_set(pipeline, folder), holdout.head(20))
    holdout[PREDICTION_COLUMN] = scorer.predict(holdout)
    holdout[LABEL_COLUMN], holdout[DAY_COLUMN] = 0.0, "2013-01-01"
    path = folder / f"{number}.parquet"
    holdout.to_parquet(path, index=False)
    log_predictions(settings, run, path)
    register_version(settings, pipeline, make_blessing(pipeline, run, uri), make_training_set(pipeline, folder))


@dataclass
class Live:
    """``server`` is the running endpoint; a test may stop it and start another."""

    settings: Settings
    pipeline: Pipeline
    server: Server

    @property
    def folder(self) -> Path:
        return locate_endpoint_folder(self.settings, self.pipeline.name)

    def deploy(self, number: str, run: str = "") -> Deployment:
        identity = RunIdentity(f"{self.pipeline.name}.deploy_model", run or f"run-{number}", "deploy_champion")
        version = get_version(self.settings, self.pipeline.name, number)
        return deploy_champion(self.settings, self.pipeline, version, identity, f"Blessed, {number}.")

    def read_pointer(self) -> Pointer:
        pointer = read_pointer(self.folder)
        assert pointer is not None
        return pointer

    def find_versions(self) -> tuple[str | None, str | None, str | None]:
        """Of the pointer, of the registry, of the endpoint."""
        pointer, champion = read_pointer(self.folder), get_champion(self.settings, self.pipeline.name)
        served = self.server.ask("GET", "/version")[1]["version"]
        return pointer.version if pointer else None, champion.version if champion else None, served

    def read_tags(self, number: str) -> dict[str, str]:
        with open_client(self.settings) as client:
            return dict(client.get_model_version(self.pipeline.name, number).tags)

    def point_champion_at(self, number: str | None) -> None:
        with open_client(self.settings) as client:
            if number is None:
                client.delete_registered_model_alias(self.pipeline.name, "champion")
            else:
                client.set_registered_model_alias(self.pipeline.name, "champion", number)

    def list_records(self, kind: str) -> list[dict[str, Any]]:
        return [record for _, record in list_records(self.settings, self.pipeline.name, kind)]

    def list_deployments(self) -> list[str]:
        return [str(record["version"]) for record in self.list_records("deployment")]

    def list_mails(self) -> list[str]:
        """What the waiting mails say, oldest first."""
        found = sorted((self.settings.outbox_root / "pending").glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
        return [path.read_bytes().decode().replace("=\r\n", "") for path in found]

    def wait_served(self, number: str) -> None:
        wait_for(lambda: self.server.ask("GET", "/version")[1]["version"] == number)


def forget_aliases(settings: Settings, name: str) -> None:
    """As if none of the versions had been deployed or rolled back yet."""
    with open_client(settings) as client:
        for alias in ("champion", "challenger"):
            with contextlib.suppress(Exception):
                client.delete_registered_model_alias(name, alias)
        for entry in client.search_model_versions(f"name = '{name}'"):
            for tag in entry.tags:
                if tag.startswith("tollgate.rolled_back"):
                    client.delete_model_version_tag(name, entry.version, tag)
            client.set_model_version_tag(name, entry.version, "tollgate.blessing", "blessed")
