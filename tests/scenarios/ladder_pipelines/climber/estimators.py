"""Boosted trees, and what a file in the system's home makes go wrong on the lowest rung alone (S5, S6).

``hungry``: the worker has 200 MB left, and a gigabyte is asked for. ``hung``: it never ends. ``broken``: its code
fails. ``heavy``, on every rung: ten times the trees, so that the same rows take longer.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path
from typing import Any

from include.pipelines.flight_delays.pipeline import PIPELINE as FLIGHTS
from include.settings import load_settings


def _limit_memory() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 1024 * 1024, resource.RLIM_INFINITY))


def _go_wrong(home: Path) -> None:
    if os.environ.get("AIRFLOW_CTX_TASK_ID") != "fit_on_worker":
        return
    if (home / "hungry").exists():
        _limit_memory()
        bytearray(1024 * 1024 * 1024)
    if (home / "hung").exists():
        while True:
            time.sleep(0.1)
    if (home / "broken").exists():
        raise RuntimeError("a mistake in the pipeline's own code")


def build_trees(seed: int, threads: int) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    home = load_settings().home
    _go_wrong(home)
    categories = [feature.name for feature in FLIGHTS.features if feature.kind == "category"]
    numbers = [feature.name for feature in FLIGHTS.features if feature.kind != "category"]
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    columns = ColumnTransformer([("category", encoder, categories), ("number", "passthrough", numbers)])
    trees = 1000 if (home / "heavy").exists() else 100
    return make_pipeline(
        columns, HistGradientBoostingClassifier(random_state=seed, early_stopping=False, max_iter=trees)
    )
