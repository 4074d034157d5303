"""Good on average, not good enough at one airport (S7: a slice with enough support)."""

from __future__ import annotations

from include.declaration import Slice
from tests.scenarios.variants import declare_variant

PIPELINE = declare_variant("weak_slice", 3, slices=(Slice(column="origin", minimum=0.95, min_rows=300),))
