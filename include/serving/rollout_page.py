"""GET /rollout: the rollout under way and what the candidates' requests came to, over all workers."""

from __future__ import annotations

from typing import Any

from include.serving.counters import CANDIDATE, DIFFERENCE, read_series
from include.serving.follow import Endpoint


def describe_rollout(endpoint: Endpoint) -> dict[str, Any]:
    """The body of GET /rollout. ``candidates`` holds version → source → counts since the endpoint was started; sums of
    differences are in billionths."""
    candidates: dict[str, dict[str, dict[str, Any]]] = {}
    for (name, *labels), cells in sorted(read_series(endpoint.board).items()):
        if name == CANDIDATE.name:
            version, source, outcome = labels
            candidates.setdefault(version, {}).setdefault(source, {}).setdefault("outcomes", {})[outcome] = cells[0]
        elif name == DIFFERENCE.name:
            version, source = labels
            candidates.setdefault(version, {}).setdefault(source, {})["differences"] = cells[:3]
    return {
        "rollout": endpoint.describe_rollout(),
        "workers": [{"slot": state["slot"], "rollout": state["rollout"]} for state in endpoint.board.read_states()],
        "candidates": candidates,
    }
