"""Parsing the DAGs costs what parsing Airflow costs: nothing heavy is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.dags.conftest import make_airflow_environment

HEAVY = (
    "pandas",
    "numpy",
    "sklearn",
    "mlflow",
    "great_expectations",
    "duckdb",
    "scipy",
    "matplotlib",
    "sagemaker",
    "optuna",
)
_LOAD = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag()
print("RESULT" + json.dumps({
    "dags": sorted(bag.dags), "errors": {k: str(v) for k, v in bag.import_errors.items()},
    "heavy": [name for name in %r if name in sys.modules],
}))
"""


def _load_dags(home: Path, **extra: str) -> dict[str, object]:
    environment = {**os.environ, **make_airflow_environment(home), **extra}
    done = subprocess.run(
        [sys.executable, "-c", _LOAD % (HEAVY,)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    found: dict[str, object] = json.loads(line.removeprefix("RESULT"))
    return found


def test_loading_every_dag_imports_nothing_heavy(tmp_path: Path) -> None:
    loaded = _load_dags(tmp_path)
    assert loaded["errors"] == {}
    assert {"flight_delays.train_model", "tollgate.housekeeping"} <= set(loaded["dags"])  # type: ignore[call-overload]
    assert loaded["heavy"] == []


def test_a_broken_declaration_is_an_import_error_of_its_own_and_the_others_run(tmp_path: Path) -> None:
    pipelines = tmp_path / "pipelines"
    for name in ("good_one", "broken_one"):
        folder = pipelines / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
        declaration = (
            "from include.pipelines.flight_delays.pipeline import PIPELINE as FLIGHTS\n"
            f"PIPELINE = FLIGHTS.model_copy(update={{'name': '{name}'}})\n"
        )
        if name == "broken_one":
            declaration += "from include.declaration import Data\nData(colums={}, first='2013-01', suite='x')\n"
        (folder / "pipeline.py").write_text(declaration)
    loaded = _load_dags(tmp_path, TOLLGATE_PIPELINES=str(pipelines))
    own = [f"good_one.{stage}" for stage in ("data_refresh", "deploy_model", "rollback", "train_model")]
    assert loaded["dags"] == [*own, "tollgate.housekeeping"]
    errors = loaded["errors"]
    assert isinstance(errors, dict)
    assert [Path(path).name for path in errors] == ["declarations.py"]
    message = next(iter(errors.values()))
    assert "broken_one" in message
    assert "Did you mean 'columns'?" in message
