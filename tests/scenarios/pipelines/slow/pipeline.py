"""The flights with an estimator of their own, which somebody changes to a slower one after the first month (S9)."""

from __future__ import annotations

from include.declaration import Candidate, Change
from tests.scenarios.variants import declare_variant

_VARIANT = declare_variant("slow", 12, change=Change(metric="roc_auc", margin=0.5), slices=())
_CANDIDATE = Candidate(name="trees", kind="custom", function="estimators:build_trees")
PIPELINE = _VARIANT.model_copy(
    update={"package": "", "training": _VARIANT.training.model_copy(update={"candidates": (_CANDIDATE,)})}
)
