"""The flights as they are, with a short time to settle: S0 to S4 and the champion of S7."""

from __future__ import annotations

from include.declaration import Candidate
from tests.scenarios.variants import declare_variant

_VARIANT = declare_variant("flights", 0)
# Two candidates, as one fit fans out otherwise; and the better one of each month is what a user would get.
_CANDIDATES = (Candidate(name="boosted_trees", kind="boosted_trees"), Candidate(name="linear", kind="linear"))
PIPELINE = _VARIANT.model_copy(update={"training": _VARIANT.training.model_copy(update={"candidates": _CANDIDATES})})
