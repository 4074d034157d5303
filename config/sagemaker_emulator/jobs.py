"""What training, processing and transform jobs have in common: a name used once, statuses over time, a stop."""

from __future__ import annotations

import os
import shutil
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from config.sagemaker_emulator.clock import read_now
from config.sagemaker_emulator.processes import Program
from config.sagemaker_emulator.refusals import Refusal, refuse_taken
from config.sagemaker_emulator.regions import Region, select_listed
from config.sagemaker_emulator.services import Services
from include.errors import TerminalError

CONTAINER_BASE = "/opt/ml/"
# SageMaker's seconds: what it takes to find instances.
_STARTING_SECONDS = 5
_POLL_SECONDS = 0.05
_MOST_TOLD = 1024


class JobFailed(TerminalError):
    """A job cannot succeed; ``message`` becomes its FailureReason."""

    def __init__(self, message: str, *, next_step: str = "Read the job's log in CloudWatch Logs.") -> None:
        super().__init__(message[:_MOST_TOLD], next_step=next_step)


@dataclass
class Job:
    """One job. ``secondary`` and ``transitions`` are what a training job says more; ``facts`` what it ends with."""

    name: str
    arn: str
    request: dict[str, Any]
    status: str = "InProgress"
    secondary: str = "Starting"
    transitions: list[dict[str, Any]] = field(default_factory=list)
    failure_reason: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    created: datetime = field(default_factory=read_now)
    modified: datetime = field(default_factory=read_now)
    started: datetime | None = None
    ended: datetime | None = None
    stop_asked: threading.Event = field(default_factory=threading.Event)

    def enter(self, secondary: str, message: str) -> None:
        """Go on to another secondary status."""
        now = read_now()
        if self.transitions:
            self.transitions[-1].setdefault("EndTime", now)
        self.transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
        self.secondary, self.modified = secondary, now

    def end(self, status: str, secondary: str, message: str, reason: str | None = None) -> None:
        """Reach the last status."""
        self.enter(secondary, message)
        now = read_now()
        self.transitions[-1]["EndTime"] = now
        self.ended, self.failure_reason = now, reason
        self.status = status


