"""Waiting for a service's rollout in the triggerer, where it costs no worker slot.

The amazon provider's own deferrable operators need aiobotocore, of which no version goes with the boto3 of the lock;
and they take the service's "InService" for success, which it also says after it has rolled back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

import tollgate_targets
from include.contracts import pack
from include.declaration.models import Pipeline
from include.errors import TollgateError
from include.settings import load_settings


def _is_settled(pipeline_name: str, version: str) -> bool:
    """Whether there is anything to say: it is live, or it will not be. What it is, the task asks again."""
    from include.declaration.loader import get_pipeline
    from include.deployment.door import open_target

    settings = load_settings()
    pipeline = get_pipeline(settings, pipeline_name)
    try:
        progress = open_target(settings, pipeline, tollgate_targets.connect_target(pipeline)).check(version)
    except TollgateError as error:
        if error.retryable:
            raise
        return True
    return progress.state == "live"


class RolloutTrigger(BaseTrigger):
    """Looks at a rollout every ``poll_seconds`` until it is over. A look that fails is logged and repeated."""

    def __init__(self, *, pipeline: str, version: str, poll_seconds: float) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.version = version
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Name this trigger so that any triggerer can build it again; nothing secret is in it."""
        arguments = {"pipeline": self.pipeline, "version": self.version, "poll_seconds": self.poll_seconds}
        return "tollgate_rollouts.RolloutTrigger", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield once, when the rollout is over."""
        last_error = ""
        while True:
            try:
                if await asyncio.to_thread(_is_settled, self.pipeline, self.version):
                    yield TriggerEvent(self.version)
                    return
            except (TollgateError, OSError) as error:
                if str(error) != last_error:
                    last_error = str(error)
                    self.log.warning("Looking at the rollout of %s failed: %s", self.pipeline, error)
            await asyncio.sleep(self.poll_seconds)


class AwaitRollout(BaseOperator):
    """Waits until the service of a pipeline has rolled out what the task ``asked`` asked for.

    Live means that the service says so of the very configuration that was asked for. Taken back, the task fails with
    the service's reason.
    """

    def __init__(self, *, pipeline: Pipeline, asked: str, limit: timedelta, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pipeline = pipeline
        self._asked = asked
        self._limit = limit

    def execute(self, context: Any) -> dict[str, Any] | None:
        """Look once, and leave the rest to the triggerer."""
        version = self._find_version(context)
        if version is None:
            return None
        progress = self._look(version)
        if progress["state"] == "live":
            return progress
        self._wait(version)
        return None

    def resume(self, context: Any, event: str) -> dict[str, Any] | None:
        """Ask again what came of it: a trigger's event is no proof."""
        progress = self._look(event)
        if progress["state"] != "live":
            self._wait(event)
        return progress

    def _find_version(self, context: Any) -> str | None:
        asked = context["ti"].xcom_pull(task_ids=self._asked)
        return str(asked["version"]) if asked else None

    def _look(self, version: str) -> dict[str, Any]:
        from include.steps.hosted import look_at_rollout
        from tollgate_reasons import leave_reason

        try:
            progress = look_at_rollout(
                load_settings(), self._pipeline, version, tollgate_targets.connect_target(self._pipeline)
            )
        except TollgateError as error:
            leave_reason(error.message)
            raise
        return pack(progress)

    def _wait(self, version: str) -> None:
        target: Any = self._pipeline.deployment.target
        self.defer(
            trigger=RolloutTrigger(pipeline=self._pipeline.name, version=version, poll_seconds=target.poll_seconds),
            method_name="resume",
            timeout=self._limit,
        )
