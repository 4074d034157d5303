"""A customer who asks an endpoint all the time and remembers what came back, and when."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

# A flight as a customer asks about it, in a month that every model of the scenarios knows: what a linear model says of
# June after January alone is certain, and refused.
REQUEST: Mapping[str, Any] = {
    "year": 2013, "month": 1, "day": 3, "hour": 17, "minute": 30, "sched_arr_time": 2015,
    "carrier": "UA", "origin": "EWR", "dest": "ORD", "distance": 719,
}  # fmt: skip
# Asked one after the other: of a single flight two good models may think quite differently, of many they do not.
REQUESTS = [
    {**REQUEST, "day": day, "hour": hour, "carrier": carrier, "dest": dest}
    for day, (hour, carrier, dest) in enumerate(
        itertools.product((7, 11, 15, 19), ("UA", "B6", "DL"), ("ORD", "MCO")), start=1
    )
]


@dataclass(frozen=True)
class Answer:
    """One request: when it began and ended (monotonic seconds), its status (0: no answer) and the version that
    answered."""

    began: float
    ended: float
    status: int
    version: str | None = None
    problem: str = ""


class Customer:
    """Asks from ``callers`` threads while it is entered."""

    def __init__(
        self, url: str, request: Mapping[str, Any] | None = None, pause: float = 0.02, callers: int = 2
    ) -> None:
        self.answers: list[Answer] = []
        self._url = f"{url}/invocations"
        asked = REQUESTS if request is None else [request]
        self._bodies = itertools.cycle([{"dataframe_records": [dict(each)]} for each in asked])
        self._pause = pause
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask_on) for _ in range(callers)]

    def __enter__(self) -> Customer:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask_on(self) -> None:
        with httpx.Client(timeout=30.0, trust_env=False) as client:
            while not self._stop.wait(self._pause):
                self.answers.append(self._ask(client))

    def _ask(self, client: httpx.Client) -> Answer:
        began = time.monotonic()
        try:
            answer = client.post(self._url, json=next(self._bodies))
        except httpx.HTTPError as error:
            return Answer(began, time.monotonic(), 0, problem=f"{type(error).__name__}: {error}")
        version = answer.json().get("model_version") if answer.status_code == 200 else None
        return Answer(began, time.monotonic(), answer.status_code, version, "" if version else answer.text[:200])
