"""Requires a slice that the holdout does not have (S7: a required slice is missing)."""

from __future__ import annotations

from include.declaration import Slice
from tests.scenarios.variants import declare_variant

PIPELINE = declare_variant("lost_slice", 4, slices=(Slice(column="origin", minimum=0.5, required=("BOS",)),))
