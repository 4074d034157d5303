"""Passes every gate, but its image answers 500 from version 2 on, where customers are (S10, S18); by AWS's default
chain of credentials."""

from __future__ import annotations

from tests.scenarios.sagemaker_variants import declare_hosted

PIPELINE = declare_hosted("late", "late:1", None)
