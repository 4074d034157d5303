"""Declares a threshold for a number that the evaluation does not give (S7: a missing number never passes)."""

from __future__ import annotations

from include.declaration import Threshold
from tests.scenarios.variants import declare_variant

PIPELINE = declare_variant("missing_metric", 2, value={"expected_cost": Threshold(maximum=1.0)})
