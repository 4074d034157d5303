"""What every part of the emulator shares: made once, when it starts."""

from __future__ import annotations

from dataclasses import dataclass

from config.sagemaker_emulator.clock import Clock
from config.sagemaker_emulator.faults import Faults
from config.sagemaker_emulator.images import Image
from config.sagemaker_emulator.log_streams import LogShipper
from config.sagemaker_emulator.metrics import MetricRecorder
from config.sagemaker_emulator.processes import Launcher
from config.sagemaker_emulator.settings import EmulatorSettings


@dataclass(frozen=True)
class Services:
    """Settings and the long-lived helpers."""

    settings: EmulatorSettings
    clock: Clock
    images: list[Image]
    launcher: Launcher
    logs: LogShipper
    metrics: MetricRecorder
    faults: Faults

    def build_credentials(self, region: str) -> dict[str, str]:
        """The environment through which a container reaches AWS: on AWS by its role, here by the endpoint's URL."""
        return {
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": "container",
            "AWS_SECRET_ACCESS_KEY": "container",
            "AWS_ENDPOINT_URL": self.settings.url,
        }
