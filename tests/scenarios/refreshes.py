"""Refreshes for the scenarios: real months of flights, and ways to spoil one."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from include.pipelines.flight_delays.landing import read_flights, write_month


@functools.cache
def _read_flights() -> pd.DataFrame:
    return read_flights()


@functools.cache
def _read_month(month: int) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        return pd.read_parquet(write_month(month, Path(folder), _read_flights()))


def make_month(month: int) -> pd.DataFrame:
    """A real month, as a copy that may be spoilt."""
    return _read_month(month).copy()


def shuffle_labels(frame: pd.DataFrame) -> pd.DataFrame:
    """Every rule still holds, but what happened to a flight is another flight's story."""
    order = np.random.default_rng(7).permutation(len(frame))
    for column in ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"):
        frame[column] = frame[column].to_numpy()[order]
    return frame


def spoil_distances(frame: pd.DataFrame, share: float) -> tuple[pd.DataFrame, int]:
    """A share of the rows gets an impossible distance; the frame and how many rows those are."""
    count = int(len(frame) * share)
    rows = np.linspace(0, len(frame) - 1, count).astype(int)
    frame.iloc[rows, frame.columns.get_loc("distance")] = 99_999
    return frame, len(set(rows))


def drop_carriers(frame: pd.DataFrame) -> pd.DataFrame:
    """Every fifth carrier is missing: a rule without tolerance stops that."""
    frame.loc[frame.index[::5], "carrier"] = None
    return frame
