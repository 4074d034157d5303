"""Boosted trees, whose making hangs while the file ``hang`` is there and fails while ``fail`` is."""

from __future__ import annotations

import time
from typing import Any

from include.pipelines.flight_delays.pipeline import PIPELINE as FLIGHTS
from include.settings import load_settings


def build_trees(seed: int, threads: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    home = load_settings().home
    while (home / "hang").exists():
        time.sleep(0.1)
    if (home / "fail").exists():
        raise MemoryError("as if it had been too big")
    categories = [feature.name for feature in FLIGHTS.features if feature.kind == "category"]
    numbers = [feature.name for feature in FLIGHTS.features if feature.kind != "category"]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("category", encoder, categories), ("number", "passthrough", numbers)])
    return make_pipeline(columns, HistGradientBoostingClassifier(random_state=seed, early_stopping=False))
