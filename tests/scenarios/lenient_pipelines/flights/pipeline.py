"""The flights for systems of their own: whatever beats a coin is blessed, so each month that is trained is deployed."""

from __future__ import annotations

from include.declaration import Candidate, Change
from tests.scenarios.variants import declare_variant

_VARIANT = declare_variant("flights", 0, change=Change(metric="roc_auc", margin=0.5), slices=())
# Two candidates, so that a fit which is killed has a neighbour that is not.
_CANDIDATES = (Candidate(name="boosted_trees", kind="boosted_trees"), Candidate(name="linear", kind="linear"))
PIPELINE = _VARIANT.model_copy(update={"training": _VARIANT.training.model_copy(update={"candidates": _CANDIDATES})})
