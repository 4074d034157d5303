"""A pipeline served by the SageMaker emulator: real processes, real alarms, through boto3."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from include.declaration import Alarms, AutoRollback, CapacitySize, Pipeline, Rollout, TrafficRouting
from include.declaration.delivery import DataCapture
from include.deployment.door import open_target
from include.deployment.target import DeploymentTarget, Progress
from include.settings import Settings
from tests.emulator.running import REGISTRY, RunningEmulator
from tests.unit.deployment.hosted import declare_pipeline, record_served
from tests.unit.deployment.targets import Models

BUCKET = "tollgate-models"
# Works for version 1 only.
LATE = f"{REGISTRY}/late:1"
_LATE_PROGRAM = str(Path(__file__).with_name("late_container.py"))
LATE_IMAGE: dict[str, Any] = {
    "match": "late:1",
    "env": {"SM_MODEL_DIR": "{model_dir}", "PYTHONPATH": "{project}", "TOLLGATE_HOME": "{folder}/home"},
    "serve": ["{python}", _LATE_PROGRAM],
}


def declare_emulated(name: str, image: str = f"{REGISTRY}/tollgate-serving:0.1.0", at_once: bool = False) -> Pipeline:
    """Half of two instances as canary for 100 s, a minute's bake, judged by ten seconds' requests; or ``at_once``."""
    routing = TrafficRouting(type="CANARY", canary_size=CapacitySize(value=50), wait_interval_in_seconds=100)
    if at_once:
        routing = TrafficRouting(type="ALL_AT_ONCE", wait_interval_in_seconds=0)
    rollout = Rollout(
        traffic_routing_configuration=routing,
        termination_wait_in_seconds=0 if at_once else 60,
        maximum_execution_timeout_in_seconds=28_000,
        auto_rollback_configuration=AutoRollback(minimum_requests=5, max_failure_rate=0.05),
    )
    pipeline = declare_pipeline(
        name, rollout=rollout, bucket=BUCKET, image_uri=image, alarms=Alarms(period=10), poll_seconds=0.5
    )
    capture = DataCapture(initial_sampling_percentage=100)
    return pipeline.model_copy(update={"deployment": pipeline.deployment.model_copy(update={"data_capture": capture})})


class Emulated:
    """One pipeline on a running emulator; ``clients`` replaces boto3's default chain."""

    def __init__(self, settings: Settings, pipeline: Pipeline, folder: Path, emulator: RunningEmulator) -> None:
        self.settings = settings
        self.pipeline = pipeline
        self.emulator = emulator
        self.clients: object = emulator.make_client
        self.models = Models(pipeline, folder)

    def open(self) -> DeploymentTarget:
        return open_target(self.settings, self.pipeline, self.clients)

    def wait(self, version: str, seconds: float = 120) -> Progress:
        """Look until it is live; raises RolledBack."""
        deadline = time.monotonic() + seconds
        while (progress := self.open().check(version)).state != "live":
            assert time.monotonic() < deadline, progress
            time.sleep(0.2)
        return progress

    def record(self, progress: Progress, left: str | None = None) -> None:
        record_served(self.settings, self.pipeline, progress, left)

    def go_live(self, number: str) -> Progress:
        self.open().deploy(self.models.make_release(number, bad=False, by=""))
        progress = self.wait(number)
        self.record(progress)
        return progress

    def read_captured(self) -> list[dict[str, Any]]:
        """Bodies of the requests that were captured on S3."""
        s3 = self.emulator.make_client("s3")
        listed = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"tollgate/{self.pipeline.name}/captured/")
        lines = [
            line
            for each in listed.get("Contents", ())
            for line in s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read().splitlines()
        ]
        return [json.loads(json.loads(line)["captureData"]["endpointInput"]["data"]) for line in lines]
