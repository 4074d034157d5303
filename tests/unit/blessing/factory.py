"""Predictions files with known properties: days that share luck, two depots, a score of a chosen strength."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from include.blessing.bless import bless_candidate
from include.contracts import Blessing, GateReport, RuleFinding, TrainedModel, TrainingSet
from include.declaration import Pipeline
from include.metrics import measure_all

ROWS, DAYS = 3000, 30


def make_scored(strength: float = 1.2, seed: int = 1, noise_seed: int = 1) -> pd.DataFrame:
    """Rows of one month; ``strength`` is how much the score knows, ``noise_seed`` what it gets wrong."""
    random = np.random.default_rng(seed)
    day = np.sort(random.integers(1, DAYS + 1, ROWS))
    luck = random.normal(0, 0.6, DAYS + 1)[day]
    skill = random.normal(0, 1, ROWS)
    labels = (skill + luck + random.logistic(0, 1, ROWS) > 0.8).astype(float)
    noise = np.random.default_rng([seed, noise_seed]).normal(0, 0.4, ROWS)
    return pd.DataFrame(
        {
            "depot": random.choice(["north", "south"], ROWS),
            "hour": random.integers(5, 23, ROWS).astype(float),
            "label": labels,
            "event_day": [f"2013-03-{d:02d}" for d in day],
            "prediction": 1 / (1 + np.exp(-(strength * skill + noise - 0.7))),
        }
    )


def make_report(rows: int = ROWS, *findings: RuleFinding, **changes: Any) -> GateReport:
    fields: dict[str, Any] = {
        "pipeline": "parcels",
        "gate": "predictions",
        "subject": "2013-03",
        "verdict": "pass",
        "rows": rows,
        "rules_declared": 3,
        "rules_evaluated": 3,
        "rules_version": "v",
        "engine": "duckdb",
        "seconds": 0.1,
        "findings": findings,
    }
    return GateReport(**{**fields, **changes})


class Bench:
    """A candidate, a champion and a report that are all good; each test spoils one thing and blesses."""

    def __init__(self, pipeline: Pipeline, folder: Path) -> None:
        self.pipeline, self.folder = pipeline, folder
        self.candidate = make_scored()
        self.champion: pd.DataFrame | None = make_scored(noise_seed=2)
        self.report: GateReport | None = make_report()
        self.change_metrics: Callable[[dict[str, float]], Any] = lambda metrics: None
        self.holdout_rows = ROWS

    def bless(self) -> Blessing:
        frame = self.candidate
        metrics = measure_all(frame["label"].to_numpy(), frame["prediction"].to_numpy())
        self.change_metrics(metrics)
        frame.to_parquet(self.folder / "candidate.parquet")
        champion = None
        if self.champion is not None:
            champion = str(self.folder / "champion.parquet")
            self.champion.to_parquet(champion)
        training_set = TrainingSet(
            "parcels", "2013-03", "", "set", "window", 9000, self.holdout_rows, 0.4, 0.4, 0, "2013-03", 1.0
        )
        path = str(self.folder / "candidate.parquet")
        trained = TrainedModel("trees", "run", "models:/m-1", metrics, 1.0, 1.0, path)
        version = None if champion is None else "7"
        return bless_candidate(self.pipeline, training_set, trained, version, champion, self.report)
