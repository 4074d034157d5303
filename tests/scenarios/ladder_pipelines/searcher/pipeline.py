"""The flights with a candidate whose parameters are searched for, declared after one that never wins; no ladder."""

from __future__ import annotations

from include.declaration import Candidate, Change, FloatRange, IntRange, Search, Sla
from tests.scenarios.variants import declare_variant

_VARIANT = declare_variant("searcher", 1, change=Change(metric="roc_auc", margin=0.5), slices=())
_SEARCH = Search(
    method="bayesian",
    trials=4,
    at_once=2,
    space={
        "learning_rate": FloatRange(low=0.02, high=0.4, log=True),
        "max_iter": IntRange(low=10, high=50, step=10),
    },
)
PIPELINE = _VARIANT.model_copy(
    update={
        "sla": Sla(train_model="10m"),
        "training": _VARIANT.training.model_copy(
            update={
                "candidates": (
                    Candidate(name="naive", kind="naive"),
                    Candidate(name="trees", kind="boosted_trees", search=_SEARCH),
                )
            }
        ),
    }
)
