"""Asks for an accuracy that nobody reaches, and for a training within a second (S7: value; the SLA mail)."""

from __future__ import annotations

from include.declaration import Threshold
from tests.scenarios.variants import declare_variant

PIPELINE = declare_variant("strict", 1, value={"roc_auc": Threshold(minimum=0.99)})
