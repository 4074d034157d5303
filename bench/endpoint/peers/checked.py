"""What a careful author writes around a scikit-learn model for FastAPI or BentoML: typed bodies, a checked frame.

As strict as Tollgate's endpoint about columns, nulls in required ones and types, by pydantic and pandas; but for a text
that spells a number, which pandas converts.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict

from include.scoring.scorer import load_scorer


class Split(BaseModel):
    """A data frame in the shape that pandas calls split."""

    model_config = ConfigDict(extra="forbid")
    columns: list[str]
    data: list[list[float | str | None]]


class Body(BaseModel):
    """A request."""

    model_config = ConfigDict(extra="forbid")
    dataframe_split: Split


class CheckedModel:
    """The model in the folder that MODEL_DIR names."""

    def __init__(self) -> None:
        folder = Path(os.environ["MODEL_DIR"])
        self._scorer = load_scorer(folder)
        self._request: dict[str, dict[str, Any]] = yaml.safe_load((folder / "MLmodel").read_text())["metadata"][
            "tollgate"
        ]["request"]
        self._required = [name for name, facts in self._request.items() if facts["required"]]
        self._types = {n: "float64" if facts["type"] == "number" else "object" for n, facts in self._request.items()}
        self._texts = [name for name, facts in self._request.items() if facts["type"] != "number"]

    def score(self, split: Split) -> list[float]:
        """One probability a row. Raises ValueError for a request that does not fit."""
        return list(self._scorer.predict(self._read(split)).tolist())

    def _read(self, split: Split) -> pd.DataFrame:
        frame = pd.DataFrame(split.data, columns=split.columns, dtype=object)
        unknown = frame.columns.difference(list(self._request))
        missing = [name for name in self._required if name not in frame.columns]
        if len(unknown) or missing or frame.columns.has_duplicates or frame.empty:
            raise ValueError(f"the columns do not fit: unknown {list(unknown)}, missing {missing}")
        if frame[self._required].isna().to_numpy().any():
            raise ValueError("a required column is null")
        for name in self._texts:
            if name in frame and not all(value is None or isinstance(value, str) for value in frame[name]):
                raise ValueError(f"{name} is not text")
        return frame.astype({name: self._types[name] for name in frame.columns})
