"""GET /rollout: the rollout under way and what the candidates' requests came to, over all workers."""

from __future__ import annotations

from typing import Any

from include.serving.counters import CANDIDATE, DIFFERENCE
from include.serving.follow import Endpoint
from include.serving.totals import read_series


def describe_rollout(endpoint: Endpoint) -> dict[str, Any]:
    """The body of GET /rollout. ``candidates`` holds version → source → counts since the endpoint was started, for the
    versions that it still knows; sums of differences are in billionths. ``rollout_error`` is why a worker follows no
    order."""
    candidates: dict[str, dict[str, dict[str, Any]]] = {}
    for (name, *labels), cells in sorted(read_series(endpoint.board, CANDIDATE, DIFFERENCE).items()):
        if name == CANDIDATE.name:
            version, source, outcome = labels
            outcomes = candidates.setdefault(version, {}).setdefault(source, {}).setdefault("outcomes", {})
            if cells[0]:  # every outcome has its row from the start
                outcomes[outcome] = cells[0]
        elif name == DIFFERENCE.name:
            version, source = labels
            candidates.setdefault(version, {}).setdefault(source, {})["differences"] = cells[:3]
    told = ("slot", "rollout", "rollout_error")
    return {
        "rollout": endpoint.describe_rollout(),
        "workers": [{name: state[name] for name in told} for state in endpoint.board.read_states()],
        "candidates": candidates,
    }
