"""What the first task of a refresh makes of a file that changed after it was noticed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.contracts import Arrival, pack

PIPELINE = "flight_delays"


def test_a_file_that_changed_is_left_to_its_own_run_instead_of_being_looked_for_in_vain(
    dag_bag: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.exceptions import AirflowSkipException

    monkeypatch.setenv("TOLLGATE_HOME", str(tmp_path))
    path = tmp_path / "landing" / PIPELINE / "2013-05.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"rewritten")
    noticed = Arrival(PIPELINE, "2013-05", str(path), 3, 1, 1)
    body = dag_bag.dags[f"{PIPELINE}.data_refresh"].task_dict["refresh_partition.take_in_arrival"].python_callable
    instance = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", try_number=1, map_index=0)
    context = {"ti": instance, "dag_run": SimpleNamespace(run_type="asset_triggered")}
    monkeypatch.setitem(body.__globals__, "get_current_context", lambda: context)
    with pytest.raises(AirflowSkipException, match=r"changed after it was noticed\. Nothing to do"):
        body(pack(noticed))
