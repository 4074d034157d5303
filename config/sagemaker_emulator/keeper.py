"""Looks after what runs: containers that ended are started again, captured requests reach S3."""

from __future__ import annotations

from config.sagemaker_emulator.clock import Clock
from config.sagemaker_emulator.containers import ContainerFailed
from config.sagemaker_emulator.regions import Regions

_SECONDS = 0.5


class Keeper:
    """Makes its round twice a second."""

    def __init__(self, clock: Clock, regions: Regions) -> None:
        self._clock = clock
        self._regions = regions

    def run(self) -> None:
        """Make rounds until the emulator stops."""
        while not self._clock.is_stopped:
            self._restart_ended()
            self.flush()
            self._clock.wait_real(_SECONDS)

    def _restart_ended(self) -> None:
        for region in self._regions.list():
            for endpoint in list(region.endpoints.values()):
                # A fleet that is still starting is judged by who starts it.
                if endpoint.live is not None and endpoint.status != "Deleting":
                    try:
                        endpoint.live.restart_ended()
                    except ContainerFailed as failure:
                        print(f"{endpoint.name}: {failure.message}", flush=True)

    def flush(self) -> None:
        """Write the captured requests."""
        for region in self._regions.list():
            for endpoint in list(region.endpoints.values()):
                for capture in list(endpoint.captures.values()):
                    capture.flush()
