"""Following the rollout file: a candidate is asked as long as its order is renewed and its champion is served."""

from __future__ import annotations

import asyncio
from pathlib import Path

from include.errors import TollgateError
from include.rollout import is_lease_over, locate_rollout, locate_socket, read_rollout
from include.serving.canary import Canary
from include.serving.candidate import CandidateClient
from include.serving.follow import POLL_SECONDS, Endpoint
from include.serving.log import log_event


async def follow_rollout(endpoint: Endpoint, folder: Path, poll_seconds: float = POLL_SECONDS) -> None:
    """Keep ``endpoint.canary`` what the rollout file of ``folder`` says, for ever; never raises."""
    while True:
        try:
            look_at_rollout(endpoint, folder)
        except Exception as error:  # noqa: BLE001 (a dead follower would leave a candidate on)
            log_event("rollout_failed", error=f"{type(error).__name__}: {error}")
            _stop(endpoint)
        await asyncio.sleep(poll_seconds)


def look_at_rollout(endpoint: Endpoint, folder: Path) -> None:
    """Take up or end what the file says now: one system call, and a small file while there is one."""
    try:
        changed = locate_rollout(folder).stat().st_mtime_ns
    except FileNotFoundError:
        changed = None
    serving = endpoint.serving
    if changed is None or serving is None or is_lease_over(changed):
        _stop(endpoint)
        return
    order = read_rollout(folder)
    named = (serving.model.version, serving.model.path.name)
    if order is None or (order.champion, Path(order.champion_dir).name) != named:
        _stop(endpoint)
        return
    current = endpoint.canary
    if current is not None and current.order == order and current.champion is serving:
        return
    try:
        socket_path = locate_socket(folder, order)
    except TollgateError as error:
        log_event("rollout_refused", error=error.message)
        _stop(endpoint)
        return
    same = current is not None and current.order.id == order.id
    client = current.client if current is not None and same else CandidateClient(socket_path)
    if not same:
        _stop(endpoint)
    endpoint.canary = Canary(order, serving, client, endpoint.counters)
    endpoint.announce()
    log_event("rollout", version=order.version, stage=order.stage, share_percent=order.share_percent)


def _stop(endpoint: Endpoint) -> None:
    canary = endpoint.canary
    if canary is None:
        return
    endpoint.canary = None
    canary.client.close()
    endpoint.announce()
    log_event("rollout_over", version=canary.order.version)
