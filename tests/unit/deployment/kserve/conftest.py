"""A pipeline that declares KServe, and its target on the tests' double of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from include.contracts import ModelVersion
from include.declaration import Deployment, KServeTarget, Pipeline, Rollout, TrafficRouting
from include.deployment.kserve.target import KServeEndpoint
from include.deployment.target import Progress, Release
from include.settings import Settings
from tests.unit.deployment.kserve.cluster import Cluster, ClusterServer
from tests.unit.factory import make_pipeline


class Clock:
    """Time that passes when a test says so, in seconds."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """One pipeline, one target, one cluster, and the loop that a trigger would run."""

    def __init__(self, settings: Settings, url: str, cluster: Cluster, folder: Path, **rollout: Any) -> None:
        self.settings = settings
        self.cluster = cluster
        self.clock = Clock()
        self.claim = folder / "claim"
        self.claim.mkdir()
        self.url = url
        self.folder = folder
        self.pipeline = declare(self.claim, **rollout)

    def open(self) -> KServeEndpoint:
        """A target as a new process would have it."""
        from kubernetes.client import ApiClient, Configuration

        settings = Configuration(host=self.url)
        settings.retries = False
        target = self.pipeline.deployment.target
        assert isinstance(target, KServeTarget)
        return KServeEndpoint(self.settings, self.pipeline, target, ApiClient(settings), clock=self.clock)

    def release(self, version: str, by: str = "run") -> Release:
        """A blessed version with one file."""
        model = self.folder / "models" / version
        model.mkdir(parents=True, exist_ok=True)
        (model / "MLmodel").write_text(f"version: {version}")
        return Release(ModelVersion("parcels", version, "r", "m", "2013-01", "d"), model, "", f"{by}{version}", "why")

    def follow(self, version: str, progress: Progress | None = None, looks: int = 60, each: float = 1.0) -> Progress:
        """Look until it is live; a second passes between two looks."""
        for _ in range(looks):
            if progress is not None and progress.state == "live":
                return progress
            self.clock.now += each
            progress = self.open().check(version)
        raise AssertionError(f"not live after {looks} looks: {progress}")

    def reach(self, version: str, shares: dict[str, int]) -> None:
        """Look until the requests are shared like this; a second passes between two looks."""
        for _ in range(60):
            if self.cluster.shares() == shares:
                return
            self.clock.now += 1
            self.open().check(version)
        raise AssertionError(f"the requests are shared as {self.cluster.shares()}")

    def serve(self, version: str) -> Progress:
        """Deploy and follow to the end."""
        return self.follow(version, self.open().deploy(self.release(version)))


def declare(claim: Path, rollout: Rollout | None = None, **changes: Any) -> Pipeline:
    """The toy pipeline on KServe, its files on a claim that is mounted here."""
    routing = TrafficRouting(type="CANARY", wait_interval_in_seconds=2)
    rollout = rollout or Rollout(
        traffic_routing_configuration=routing,
        termination_wait_in_seconds=3,
        maximum_execution_timeout_in_seconds=60,
    )
    fields = {"namespace": "models", "storage_prefix": "pvc://models/v", "storage_folder": str(claim), **changes}
    return make_pipeline(deployment=Deployment(target=KServeTarget(**fields), rollout=rollout, swap_seconds=5))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def bench(settings: Settings, cluster: Cluster, tmp_path: Path) -> Iterator[Bench]:
    with ClusterServer(cluster) as url:
        yield Bench(settings, url, cluster, tmp_path)


@pytest.fixture
def make_bench(settings: Settings, cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    with ClusterServer(cluster) as url:
        yield lambda **changes: Bench(settings, url, cluster, tmp_path, **changes)
