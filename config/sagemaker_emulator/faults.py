"""Faults that a test asks for by POST /emulator/faults: what AWS does on a bad day."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

from config.sagemaker_emulator.refusals import Refusal

# Kind -> what it does to the next thing of that name ("*": of any name).
KINDS = {
    "capacity": "no instances: an endpoint's new fleet or a job fails with InsufficientInstanceCapacity",
    "spot_interruption": "the instances of a running spot job are taken away once",
    "rollback_fails": "a rollback of the endpoint ends as UpdateRollbackFailed",
}


@dataclass
class Fault:
    """One fault, waiting to happen ``times`` times to what is called ``name``."""

    kind: str
    name: str
    times: int


class Faults:
    """The faults that wait."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, asked: dict[str, Any]) -> Fault:
        """Take ``{"kind": …, "name": "*", "times": 1}``. Raises Refusal when there is no such kind."""
        kind = asked.get("kind")
        if kind not in KINDS:
            raise Refusal(f"kind is {kind!r}, which is none of {', '.join(KINDS)}.")
        fault = Fault(kind, str(asked.get("name", "*")), int(asked.get("times", 1)))
        with self._lock:
            self._waiting.append(fault)
        return fault

    def take(self, kind: str, name: str) -> bool:
        """Whether a fault of ``kind`` waits for ``name``; it has happened once more then."""
        with self._lock:
            for fault in self._waiting:
                if fault.kind == kind and fault.name in {"*", name} and fault.times > 0:
                    fault.times -= 1
                    return True
        return False

    def list(self) -> list[dict[str, Any]]:
        """Those that still wait."""
        with self._lock:
            return [vars(fault).copy() for fault in self._waiting if fault.times > 0]
