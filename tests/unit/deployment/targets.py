"""Every kind of target with what a test of all of them needs: models to deploy, and a say in what becomes of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from include.declaration import AutoRollback, Deployment, Pipeline, Rollout, TrafficRouting
from include.deployment.door import open_target
from include.deployment.target import DeploymentTarget, Progress, Release
from include.scoring.scorer import Scorer
from include.settings import Settings
from tests.unit.cloud.fake_aws import FakeAws
from tests.unit.deployment.conftest import write_predictions
from tests.unit.deployment.hosted import declare_pipeline, record_served
from tests.unit.deployment.steps import StartEndpoint, make_version
from tests.unit.factory import make_pipeline
from tests.unit.served_models import fit_scorer, save_compiled


class Harness(Protocol):
    """One target, seen from outside."""

    settings: Settings
    pipeline: Pipeline

    def open(self) -> DeploymentTarget:
        """The target, new each time: nothing may hang on an object's memory."""

    def make_release(self, number: str, *, bad: bool = False, by: str = "") -> Release:
        """A version; a ``bad`` one fails where customers are."""

    def settle(self, *, failed: bool = False) -> None:
        """Let what is under way end; as a failure if ``failed``."""

    def record(self, progress: Progress, left: str | None = None) -> None:
        """What the steps write down once it is live."""

    def list_made(self) -> list[str]:
        """Everything that was made for releases so far, by name; a thing made twice is in it twice."""

    def go_away(self) -> None:
        """The target does not answer any more."""


class Models:
    """Small real models, version by version."""

    def __init__(self, pipeline: Pipeline, folder: Path) -> None:
        self._pipeline, self._folder = pipeline, folder
        self._scorers: dict[str, Scorer] = {}

    def make_release(self, number: str, *, bad: bool, by: str) -> Release:
        folder = self._folder / f"model-{number}"
        if number not in self._scorers:
            self._scorers[number] = fit_scorer(self._pipeline, seed=int(number))
            save_compiled(self._pipeline, self._scorers[number], folder)
            if bad:
                for path in folder.iterdir():
                    if path.name != "MLmodel":
                        path.write_bytes(b"nothing")
        predictions = write_predictions(self._pipeline, self._scorers[number], self._folder / f"{number}.parquet")
        return Release(make_version(number), folder, predictions, by or f"parcels.deploy_model/run-{number}", "because")


class LocalHarness:
    """The endpoint's own process on this machine. What is under way has ended when ``deploy`` returns, and its workers
    say so a moment later."""

    def __init__(self, settings: Settings, folder: Path, start_endpoint: StartEndpoint) -> None:
        rollout = Rollout(
            traffic_routing_configuration=TrafficRouting(wait_interval_in_seconds=0.2),
            termination_wait_in_seconds=0.2,
            auto_rollback_configuration=AutoRollback(minimum_requests=5),
        )
        self.settings = settings
        self.pipeline = make_pipeline(deployment=Deployment(rollout=rollout, swap_seconds=60, sandbox_seconds=60))
        self._models = Models(self.pipeline, folder)
        self._server = start_endpoint()
        self.settle()

    def open(self) -> DeploymentTarget:
        return open_target(self.settings, self.pipeline)

    def make_release(self, number: str, *, bad: bool = False, by: str = "") -> Release:
        return self._models.make_release(number, bad=bad, by=by)

    def settle(self, *, failed: bool = False) -> None:
        deadline = time.monotonic() + 60
        while self.open().status().state == "changing":
            assert time.monotonic() < deadline, "the endpoint is still starting, or its rollout goes on"
            time.sleep(0.05)

    def record(self, progress: Progress, left: str | None = None) -> None:
        pass  # it does so itself

    def list_made(self) -> list[str]:
        return [path.name for path in (self.settings.serving_root / "parcels" / "models").iterdir()]

    def go_away(self) -> None:
        self._server.stop()


class SageMakerHarness:
    """SageMaker's control plane in memory."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.pipeline = declare_pipeline()
        self.aws = FakeAws()
        self._models = Models(self.pipeline, folder)

    def open(self) -> DeploymentTarget:
        return open_target(self.settings, self.pipeline, self.aws)

    def make_release(self, number: str, *, bad: bool = False, by: str = "") -> Release:
        return self._models.make_release(number, bad=bad, by=by)

    def settle(self, *, failed: bool = False) -> None:
        self.aws.settle("an alarm is in ALARM state" if failed else "")

    def record(self, progress: Progress, left: str | None = None) -> None:
        record_served(self.settings, self.pipeline, progress, left)

    def list_made(self) -> list[str]:
        made = ("ModelName", "EndpointConfigName", "ModelPackageDescription")
        return [
            f"{operation} {next(parameters[name] for name in made if name in parameters)}"
            for _, operation, parameters in self.aws.calls
            if operation in ("create_model", "create_endpoint_config", "create_model_package")
        ]

    def go_away(self) -> None:
        def fail(*_: object) -> None:
            raise ConnectionRefusedError

        self.aws.intercept = fail


@dataclass(frozen=True)
class Surroundings:
    """What a harness may be made of."""

    settings: Settings
    folder: Path
    start_endpoint: StartEndpoint


# A new kind of target joins here and passes the same tests.
HARNESSES: dict[str, Callable[[Surroundings], Harness]] = {
    "local": lambda at: LocalHarness(at.settings, at.folder, at.start_endpoint),
    "sagemaker": lambda at: SageMakerHarness(at.settings, at.folder),
}
