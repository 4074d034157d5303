"""The KServe target for the tests that every kind of target passes: the double of a cluster, and before it an ingress
that answers with the real model of the version that has the requests, from the files that were published."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

from include.declaration import Deployment, KServeTarget, Rollout, TrafficRouting
from include.deployment.door import open_target
from include.deployment.recorded import record_live
from include.deployment.target import DeploymentTarget, Progress, Release
from include.errors import RolledBack
from include.serving.model import load_model
from include.serving.schema import RequestRefused
from include.settings import Settings
from tests.unit.deployment.kserve.cluster import Cluster, ClusterServer
from tests.unit.deployment.kserve.ingress import serve_ingress
from tests.unit.deployment.targets import Models
from tests.unit.factory import make_pipeline

_GRACE = 0.2


class KServeHarness:
    """See ``tests.unit.deployment.targets.Harness``."""

    def __init__(self, settings: Settings, folder: Path, stack: contextlib.ExitStack) -> None:
        from kubernetes.client import ApiClient, Configuration

        self.settings = settings
        self.cluster = Cluster()
        self._claim = folder / "claim"
        self._claim.mkdir()
        configuration = Configuration(host=stack.enter_context(ClusterServer(self.cluster)))
        configuration.retries = False
        # By the name under which the shared tests look for what a target is connected with.
        self.aws = ApiClient(configuration)
        rollout = Rollout(
            traffic_routing_configuration=TrafficRouting(wait_interval_in_seconds=0), termination_wait_in_seconds=0
        )
        target = KServeTarget(
            namespace="models",
            storage_prefix="pvc://models/v",
            storage_folder=str(self._claim),
            image="tollgate-serving",
            ingress_url=stack.enter_context(serve_ingress(self.answer)),
        )
        self.pipeline = make_pipeline(deployment=Deployment(target=target, rollout=rollout, swap_seconds=_GRACE))
        self._models = Models(self.pipeline, folder)

    def open(self) -> DeploymentTarget:
        return open_target(self.settings, self.pipeline, self.aws)

    def make_release(self, number: str, *, bad: bool = False, by: str = "") -> Release:
        return self._models.make_release(number, bad=bad, by=by)

    def settle(self, *, failed: bool = False) -> None:
        version = self.open().find_declared()
        if version is None:
            return
        if failed:
            self.cluster.broken[version] = "the container crashed"
        for _ in range(40):
            try:
                if self.open().check(version).state == "live":
                    return
            except RolledBack:
                return
            time.sleep(_GRACE / 4 if failed else 0)
        raise AssertionError("it does not settle")

    def record(self, progress: Progress, left: str | None = None) -> None:
        given = (self.settings, self.pipeline.name, "kserve", "url", progress, "2013-01", "a test", "because")
        record_live(*given, left=left)

    def list_made(self) -> list[str]:
        return [one["metadata"]["labels"]["tollgate/release"] for one in self.cluster.revisions.values()]

    def go_away(self) -> None:
        self.cluster.before_answer = lambda _number, _method: 503

    def answer(self, _path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """What the model of the version with the most requests says."""
        shares = self.cluster.shares()
        version = max(shares, key=lambda number: shares[number])
        model = load_model(self._claim / "v" / self.pipeline.name / version, version)
        try:
            predictions = list(model.answer(headers["content-type"], body))
        except RequestRefused as error:
            return 400, {}, json.dumps({"message": error.message}).encode()
        return 200, {}, json.dumps({"predictions": predictions, "model_version": version}).encode()
