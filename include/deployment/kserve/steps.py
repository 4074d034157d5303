"""How a declared rollout moves traffic on KServe: the percentages in turn, and how long each is held."""

from __future__ import annotations

from include.declaration.delivery import Rollout

# Everything to the candidate, with the revision before still named: what the bake is done at.
ALL = 100


def list_percents(rollout: Rollout) -> tuple[int, ...]:
    """The shares in percent that the candidate is given in turn, the last one all."""
    routing = rollout.traffic_routing_configuration
    if routing.type == "CANARY":
        return tuple(dict.fromkeys((routing.canary_size.value, ALL)))
    if routing.type == "LINEAR":
        step = routing.linear_step_size.value
        return (*range(step, ALL, step), ALL)
    return (ALL,)


def find_next(percents: tuple[int, ...], percent: int) -> int | None:
    """The share after ``percent``; None when all traffic has moved and the canary may go."""
    return next((share for share in percents if share > percent), None)


def find_wait(rollout: Rollout, percent: int) -> float:
    """Seconds for which a share is held: all of it for the bake, less for an interval."""
    if percent == ALL:
        return rollout.termination_wait_in_seconds
    return rollout.traffic_routing_configuration.wait_interval_in_seconds
