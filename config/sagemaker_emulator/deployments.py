"""Creating, updating and deleting an endpoint over time, each in a thread of its own.

An update starts the new fleet beside the old one, shifts traffic step by step, watches the alarms while it waits, and
either retires the old fleet or sends everything back to it.
"""

from __future__ import annotations

import time
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends

from config.sagemaker_emulator.containers import ContainerFailed
from config.sagemaker_emulator.endpoints import Endpoint
from config.sagemaker_emulator.fleets import Fleet
from config.sagemaker_emulator.regions import Region
from config.sagemaker_emulator.services import Services
from config.sagemaker_emulator.shifting import ShiftPlan
from include.errors import TerminalError

_POLL_SECONDS = 0.02
# SageMaker's seconds: how long it seems to think before and after.
_ROLLBACK_SECONDS = 10
_DELETE_SECONDS = 5
_WEIGHTS_SECONDS = 10


class UpdateStopped(TerminalError):
    """An update must not go on: ``message`` becomes the endpoint's FailureReason."""

    def __init__(self, message: str, *, next_step: str = "Correct the model and update again.") -> None:
        super().__init__(message, next_step=next_step)


class Deployment:
    """One way of an endpoint to another configuration."""

    def __init__(self, services: Services, region: Region, endpoint: Endpoint) -> None:
        self._services = services
        self._region = region
        self._endpoint = endpoint

    def create(self, config: dict[str, Any]) -> None:
        """Start the first fleet: InService or Failed."""
        fleet = self._make_fleet(config)
        try:
            fleet.start()
        except ContainerFailed as failure:
            self._endpoint.set_status("Failed", failure.message)
            fleet.stop()
            return
        self._endpoint.settle(fleet, config["EndpointConfigName"])
        self._endpoint.set_status("InService")

    def update(self, config: dict[str, Any], plan: ShiftPlan) -> None:
        """Go to ``config`` as planned: InService on it, or InService on the old one with a FailureReason."""
        green = self._make_fleet(config)
        deadline = self._services.clock.set_deadline(plan.maximum)
        try:
            self._shift(green, plan, deadline)
        except (ContainerFailed, UpdateStopped) as failure:
            self._roll_back(green, failure.message)
            return
        before = self._endpoint.settle(green, config["EndpointConfigName"])
        self._endpoint.set_status("InService")
        if before is not None:
            before.stop()

    def delete(self) -> None:
        """Stop answering at once; the endpoint is gone some seconds later."""
        fleets = self._endpoint.list_fleets()
        with self._endpoint.lock:
            self._endpoint.live = self._endpoint.green = None
        for fleet in fleets:
            fleet.stop()
        for capture in list(self._endpoint.captures.values()):
            capture.flush()
        self._services.clock.wait(_DELETE_SECONDS)
        with self._region.lock:
            self._region.endpoints.pop(self._endpoint.name, None)
            self._region.tags.pop(self._endpoint.arn, None)

    def apply_weights(self, desired: list[dict[str, Any]]) -> None:
        """Change weights and instance counts of the running fleet."""
        live = self._endpoint.live
        by_name = {} if live is None else {variant.name: variant for variant in live.variants}
        for change in desired:
            variant = by_name[change["VariantName"]]
            variant.desired_weight = change.get("DesiredWeight", variant.desired_weight)
            variant.desired_instances = change.get("DesiredInstanceCount", variant.desired_instances)
        self._services.clock.wait(_WEIGHTS_SECONDS)
        for variant in by_name.values():
            variant.weight, variant.instances = variant.desired_weight, variant.desired_instances
        self._endpoint.set_status("InService")

    def _make_fleet(self, config: dict[str, Any]) -> Fleet:
        return Fleet(self._services, self._region, self._endpoint.name, config)

    def _shift(self, green: Fleet, plan: ShiftPlan, deadline: float) -> None:
        self._endpoint.route(green, 0.0)
        green.start()
        for share in plan.shares:
            green.set_status("ActivatingTraffic")
            self._endpoint.route(green, share)
            green.set_status("Baking")
            self._watch(plan.wait if share < 1 else plan.bake, plan.alarms, deadline)
        green.set_status("")

    def _watch(self, seconds: float, alarms: tuple[str, ...], deadline: float) -> None:
        end = self._services.clock.set_deadline(seconds)
        while True:
            if fired := self._list_fired(alarms):
                raise UpdateStopped(
                    "Endpoint update was rolled back because the following CloudWatch alarm(s) were in ALARM state "
                    f"during the deployment: {', '.join(fired)}."
                )
            if time.monotonic() >= deadline:
                raise UpdateStopped(
                    "Endpoint update was rolled back because it exceeded the maximum execution timeout."
                )
            if time.monotonic() >= end or self._services.clock.is_stopped:
                return
            time.sleep(_POLL_SECONDS)

    def _list_fired(self, names: tuple[str, ...]) -> list[str]:
        known = cloudwatch_backends[self._region.account][self._region.name].alarms
        return [name for name in names if name in known and known[name].state_value == "ALARM"]

    def _roll_back(self, green: Fleet, reason: str) -> None:
        self._endpoint.set_status("RollingBack", reason)
        self._endpoint.route(None, 0.0)
        green.stop()
        self._services.clock.wait(_ROLLBACK_SECONDS)
        self._endpoint.pending = None
        failed = self._services.faults.take("rollback_fails", self._endpoint.name)
        self._endpoint.set_status("UpdateRollbackFailed" if failed else "InService", reason)
