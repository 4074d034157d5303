"""The same answer for everybody, with thresholds that would let it through (S8: constant output)."""

from __future__ import annotations

from include.declaration import Candidate, Threshold
from tests.scenarios.variants import declare_variant

_VARIANT = declare_variant("constant", 6, value={"brier": Threshold(maximum=0.25)}, slices=())
PIPELINE = _VARIANT.model_copy(
    update={"training": _VARIANT.training.model_copy(update={"candidates": (Candidate(name="naive", kind="naive"),)})}
)
