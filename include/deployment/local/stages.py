"""The stages of a rollout, as its declaration asks for them: what share of the requests, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

from include.declaration.delivery import Rollout


@dataclass(frozen=True)
class Stage:
    """One stage; ``seconds`` is the least that it takes."""

    name: str
    share_percent: float
    seconds: float


def plan_stages(rollout: Rollout) -> list[Stage]:
    """The stages in their order; the last is the bake, with all requests."""
    routing = rollout.traffic_routing_configuration
    shares: list[int] = []
    if routing.type == "CANARY":
        shares = [routing.canary_size.value]
    elif routing.type == "LINEAR":
        step = routing.linear_step_size.value
        shares = list(range(step, 100, step))
    stages = [Stage(routing.type.lower(), share, routing.wait_interval_in_seconds) for share in shares if share < 100]
    return [*stages, Stage("bake", 100, rollout.termination_wait_in_seconds)]
