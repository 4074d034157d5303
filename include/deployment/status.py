"""What an endpoint should serve, what it serves, since when and why; the same for every target."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from include.pointer import Pointer


@dataclass(frozen=True)
class EndpointStatus:
    """``state``: "ready", "starting", "no model deployed yet", "withdrawn" or "broken" as the endpoint says, or "down".

    ``declared_version`` is the pointer's; ``served_version`` the endpoint's own answer; ``agree`` whether they are the
    same. ``since``, ``by`` and ``reason`` are of the pointer's swap; ``problem`` says what is wrong, if anything.
    ``rollout`` is what the endpoint says of a candidate beside it, if there is one. ``scoring_path`` is what computes
    the answers, and ``scoring_note`` why nothing faster does. ``rules`` says of each prediction rule what it allows and
    how many answers of the served version it changed or refused; ``capture`` what is kept of requests and answers;
    ``notes`` are sentences of a target that has no such things.
    """

    pipeline: str
    url: str
    state: str
    declared_version: str | None
    served_version: str | None
    agree: bool
    partition: str | None = None
    since: str | None = None
    by: str | None = None
    reason: str | None = None
    previous_version: str | None = None
    started_at: str | None = None
    pid: int | None = None
    problem: str | None = None
    scoring_path: str | None = None
    scoring_note: str | None = None
    rules: tuple[str, ...] = ()
    capture: str | None = None
    rollout: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()

    def explain(self, pointer: Pointer | None) -> EndpointStatus:
        """The same with what ``pointer`` says of its swap; as it is without one."""
        if pointer is None:
            return self
        return replace(
            self,
            partition=pointer.partition,
            since=pointer.swapped_at,
            by=pointer.by,
            reason=pointer.reason,
            previous_version=pointer.previous.version if pointer.previous else None,
        )
