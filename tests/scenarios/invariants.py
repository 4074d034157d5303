"""What always holds, asked through public means: endpoint, MLflow, Airflow's API, the mail catcher and the files."""

from __future__ import annotations

import email
import email.policy
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion as RegistryEntry

from include.pointer import locate_endpoint_folder, read_pointer
from tests.scenarios.customer import REQUEST, Answer
from tests.scenarios.system import Record, RunningSystem


@dataclass(frozen=True)
class Landed:
    """A file that was landed: its partition, the SHA-256 of its bytes and how many rows it holds."""

    partition: str
    fingerprint: str
    rows: int


@dataclass(frozen=True)
class Outage:
    """When the endpoint may not have answered: from the kill until it served again (monotonic seconds)."""

    began: float
    ended: float


class Observer:
    """One pipeline of a system at rest, as anyone may see it; each ``check_`` raises AssertionError."""

    def __init__(self, system: RunningSystem, pipeline: str, landed: Iterable[Landed]) -> None:
        self.system = system
        self.pipeline = pipeline
        self.landed = tuple(landed)
        self._mlflow = MlflowClient(system.settings.mlflow_uri, system.settings.mlflow_uri)

    def check_at_rest(self) -> None:
        """Everything that must hold whenever nothing is under way."""
        self.check_one_version_is_served()
        self.check_nothing_is_made_twice()
        self.check_no_row_is_lost()
        self.check_every_verdict_can_be_traced()
        self.check_every_mail_was_sent()

    # --- what there is

    @cached_property
    def versions(self) -> dict[str, RegistryEntry]:
        """Registered versions by number."""
        found = self._mlflow.search_model_versions(f"name = '{self.pipeline}'", max_results=500)
        return {str(entry.version): entry for entry in found}

    @cached_property
    def runs(self) -> dict[str, Run]:
        """MLflow runs by id."""
        experiment = self._mlflow.get_experiment_by_name(self.pipeline)
        assert experiment is not None
        page = self._mlflow.search_runs([experiment.experiment_id], max_results=1000)
        assert not page.token
        return {run.info.run_id: run for run in page}

    def list_open_runs(self) -> list[str]:
        """Keys of the MLflow runs that are not over."""
        over = ("FINISHED", "FAILED", "KILLED")
        return [run.data.tags["tollgate.key"] for run in self.runs.values() if run.info.status not in over]

    @cached_property
    def verdicts(self) -> dict[tuple[str, str], Record]:
        """The verdict on each content: (partition, fingerprint) → record."""
        records = self.system.list_records(self.pipeline, "refresh")
        return {(record["partition"], record["fingerprint"]): record for record in records}

    # --- what must hold

    def check_answers(self, answers: Sequence[Answer], outages: Sequence[Outage]) -> None:
        """1 and 2: once it served, it always answers, except while it is killed; and only with blessed versions."""
        first = next((answer.ended for answer in answers if answer.status == 200), None)
        assert first is not None, "the endpoint never answered"
        silent = [
            answer
            for answer in answers
            if answer.status != 200
            and answer.began > first
            and not any(answer.ended >= outage.began and answer.began <= outage.ended for outage in outages)
        ]
        assert silent == [], silent[:5]
        served = {answer.version for answer in answers if answer.version}
        blessed = {
            number for number, entry in self.versions.items() if entry.tags.get("tollgate.blessing") == "blessed"
        }
        assert served <= blessed, (served, blessed)

    def check_one_version_is_served(self) -> None:
        """3: pointer, registry, the endpoint's own word and its answers are the same version."""
        pointer = read_pointer(locate_endpoint_folder(self.system.settings, self.pipeline))
        champion = self.system.registry_champion(self.pipeline)
        said = httpx.get(f"{self.system.endpoint_url(self.pipeline)}/version", trust_env=False).json()
        answered = self.system.predict(self.pipeline, [REQUEST])
        found = {
            "pointer": pointer.version if pointer else None,
            "registry": champion.version if champion else None,
            "endpoint": said["version"],
            "answer": answered["model_version"],
        }
        assert len(set(found.values())) == 1, found
        assert said["pointer_error"] is None, said
        assert all(0 <= probability <= 1 for probability in answered["predictions"])

    def check_nothing_is_made_twice(self) -> None:
        """4: one version for each run and window, one live MLflow run for each key, one deployment for each version."""
        assert _repeated(entry.run_id for entry in self.versions.values()) == []
        assert _repeated(entry.tags["tollgate.window"] for entry in self.versions.values()) == []
        kept = [run for run in self.runs.values() if run.info.status != "KILLED"]
        assert _repeated(run.data.tags["tollgate.key"] for run in kept) == []
        assert self.list_open_runs() == []
        deployments = self.system.list_records(self.pipeline, "deployment")
        assert _repeated(record["version"] for record in deployments) == []

    def check_no_row_is_lost(self) -> None:
        """4: published + quarantined = landed for each version, and every version is whole."""
        root = self.system.settings.data_root / self.pipeline / "partitions"
        for landed in self.landed:
            verdict = self.verdicts[landed.partition, landed.fingerprint]
            if verdict["status"] != "published":
                continue
            assert verdict["rows"] + verdict["quarantined"] == landed.rows
            folder = root / landed.partition / verdict["version"]
            rows = [pq.read_table(folder / name).num_rows for name in ("rows.parquet", "quarantined.parquet")]
            assert rows == [verdict["rows"], verdict["quarantined"]]
        folders = {path for path in root.glob("*/*") if path.is_dir() and not path.name.startswith(".")}
        published = {record["version"] for record in self.verdicts.values() if record["status"] == "published"}
        assert {folder.name for folder in folders} == published
        for folder in folders:
            current = json.loads((folder.parent / "current.json").read_bytes())
            assert (folder.parent / current["version"] / "manifest.json").is_file()

    def check_every_verdict_can_be_traced(self) -> None:
        """5: file → verdict → report → MLflow run → version → deployment, and back from what is served to the file."""
        assert set(self.verdicts) == {(landed.partition, landed.fingerprint) for landed in self.landed}
        for verdict in self.verdicts.values():
            report = json.loads(Path(verdict["report_path"]).read_bytes())
            assert (report["verdict"] == "block") == (verdict["status"] == "blocked"), verdict
            assert self._find_run("data_refresh", verdict["run_id"])["state"] in ("success", "failed")
        blessings = self.system.list_records(self.pipeline, "blessing")
        for claim in self.system.list_records(self.pipeline, "training"):
            published = {verdict.get("version") for verdict in self.verdicts.values()}
            assert set(claim["partitions"].values()) <= published
            dag, _, run_id = claim["claimed_by"].partition("/")
            assert dag == f"{self.pipeline}.train_model"
            assert self._find_run("train_model", run_id)["state"] == "success"
            made = [blessing for blessing in blessings if blessing["run_id"] == run_id]
            assert len(made) == 1, (claim, made)
        for version, entry in self.versions.items():
            self._trace_back(version, entry)
        deployed = {record["version"] for record in self.system.list_records(self.pipeline, "deployment")}
        assert deployed <= set(self.versions)

    def _trace_back(self, version: str, entry: RegistryEntry) -> None:
        candidate = self.runs[str(entry.run_id)]
        parent = self.runs[candidate.data.tags["mlflow.parentRunId"]]
        assert {candidate.info.status, parent.info.status} == {"FINISHED"}, version
        assert parent.data.tags["tollgate.blessing"] == "blessed"
        assert self._find_run("train_model", parent.data.tags["airflow.run_id"])["state"] == "success"
        named = {
            (name.removeprefix("tollgate.partition."), text.partition("sha256=")[2])
            for name, text in parent.data.tags.items()
            if name.startswith("tollgate.partition.")
        }
        assert named, version
        assert {self.verdicts[pair]["status"] for pair in named} == {"published"}

    def _find_run(self, stage: str, run_id: str) -> dict[str, Any]:
        return self.system.api.get_run(f"{self.pipeline}.{stage}", run_id)

    def check_every_mail_was_sent(self) -> None:
        """7: the outbox is empty, what left it arrived, and each verdict that a person must hear of was mailed."""
        outbox = self.system.settings.outbox_root
        assert list((outbox / "pending").glob("*.eml")) == []
        sent, arrived = (_read_mails(folder) for folder in (outbox / "sent", self.system.site.mail_folder))
        assert set(sent) <= set(arrived), {sent[name] for name in set(sent) - set(arrived)}
        subjects = list(arrived.values())
        wanted = [f"refresh {v['partition']} blocked" for v in self.verdicts.values() if v["status"] == "blocked"]
        wanted += [
            f"refresh {v['partition']} published with warnings"
            for v in self.verdicts.values()
            if v.get("verdict") == "warn"
        ]
        deployments = self.system.list_records(self.pipeline, "deployment")
        wanted += [f"version {record['version']} is live" for record in deployments]
        blessings = self.system.list_records(self.pipeline, "blessing")
        wanted += [f"model of {b['partition']} not blessed" for b in blessings if not b["blessed"]]
        missing = [text for text in wanted if not any(text in subject for subject in subjects)]
        assert missing == [], subjects


def _read_mails(folder: Path) -> dict[str, str]:
    """Message-ID to subject of each mail in a folder."""
    messages = [email.message_from_bytes(path.read_bytes(), policy=email.policy.SMTP) for path in folder.glob("*.eml")]
    return {str(message["Message-ID"]): str(message["Subject"]) for message in messages}


def _repeated(values: Iterable[Any]) -> list[Any]:
    return [value for value, count in Counter(values).items() if count > 1]
