"""Asks each airport for a number that the evaluation does not give (S7: a slice that errored)."""

from __future__ import annotations

from include.declaration import Slice
from tests.scenarios.variants import declare_variant

PIPELINE = declare_variant("errored_slice", 10, slices=(Slice(column="origin", metric="expected_cost"),))
