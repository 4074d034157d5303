"""Stored rows sent through the live endpoint, so that a rollout is judged without customers too."""

from __future__ import annotations

import contextlib
import http.client
import random
import threading
import time
from collections.abc import Iterator, Sequence

from include.deployment.local.client import Endpoint
from include.deployment.local.replay import StoredRows, build_records
from include.rollout import PROBE_HEADER

# A candidate that hangs is found sooner by several that wait for it.
_THREADS = 4
_PAUSE_SECONDS = 0.2


@contextlib.contextmanager
def send_probes(
    endpoint: Endpoint, rollout_id: str, stored: StoredRows, per_second: float, seconds: float
) -> Iterator[None]:
    """Send so many requests of one row a second while the block runs; each may take ``seconds``.

    Rows are drawn at random: what the candidate says of them is then a fair sample of all.
    """
    bodies = [build_records(stored.requests.iloc[place : place + 1]) for place in range(len(stored.scores))]
    stop = threading.Event()
    threads: list[threading.Thread] = []
    if bodies and per_second > 0:
        every = _THREADS / per_second
        arguments = (endpoint, rollout_id, bodies, every, seconds, stop)
        threads = [threading.Thread(target=_send_on, args=arguments, daemon=True) for _ in range(_THREADS)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(seconds + 1)


def _send_on(
    endpoint: Endpoint, rollout_id: str, bodies: Sequence[bytes], every: float, seconds: float, stop: threading.Event
) -> None:
    headers = {"content-type": "application/json", PROBE_HEADER: rollout_id}
    if endpoint.token is not None:
        headers["authorization"] = f"Bearer {endpoint.token}"
    connection = endpoint.connect(seconds)
    due = time.monotonic() + random.random() * every  # noqa: S311 (not all threads at once)
    while not stop.wait(max(due - time.monotonic(), 0)):
        try:
            connection.request("POST", "/invocations", random.choice(bodies), headers)  # noqa: S311 (a sample)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            # The endpoint is being restarted; its customers' requests are not these.
            connection.close()
            stop.wait(_PAUSE_SECONDS)
        # Whoever is late sends no heap of them.
        due = max(due + every, time.monotonic())
    connection.close()
