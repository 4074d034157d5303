"""One endpoint: which fleets answer, what it says of itself, and what is under way."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from config.sagemaker_emulator.capture import CaptureWriter
from config.sagemaker_emulator.clock import read_now
from config.sagemaker_emulator.fleets import Fleet, Variant


@dataclass
class Pending:
    """A deployment under way, as PendingDeploymentSummary shows it."""

    config_name: str
    started: datetime


@dataclass
class Endpoint:
    """An endpoint's state. ``lock`` guards which fleets answer; ``green`` gets ``share`` of the traffic."""

    name: str
    arn: str
    config_name: str
    status: str = "Creating"
    failure_reason: str | None = None
    live: Fleet | None = None
    green: Fleet | None = None
    share: float = 0.0
    pending: Pending | None = None
    last_deployment: dict[str, Any] | None = None
    captures: dict[str, CaptureWriter] = field(default_factory=dict)
    created: datetime = field(default_factory=read_now)
    modified: datetime = field(default_factory=read_now)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set_status(self, status: str, reason: str | None = None) -> None:
        """Change the status; ``reason`` becomes FailureReason."""
        self.status, self.failure_reason, self.modified = status, reason, read_now()

    def route(self, green: Fleet | None, share: float) -> None:
        """Send ``share`` of the traffic to ``green``."""
        with self.lock:
            self.green, self.share = green, share

    def settle(self, fleet: Fleet, config_name: str) -> Fleet | None:
        """Make ``fleet`` the one that answers; returns the one before."""
        with self.lock:
            before, self.live, self.green, self.share = self.live, fleet, None, 0.0
            self.config_name, self.pending = config_name, None
        return before

    def choose(self, target: str | None) -> tuple[Fleet, Variant] | None:
        """Who answers the next request; None when nobody can, or no variant is called ``target``.

        The caller leaves the fleet afterwards.
        """
        with self.lock:
            shifted = self.green is not None and random.random() < self.share  # noqa: S311 - no secret
            fleet = self.green if shifted else self.live
            variant = None if fleet is None else fleet.choose_variant(target)
            if fleet is None or variant is None:
                return None
            fleet.enter()
            return fleet, variant

    def list_fleets(self) -> list[Fleet]:
        """Those that run now."""
        with self.lock:
            return [fleet for fleet in (self.live, self.green) if fleet is not None]

    def describe(self) -> dict[str, Any]:
        """The answer of DescribeEndpoint."""
        described: dict[str, Any] = {
            "EndpointName": self.name,
            "EndpointArn": self.arn,
            "EndpointConfigName": self.config_name,
            "EndpointStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.modified,
        }
        if self.failure_reason is not None:
            described["FailureReason"] = self.failure_reason
        if self.live is not None:
            described["ProductionVariants"] = [variant.describe() for variant in self.live.variants]
            if self.live.shadows:
                described["ShadowProductionVariants"] = [variant.describe() for variant in self.live.shadows]
            if capture := self.live.config.get("DataCaptureConfig"):
                described["DataCaptureConfig"] = _describe_capture(capture)
            if asynchronous := self.live.config.get("AsyncInferenceConfig"):
                described["AsyncInferenceConfig"] = asynchronous
        if self.last_deployment is not None:
            described["LastDeploymentConfig"] = self.last_deployment
        if self.pending is not None:
            green = [] if self.green is None else [variant.describe() for variant in self.green.variants]
            described["PendingDeploymentSummary"] = {
                "EndpointConfigName": self.pending.config_name,
                "StartTime": self.pending.started,
                "ProductionVariants": green,
            }
        return described

    def summarize(self) -> dict[str, Any]:
        """The EndpointSummary of ListEndpoints."""
        names = ("EndpointName", "EndpointArn", "CreationTime", "LastModifiedTime", "EndpointStatus")
        described = self.describe()
        return {name: described[name] for name in names}


def _describe_capture(config: dict[str, Any]) -> dict[str, Any]:
    enabled = config.get("EnableCapture", True)
    return {
        "EnableCapture": enabled,
        "CaptureStatus": "Started" if enabled else "Stopped",
        "CurrentSamplingPercentage": config["InitialSamplingPercentage"],
        "DestinationS3Uri": config["DestinationS3Uri"],
        "KmsKeyId": config.get("KmsKeyId", ""),
    }
