"""Small refreshes for systems of their own, whose pipeline blesses whatever beats a coin."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from tests.scenarios.invariants import Landed
from tests.scenarios.refreshes import make_month
from tests.scenarios.system import LandMode, RunningSystem

PIPELINES = Path(__file__).parent / "lenient_pipelines"
PIPELINE = "flights"
# Enough for a figure that beats a coin in every month, few enough that a fit takes a second.
_ROWS = 6_000


def take_rows(month: int) -> Any:
    """Some rows of a real month, in its order."""
    return make_month(month).sample(_ROWS, random_state=month).sort_index()


def land(system: RunningSystem, partition: str, frame: Any, mode: LandMode = "rename") -> Landed:
    """Land ``frame`` and say what was landed."""
    path = system.land(PIPELINE, partition, frame, mode)
    return Landed(partition, hashlib.sha256(path.read_bytes()).hexdigest(), len(frame))
