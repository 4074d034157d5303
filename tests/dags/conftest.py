"""A throw-away Airflow configuration; set before anything imports Airflow."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make_airflow_environment(home: Path) -> dict[str, str]:
    """Environment of an Airflow that reads this project's DAGs and plugins and keeps its state in ``home``."""
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "only-for-these-tests-" + "0" * 40,
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        "PYTHONPATH": str(ROOT),
        "TOLLGATE_HOME": str(home / "tollgate"),
    }


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow")


@pytest.fixture(scope="session")
def dag_bag(airflow_home: Path) -> Any:
    """Every DAG of the project as the DAG processor loads it."""
    before = dict(os.environ)
    os.environ.update(make_airflow_environment(airflow_home))
    for path in (ROOT, ROOT / "plugins"):
        if str(path) not in sys.path:
            sys.path.insert(0, str(path))
    from airflow.dag_processing.dagbag import DagBag

    loaded = DagBag()
    # Restored at once: the tests of other folders run in this process and must not see this Airflow.
    os.environ.clear()
    os.environ.update(before)
    return loaded