class JobKind(ABC):
    """The control plane of one kind of job; how it runs is the subclass's."""

    kind: ClassVar[str]
    arn_kind: ClassVar[str]
    plural: ClassVar[str]
    word: ClassVar[str]
    log_group: ClassVar[str]

    def __init__(self, services: Services) -> None:
        self._services = services

    @property
    def actions(self) -> dict[str, Callable[[Region, dict[str, Any]], dict[str, Any]]]:
        """By the name that a request gives."""
        return {
            f"Create{self.kind}": self.create,
            f"Describe{self.kind}": self.describe,
            f"List{self.plural}": self.list_jobs,
            f"Stop{self.kind}": self.stop,
        }

    def create(self, region: Region, request: dict[str, Any]) -> dict[str, Any]:
        """Take the job and run it in a thread of its own."""
        name = request[f"{self.kind}Name"]
        arn = region.name_arn(self.arn_kind, name)
        self._check(region, request)
        with region.lock:
            jobs = region.jobs.setdefault(self.kind, {})
            if name in jobs:
                raise refuse_taken(arn, self.word)
            kept = {key: value for key, value in request.items() if key != "Tags"}
            job = jobs[name] = Job(name, arn, kept)
            region.tags[arn] = request.get("Tags", [])
        threading.Thread(target=self._run, args=(region, job), name=f"{self.arn_kind}-{name}", daemon=True).start()
        return {f"{self.kind}Arn": arn}

    def describe(self, region: Region, request: dict[str, Any]) -> dict[str, Any]:
        """The job as it is now."""
        job = self._find(region, request)
        word = self.kind.removesuffix("Job")
        described = {
            **job.request,
            **job.facts,
            f"{self.kind}Arn": job.arn,
            f"{self.kind}Status": job.status,
            "CreationTime": job.created,
            "LastModifiedTime": job.modified,
        }
        if job.started is not None:
            described[f"{word}StartTime"] = job.started
        if job.ended is not None:
            described[f"{word}EndTime"] = job.ended
        if job.failure_reason is not None:
            described["FailureReason"] = job.failure_reason
        return described

    def list_jobs(self, region: Region, request: dict[str, Any]) -> dict[str, Any]:
        """The summaries."""
        names = [f"{self.kind}{part}" for part in ("Name", "Arn", "Status")]
        items = []
        for job in list(region.jobs.get(self.kind, {}).values()):
            described = self.describe(region, {f"{self.kind}Name": job.name})
            items.append({name: described[name] for name in [*names, "CreationTime", "LastModifiedTime"]})
        return select_listed(request, items, self.kind, f"{self.kind}Summaries")

    def stop(self, region: Region, request: dict[str, Any]) -> dict[str, Any]:
        """Ask the job to stop: Stopping, then Stopped."""
        job = self._find(region, request)
        if job.status not in {"InProgress", "Stopping"}:
            raise Refusal(
                f"The request was rejected because the {self.word} is in status {job.status}.", next_step="Nothing."
            )
        job.status = "Stopping"
        job.stop_asked.set()
        return {}

    def _find(self, region: Region, request: dict[str, Any]) -> Job:
        job = region.jobs.get(self.kind, {}).get(request[f"{self.kind}Name"])
        if job is None:
            raise Refusal("Requested resource not found.", code="ValidationException")
        return job

    def _run(self, region: Region, job: Job) -> None:
        folder = self._services.settings.home / self.arn_kind / job.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            job.enter("Starting", "Preparing the instances for the job")
            self._services.clock.wait(_STARTING_SECONDS)
            if self._services.faults.take("capacity", job.name):
                raise JobFailed(
                    "CapacityError: Unable to provision requested ML compute capacity. Please retry using a different "
                    "ML instance type."
                )
            job.started = read_now()
            self._work(region, job, folder)
        except JobFailed as failure:
            job.end("Failed", "Failed", "The job failed", failure.message)
        except Exception as error:  # a mistake of the emulator's own must not look like a long wait
            job.end("Failed", "Failed", "The job failed", f"InternalServerError: {error!r}"[:_MOST_TOLD])
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @abstractmethod
    def _check(self, region: Region, request: dict[str, Any]) -> None:
        """Raise Refusal for a request that AWS would not take."""

    @abstractmethod
    def _work(self, region: Region, job: Job, folder: Path) -> None:
        """Run the job to its end. Raises JobFailed."""

    def _launch(self, region: Region, job: Job, command: list[str], env: dict[str, str], folder: Path) -> Program:
        """Start its program; what it writes goes to CloudWatch Logs."""
        # A log and a stream of its own for each attempt.
        attempt = f"algo-1-{int(time.time() * 1000)}"
        program = self._services.launcher.start(command, env, folder, log=folder / f"{attempt}.log")
        stream = f"{job.name}/{attempt}"
        self._services.logs.follow(program.log, region.account, region.name, self.log_group, stream)
        return program

    def _await(self, job: Job, program: Program, seconds: float, each: Callable[[], bool]) -> str:
        """How the program came to its end: "ended", "stopped", "overtime" or, when ``each`` said so, "interrupted".

        ``seconds`` are SageMaker's.
        """
        deadline = self._services.clock.set_deadline(seconds)
        outcome = "ended"
        while program.exit_code is None and outcome == "ended" and not self._services.clock.is_stopped:
            if job.stop_asked.is_set():
                outcome = "stopped"
            elif time.monotonic() >= deadline:
                outcome = "overtime"
            elif each():
                outcome = "interrupted"
            else:
                time.sleep(_POLL_SECONDS)
        if outcome != "ended":
            program.stop()
        self._services.logs.finish(program.log)
        return outcome


def build_path(env: dict[str, str], python: str) -> dict[str, str]:
    """``env`` with the folder of ``python`` first on its PATH, as in an image with one Python."""
    folder = str(Path(python).parent)
    return {**env, "PATH": f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def move_paths(text: str, base: Path) -> str:
    """``text`` with /opt/ml replaced by what stands for it here: there is no container to have a root of its own."""
    return text.replace(CONTAINER_BASE, f"{base}/")
