"""Customers of any target, through its own door."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from include.declaration import Pipeline
from include.deployment.target import DeploymentTarget
from include.errors import TollgateError
from tests.unit.asking import AskingThreads
from tests.unit.served_models import make_requests


def make_body(pipeline: Pipeline, rows: int) -> bytes:
    frame = make_requests(pipeline, rows).astype(object)
    return json.dumps({"dataframe_records": frame.where(frame.notna(), None).to_dict("records")}).encode()


class Customers(AskingThreads):
    """Ask a target all the time, from beginning to end of the block."""

    def __init__(self, open_target: Callable[[], DeploymentTarget], body: bytes) -> None:
        super().__init__(2)
        self.answers: list[tuple[int, str | None]] = []
        self._open, self._body = open_target, body

    def _call(self, number: int) -> None:
        target = self._open()
        while not self._stop.is_set():
            try:
                answer = target.predict(self._body, "application/json")
                version = json.loads(answer.body).get("model_version") if answer.status == 200 else None
                self.answers.append((answer.status, version))
            except TollgateError as error:
                self.answers.append((0, error.message))
            time.sleep(0.01)
