"""Accurate, but its predictions break a business rule: nothing above 0.3 may be said (S8)."""

from __future__ import annotations

from tests.scenarios.variants import declare_variant

PIPELINE = declare_variant("nonsense", 5, predictions_suite="nonsense_predictions")
