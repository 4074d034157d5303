"""Boosted trees: with a compiled form, or as accurate and without one once the file ``slower`` is there."""

from __future__ import annotations

from typing import Any

from include.pipelines.flight_delays.pipeline import PIPELINE as FLIGHTS
from include.settings import load_settings


def build_trees(seed: int, threads: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder, QuantileTransformer

    categories = [feature.name for feature in FLIGHTS.features if feature.kind == "category"]
    numbers = [feature.name for feature in FLIGHTS.features if feature.kind != "category"]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    # Ranks instead of values: trees split both alike, but nothing compiles the step.
    slower = (load_settings().home / "slower").exists()
    kept = QuantileTransformer(random_state=seed) if slower else "passthrough"
    columns = ColumnTransformer([("category", encoder, categories), ("number", kept, numbers)])
    return make_pipeline(columns, HistGradientBoostingClassifier(random_state=seed, early_stopping=False))
