"""SageMaker's seconds, which pass quicker than real ones when the time scale says so."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime


class Clock:
    """Waits in SageMaker's seconds; ``stop`` ends every wait at once."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self._stopped = threading.Event()

    @property
    def is_stopped(self) -> bool:
        """Whether the emulator is going down."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End all waits, now and later."""
        self._stopped.set()

    def wait(self, seconds: float) -> None:
        """Wait that many of SageMaker's seconds."""
        self._stopped.wait(seconds * self.scale)

    def wait_real(self, seconds: float) -> None:
        """Wait that many real seconds."""
        self._stopped.wait(seconds)

    def set_deadline(self, seconds: float) -> float:
        """The monotonic time at which that many of SageMaker's seconds have passed."""
        return time.monotonic() + seconds * self.scale


def read_now() -> datetime:
    """The wall clock, which is real however quick SageMaker's seconds pass."""
    return datetime.now(UTC)
