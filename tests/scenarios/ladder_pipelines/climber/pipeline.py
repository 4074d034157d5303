"""The flights with a ladder of two rungs: this worker, and a dearer one that is said to be ten times as fast."""

from __future__ import annotations

from include.declaration import Candidate, Change, Ladder, Rung, Sla
from tests.scenarios.variants import declare_variant

_VARIANT = declare_variant("climber", 0, change=Change(metric="roc_auc", margin=0.5), slices=())
_LADDER = Ladder(
    rungs=(
        # What hangs is stopped soon.
        Rung(name="worker", max_minutes=0.25),
        Rung(
            name="big",
            kind="queue",
            pool="default_pool",
            speeds_up=("rows", "memory"),
            speed=10.0,
            memory_mb=64_000,
            cost_per_hour=36.0,
        ),
    ),
    budget_per_month=100.0,
)
PIPELINE = _VARIANT.model_copy(
    update={
        "package": "",
        "sla": Sla(train_model="10m"),
        "training": _VARIANT.training.model_copy(
            update={
                "candidates": (Candidate(name="trees", kind="custom", function="estimators:build_trees"),),
                "ladder": _LADDER,
            }
        ),
    }
)
