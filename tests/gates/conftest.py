"""The real February of 2013, thinned out once and shared: every rule is tried on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from include.contracts import GateReport, Refresh
from include.declaration import Pipeline
from include.declaration.loader import get_pipeline
from include.gates.gate import run_frame_gate, run_refresh_gate
from include.pipelines.flight_delays.landing import read_flights
from include.settings import Settings, load_settings
from include.training.assembly import assemble
from include.training.dataset import dump_features
from include.training.references import load_references, write_tables

PARTITION = "2013-02"
SAMPLE = 3000
Judge = Callable[[pd.DataFrame], GateReport]


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The project's own suites and pipelines, with state in a temporary folder."""
    return load_settings({"TOLLGATE_HOME": str(tmp_path_factory.mktemp("home")), "TOLLGATE_CORES": "1"})


@pytest.fixture(scope="session")
def declared(settings: Settings) -> Pipeline:
    """``flight_delays`` as declared."""
    return get_pipeline(settings, "flight_delays")


@pytest.fixture(scope="session")
def pipeline(declared: Pipeline) -> Pipeline:
    """``flight_delays`` for a thinned month; quarantine is no limit here, so that only rules are seen."""
    data = declared.data
    changes = {
        "suite_parameters": {"min_rows": SAMPLE - 300, "max_rows": SAMPLE + 300},
        "quarantine": data.quarantine.model_copy(update={"max_share": 1.0}),
    }
    return declared.model_copy(update={"data": data.model_copy(update=changes)})


@pytest.fixture(scope="session")
def month() -> pd.DataFrame:
    """All flights of February 2013 as they land, defects and all."""
    flights = read_flights()
    return flights[flights["month"] == 2].reset_index(drop=True)


@pytest.fixture(scope="session")
def good_refresh(month: pd.DataFrame) -> pd.DataFrame:
    """3000 of the month's flights, spread over its days, at least one of them cancelled."""
    return month.sample(SAMPLE, random_state=1).sort_index().reset_index(drop=True)


@pytest.fixture(scope="session")
def month_features(declared: Pipeline, month: pd.DataFrame) -> pd.DataFrame:
    """The declared features of the whole month, made by the training's own code."""
    from include.scoring.row_features import RowFeatures

    references = load_references(declared)
    tables = write_tables(declared, references).decode()
    return RowFeatures(dump_features(declared), tables).transform(assemble(declared, month, references))


@pytest.fixture(scope="session")
def good_features(month_features: pd.DataFrame) -> pd.DataFrame:
    """Features of 2000 flights."""
    return month_features.sample(2000, random_state=1).reset_index(drop=True)


@pytest.fixture(scope="session")
def good_predictions() -> pd.DataFrame:
    """500 believable predictions with their labels."""
    random = np.random.default_rng(1)
    predictions = random.beta(2, 6, 500)
    return pd.DataFrame({"label": random.binomial(1, predictions).astype(float), "prediction": predictions})


@pytest.fixture
def judge_refresh(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> Judge:
    """The refresh gate over a frame."""

    def judge(frame: pd.DataFrame) -> GateReport:
        path = tmp_path / "refresh.parquet"
        frame.to_parquet(path, index=False)
        refresh = Refresh("flight_delays", PARTITION, "a" * 64, str(path), "parquet", path.stat().st_size, "test")
        return run_refresh_gate(settings, pipeline, refresh)

    return judge


def _judge_frame(settings: Settings, pipeline: Pipeline, gate: str, suite: str, folder: Path) -> Judge:
    def judge(frame: pd.DataFrame) -> GateReport:
        path = folder / f"{gate}.parquet"
        frame.to_parquet(path, index=False)
        return run_frame_gate(settings, pipeline, gate, suite, {}, str(path), PARTITION)  # type: ignore[arg-type]

    return judge


@pytest.fixture
def judge_features(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> Judge:
    """The feature gate over a frame."""
    return _judge_frame(settings, pipeline, "features", pipeline.training.features_suite, tmp_path)


@pytest.fixture
def judge_predictions(settings: Settings, pipeline: Pipeline, tmp_path: Path) -> Judge:
    """The gate of business rules over a frame."""
    return _judge_frame(settings, pipeline, "predictions", pipeline.blessing.predictions_suite, tmp_path)
