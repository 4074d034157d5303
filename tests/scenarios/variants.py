"""The scenarios' pipelines: the real flights, declared with the one difference that a scenario needs.

Nothing in the project knows their names; they go through the same steps as any user's pipeline.
"""

from __future__ import annotations

from typing import Any

from include.declaration import Candidate, LocalTarget, Pipeline, Sla
from include.pipelines.flight_delays.pipeline import PIPELINE as FLIGHTS

# Functions are named relative to a package; the variants use those of the flights.
_FUNCTIONS = "include.pipelines.flight_delays"


def declare_variant(name: str, offset: int, **blessing: Any) -> Pipeline:
    """The flights under another name, at another port, on small files, with other ``blessing`` rules.

    Only boosted trees are fitted: one candidate says the same about a gate as three.
    """
    return FLIGHTS.model_copy(
        update={
            "name": name,
            "package": _FUNCTIONS,
            "data": FLIGHTS.data.model_copy(
                update={"suite_parameters": {"min_rows": 1_000, "max_rows": 60_000}, "settle_seconds": 2.0}
            ),
            "training": FLIGHTS.training.model_copy(
                update={"candidates": (Candidate(name="boosted_trees", kind="boosted_trees"),)}
            ),
            "blessing": FLIGHTS.blessing.model_copy(update=blessing),
            "deployment": FLIGHTS.deployment.model_copy(update={"target": LocalTarget(port_offset=offset)}),
            "sla": Sla(train_model="1s") if name == "strict" else Sla(),
        }
    )


def declare_odd(variant: Pipeline, build: str) -> Pipeline:
    """``variant`` with one candidate of its own, made by the function ``build`` of ``tests.scenarios.odd_models``."""
    odd = Candidate(name="odd", kind="custom", function=f"candidates:{build}")
    training = variant.training.model_copy(update={"candidates": (odd,)})
    return variant.model_copy(update={"package": "tests.scenarios.odd_models", "training": training})
