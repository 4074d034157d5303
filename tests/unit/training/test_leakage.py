"""The leakage probe refuses what a request may not know, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.declaration import Leakage, Pipeline
from include.errors import DeclarationError, LeakageFound
from include.training.leakage import probe_leakage
from tests.unit.factory import make_pipeline, make_rows
from tests.unit.toy.features import assemble_requests

_NONE: Mapping[str, pd.DataFrame] = {}
Assemble = Callable[[pd.DataFrame], pd.DataFrame]


def _probe(pipeline: Pipeline, assemble: Assemble, rows: pd.DataFrame | None = None) -> None:
    rows = make_rows() if rows is None else rows
    probe_leakage(pipeline, rows, assemble(rows), assemble)


def _honest(rows: pd.DataFrame) -> pd.DataFrame:
    return assemble_requests(rows, _NONE)


def _with(column: str, make: Callable[[pd.DataFrame], Any]) -> Assemble:
    def assemble(rows: pd.DataFrame) -> pd.DataFrame:
        return _honest(rows).assign(**{column: make(rows)})

    return assemble


def test_an_honest_assembly_passes(pipeline: Pipeline) -> None:
    _probe(pipeline, _honest)


@pytest.mark.parametrize(
    ("column", "leak"),
    [
        ("weight", lambda rows: rows["delay"] * 0.001 + rows["weight"]),
        ("weight", lambda rows: rows["delay"].isna().astype(float)),
        ("weight", lambda rows: rows.groupby("carrier")["delay"].transform("mean")),
        ("depot", lambda rows: np.where(rows["delay"] > 15, "north", "south")),
    ],
    ids=["its own value", "whether there is one", "a mean it is part of", "text made of it"],
)
def test_a_request_that_knows_its_own_outcome_is_refused(column: str, leak: Any, pipeline: Pipeline) -> None:
    with pytest.raises(LeakageFound, match=column) as caught:
        _probe(pipeline, _with(column, leak))
    assert caught.value.columns == (column,)


def test_the_outcome_of_other_rows_is_history_and_may_be_used(pipeline: Pipeline) -> None:
    """Each row sees the row before it; in six rows probed together every probe sees another probe's scramble."""
    assemble = _with("weight", lambda rows: rows["delay"].shift(1))
    _probe(pipeline, assemble, make_rows(rows=6))
    _probe(pipeline, assemble)


def test_the_probe_leaves_the_rows_as_they_were(pipeline: Pipeline) -> None:
    rows = make_rows()
    before = rows.copy(deep=True)
    _probe(pipeline, _honest, rows)
    pd.testing.assert_frame_equal(rows, before)


def test_whole_numbers_and_text_are_scrambled_too() -> None:
    """A column that cannot be empty gets another row's value instead."""
    pipeline = make_pipeline(leakage=Leakage(known_after=("signed_by", "stops"), probe_rows=5))
    rows = make_rows(rows=20).assign(signed_by=["Ann", "Bob"] * 10, stops=np.arange(20, dtype="int64"))
    for name, leak in (("depot", lambda r: r["signed_by"]), ("weight", lambda r: r["stops"].astype("float64"))):
        with pytest.raises(LeakageFound, match=name):
            _probe(pipeline, _with(name, leak), rows)


def test_a_misspelt_column_is_an_error_and_not_a_missing_protection() -> None:
    pipeline = make_pipeline(leakage=Leakage(known_after=("dealy",)))
    with pytest.raises(DeclarationError, match="dealy"):
        _probe(pipeline, _honest)
