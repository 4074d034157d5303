"""Which candidate is fitted first: the one that customers get, which is most likely to be good again."""

from __future__ import annotations

from include.declaration.models import Pipeline
from include.settings import Settings
from include.tracking.quick import read_champion_candidate


def order_candidates(settings: Settings, pipeline: Pipeline) -> list[str]:
    """Names of the candidates: the champion's first, the others as they are declared. Raises TrackingUnavailable."""
    names = [candidate.name for candidate in pipeline.training.candidates]
    first = read_champion_candidate(settings, pipeline.name) if len(names) > 1 else None
    return sorted(names, key=lambda name: name != first)
