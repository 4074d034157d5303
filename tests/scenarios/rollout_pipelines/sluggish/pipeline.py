"""Passes every gate, but beside its champion it never answers in time (S10): a deadline that nobody keeps."""

from __future__ import annotations

from include.declaration import Change, Rollout
from tests.scenarios.variants import declare_variant

_VARIANT = declare_variant("sluggish", 0, change=Change(metric="roc_auc", margin=0.5), slices=())
PIPELINE = _VARIANT.model_copy(
    update={
        "deployment": _VARIANT.deployment.model_copy(
            update={"rollout": Rollout(candidate_deadline_ms=0.001, termination_wait_in_seconds=60.0)}
        )
    }
)
