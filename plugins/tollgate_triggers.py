"""Watching the landing folder from the triggerer, where waiting costs no worker slot."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent

from include.contracts import Arrival, pack
from include.errors import RefreshMissing, TollgateError
from include.settings import Settings, load_settings

# An arrival that nobody claimed for this long after its event: the event was lost, or its run waits for a free slot, or
# the DAG was paused. The price of a new event is one run that finds nothing; that of none is a file that lies there.
RAISE_AGAIN_SECONDS = 300.0
# Between two looks at every file, the folder alone is asked whether a name came, went or changed: one stat, in a thread
# because the folder may lie on a network. Ten times a second it was a fifth of a core for fourteen pipelines.
GLANCE_SECONDS = 0.25


def _look_for_unclaimed(pipeline_name: str) -> tuple[list[Arrival], float | None]:
    from include.data.claims import look_for_unclaimed
    from include.declaration.loader import get_pipeline

    settings = load_settings()
    look = look_for_unclaimed(settings, get_pipeline(settings, pipeline_name))
    return look.arrivals, look.settles_in


def _stamp_folder(settings: Settings, pipeline_name: str) -> int:
    from include.data.landing import stamp_folder

    return stamp_folder(settings, pipeline_name)


def _find_arrival(pipeline_name: str, partition: str) -> Arrival | None:
    from include.data.landing import find_arrival
    from include.declaration.loader import get_pipeline

    settings = load_settings()
    try:
        return find_arrival(settings, get_pipeline(settings, pipeline_name), partition)
    except RefreshMissing:
        return None


class LandingTrigger(BaseEventTrigger):
    """Raises an event for each complete file that the ledger has not seen and no run has claimed.

    What arrived while no triggerer ran is found by the first look after its start, because the ledger and the claims,
    not this trigger's memory, decide what waits for a run. A file whose claim was lifted is raised again at once, one
    that nobody claims now and then. An event may therefore be raised twice; its consumer asks ledger and claims again.
    """

    def __init__(self, *, pipeline: str, poll_seconds: float) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Name this trigger so that any triggerer can build it again."""
        return "tollgate_triggers.LandingTrigger", {"pipeline": self.pipeline, "poll_seconds": self.poll_seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look every ``poll_seconds``, when a file that was not complete may be, and when a name in the folder changed.

        A look that fails is logged and repeated, it never ends the watching.
        """
        glance = functools.partial(_stamp_folder, load_settings(), self.pipeline)
        raised: dict[Arrival, float] = {}
        last_error = ""
        while True:
            # Taken before the look: what changes during it is looked at again.
            stamp = await asyncio.to_thread(glance)
            try:
                arrivals, settles_in = await asyncio.to_thread(_look_for_unclaimed, self.pipeline)
                last_error = ""
                # Forgetting what was claimed keeps the memory small, and raises it again once the claim is lifted.
                raised = {arrival: raised[arrival] for arrival in arrivals if arrival in raised}
            except (TollgateError, OSError) as error:
                arrivals, settles_in = [], None
                if str(error) != last_error:
                    last_error = str(error)
                    self.log.warning("Looking for arrivals of %s failed: %s", self.pipeline, error)
            for arrival in arrivals:
                now = time.monotonic()
                if now >= raised.get(arrival, -RAISE_AGAIN_SECONDS) + RAISE_AGAIN_SECONDS:
                    raised[arrival] = now
                    yield TriggerEvent(pack(arrival))
            # However rarely it looks by itself, what began to settle before its eyes does not wait for that.
            seconds = self.poll_seconds if settles_in is None else min(settles_in, self.poll_seconds)
            await self._rest(glance, stamp, seconds)

    async def _rest(self, glance: Callable[[], int], stamp: int, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(GLANCE_SECONDS, left))
            if await asyncio.to_thread(glance) != stamp:
                return


class PartitionTrigger(BaseTrigger):
    """Waits until the file of one partition is there and complete."""

    def __init__(self, *, pipeline: str, partition: str, poll_seconds: float) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.partition = partition
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Name this trigger so that any triggerer can build it again."""
        arguments = {"pipeline": self.pipeline, "partition": self.partition, "poll_seconds": self.poll_seconds}
        return "tollgate_triggers.PartitionTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield the arrival once."""
        while True:
            arrival = await asyncio.to_thread(_find_arrival, self.pipeline, self.partition)
            if arrival is not None:
                yield TriggerEvent(pack(arrival))
                return
            await asyncio.sleep(self.poll_seconds)
