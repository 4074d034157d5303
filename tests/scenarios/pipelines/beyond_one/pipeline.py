"""Good enough on average, but some answers are below 0 and above 1 (S8), and so its log loss is NaN (S7)."""

from __future__ import annotations

from include.declaration import Threshold
from tests.scenarios.variants import declare_odd, declare_variant

_VALUE = {"roc_auc": Threshold(minimum=0.6), "log_loss": Threshold(maximum=0.69)}
PIPELINE = declare_odd(declare_variant("beyond_one", 11, value=_VALUE, slices=()), "build_overshooting")
