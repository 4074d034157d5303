"""The instances behind one endpoint configuration: its variants, each with containers."""

from __future__ import annotations

import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from config.sagemaker_emulator.clock import read_now
from config.sagemaker_emulator.containers import Container, ContainerFailed, read_specs
from config.sagemaker_emulator.regions import Region
from config.sagemaker_emulator.services import Services

_DRAIN_SECONDS = 60.0
PING_FAILED = (
    "The {container} for production variant {variant} did not pass the ping health check. "
    "Please check CloudWatch logs for this endpoint."
)
NO_CAPACITY = (
    "Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error. "
    "Please retry using a different ML instance type or after some time."
)


@dataclass
class Variant:
    """One variant of a running fleet. ``request`` is the ProductionVariant it was made from."""

    request: dict[str, Any]
    containers: list[Container]
    images: list[str]
    weight: float
    desired_weight: float
    instances: int
    desired_instances: int
    status: str = ""
    turn: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def name(self) -> str:
        """VariantName."""
        return str(self.request["VariantName"])

    def choose_container(self) -> Container:
        """The next one in turn."""
        return self.containers[next(self.turn) % len(self.containers)]

    def describe(self) -> dict[str, Any]:
        """The ProductionVariantSummary."""
        described: dict[str, Any] = {
            "VariantName": self.name,
            "DeployedImages": [
                {"SpecifiedImage": image, "ResolvedImage": image, "ResolutionTime": read_now()} for image in self.images
            ],
            "CurrentWeight": self.weight,
            "DesiredWeight": self.desired_weight,
        }
        if serverless := self.request.get("ServerlessConfig"):
            described |= {"CurrentServerlessConfig": serverless, "DesiredServerlessConfig": serverless}
        else:
            described |= {"CurrentInstanceCount": self.instances, "DesiredInstanceCount": self.desired_instances}
        for name in ("ManagedInstanceScaling", "RoutingConfig"):
            if name in self.request:
                described[name] = self.request[name]
        if self.status:
            described["VariantStatus"] = [{"Status": self.status, "StartTime": read_now()}]
        return described


def _plan_variant(services: Services, region: Region, endpoint: str, request: dict[str, Any]) -> Variant:
    specs = read_specs(region, request["ModelName"])
    instances = int(request.get("InitialInstanceCount") or 1)
    weight = float(request.get("InitialVariantWeight", 1.0))
    count = min(instances, services.settings.processes)
    # Of an inference pipeline's containers only the first is run.
    containers = [Container(services, region, endpoint, request["VariantName"], specs[0]) for _ in range(count)]
    images = [spec.image for spec in specs]
    return Variant(request, containers, images, weight, weight, instances, instances, "Creating")


class Fleet:
    """All that one endpoint configuration runs for an endpoint. ``config`` is the CreateEndpointConfig request."""

    def __init__(self, services: Services, region: Region, endpoint: str, config: dict[str, Any]) -> None:
        self._services = services
        self._region = region
        self._endpoint = endpoint
        self.config = config
        self.variants: list[Variant] = []
        self.shadows: list[Variant] = []
        self._in_flight = 0
        self._idle = threading.Condition()
        self._is_stopped = False

    def start(self) -> None:
        """Start every container and wait until all are healthy. Raises ContainerFailed with AWS's reason."""
        if self._services.faults.take("capacity", self._endpoint):
            raise ContainerFailed(NO_CAPACITY)
        plan = (self._services, self._region, self._endpoint)
        self.variants = [_plan_variant(*plan, request) for request in self.config["ProductionVariants"]]
        self.shadows = [_plan_variant(*plan, request) for request in self.config.get("ShadowProductionVariants") or []]
        pairs = [(variant, each) for variant in self._all_variants() for each in variant.containers]
        with ThreadPoolExecutor(max_workers=len(pairs)) as pool:
            list(pool.map(lambda pair: self._start_container(*pair), pairs))
        self.set_status("")

    def _all_variants(self) -> list[Variant]:
        return [*self.variants, *self.shadows]

    def _start_container(self, variant: Variant, container: Container) -> None:
        container.start()
        declared = variant.request.get("ContainerStartupHealthCheckTimeoutInSeconds")
        if not container.wait_healthy(declared or self._services.settings.startup):
            which = "primary container" if len(variant.images) == 1 else "container"
            raise ContainerFailed(PING_FAILED.format(container=which, variant=variant.name))

    def set_status(self, status: str) -> None:
        """What DescribeEndpoint says of the variants: Creating, ActivatingTraffic, Baking, or nothing."""
        for variant in self.variants:
            variant.status = status

    def choose_variant(self, target: str | None) -> Variant | None:
        """The named variant, or one by weight; None when there is no such variant."""
        if target is not None:
            return next((variant for variant in self.variants if variant.name == target), None)
        weights = [variant.weight for variant in self.variants]
        return random.choices(self.variants, weights)[0] if sum(weights) > 0 else None  # noqa: S311 - no secret

    def enter(self) -> None:
        """A request begins."""
        with self._idle:
            self._in_flight += 1

    def leave(self) -> None:
        """A request ended."""
        with self._idle:
            self._in_flight -= 1
            self._idle.notify_all()

    def restart_ended(self) -> None:
        """Start again what ended by itself."""
        for variant in self._all_variants():
            for container in variant.containers:
                if container.has_ended and not self._is_stopped:
                    container.start()

    def stop(self) -> None:
        """Let running requests end, then stop every container."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        with self._idle:
            while self._in_flight and time.monotonic() < deadline and not self._services.clock.is_stopped:
                self._idle.wait(0.5)
        self._is_stopped = True
        containers = [container for variant in self._all_variants() for container in variant.containers]
        if containers:
            with ThreadPoolExecutor(max_workers=len(containers)) as pool:
                list(pool.map(Container.stop, containers))
