"""One partition, of a minute that the test names, with data due ten seconds after it (S14)."""

from __future__ import annotations

import os

from include.declaration import (
    BlessingRules,
    Candidate,
    Data,
    Deployment,
    Label,
    Leakage,
    LocalTarget,
    Pipeline,
    Request,
    RequestColumn,
    Sla,
    Threshold,
    Training,
)
from include.scoring.expressions import Column, Feature

_MINUTE = os.environ["TOLLGATE_TEST_MINUTE"]
PIPELINE = Pipeline(
    name="fresh",
    owner=("owner@example.com",),
    description="Data that comes late",
    data=Data(
        columns={"day": "int", "x": "float", "late": "int"},
        partition_format="%Y-%m-%dT%H%M",
        schedule="* * * * *",
        first=_MINUTE,
        last=_MINUTE,
        suite="fresh_refresh",
    ),
    label=Label(function="functions:mark", definition="late", max_missing_share=0.0, base_rate=(0.1, 0.9)),
    request=Request(columns={"x": RequestColumn(type="number")}, assemble="functions:assemble"),
    leakage=Leakage(known_after=("late",)),
    features=(Feature("x", Column("x")),),
    training=Training(
        candidates=(Candidate(name="naive", kind="naive"),), day_columns=("day",), features_suite="fresh_features"
    ),
    # What is published is not served: this is about its coming.
    blessing=BlessingRules(value={"roc_auc": Threshold(minimum=0.99)}, predictions_suite="fresh_features"),
    deployment=Deployment(target=LocalTarget(port_offset=1)),
    sla=Sla(freshness="10s", data_refresh="15s"),
)
