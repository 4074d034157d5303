"""Following the rollout file: a candidate is asked as long as its order is renewed and its champion is served."""

from __future__ import annotations

import asyncio
from pathlib import Path

from include.errors import TollgateError
from include.rollout import RolloutOrder, is_lease_over, locate_rollout, locate_socket, read_rollout
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
    same = current is not None and current.order.id == order.id
    try:
        socket_path = locate_socket(folder, order)
        client = current.client if current is not None and same else CandidateClient(socket_path)
        canary = Canary(order, serving, client, endpoint.counters)
    except TollgateError as error:
        _refuse(endpoint, order, error)
        return
    if not same:
        _stop(endpoint)
    endpoint.canary, endpoint.rollout_error = canary, None
    endpoint.announce()
    log_event("rollout", version=order.version, stage=order.stage, share_percent=order.share_percent)


def _refuse(endpoint: Endpoint, order: RolloutOrder, error: TollgateError) -> None:
    """Give the candidate nothing, and say so where who rolls it out looks: a rollout that waits for requests which do
    not come would look like one without customers."""
    refused = {"id": order.id, "message": str(error)}
    if endpoint.rollout_error == refused:
        return  # tried again at every look, said once
    _stop(endpoint)
    endpoint.rollout_error = refused
    endpoint.announce()
    log_event("rollout_refused", version=order.version, error=str(error))


def _stop(endpoint: Endpoint) -> None:
    canary = endpoint.canary
    if canary is None and endpoint.rollout_error is None:
        return
    endpoint.canary, endpoint.rollout_error = None, None
    endpoint.announce()
    if canary is not None:
        canary.client.close()
        log_event("rollout_over", version=canary.order.version)
