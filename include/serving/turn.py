"""When a worker starts to take connections: callers shall meet one that answers, not one that is loading."""

from __future__ import annotations

import asyncio
import time

from include.serving.follow import Endpoint

_LOOK_SECONDS = 0.02
# The workers load the same files at the same time. One that is behind by so much has its own trouble.
_PATIENCE_SECONDS = 30.0


async def wait_for_turn(endpoint: Endpoint) -> None:
    """Return when this worker may take connections.

    The parent lets one worker take them at once, so that somebody says what the endpoint is doing. The others join when
    they have a model and so have all that take connections already, so callers never meet ready and starting in turn.
    """
    board = endpoint.board
    latest = None
    while not board.is_accepting(endpoint.slot):
        if endpoint.serving is not None:
            latest = latest or time.monotonic() + _PATIENCE_SECONDS
            taking = [state for state in board.read_states() if state["accepting"]]
            if all(state["state"] == "ready" for state in taking) or time.monotonic() > latest:
                board.set_accepting(endpoint.slot)
                return
        await asyncio.sleep(_LOOK_SECONDS)
