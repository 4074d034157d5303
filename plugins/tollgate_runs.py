"""What tasks ask about DAG runs: did a person start it, and does it still work."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowRuntimeError

_log = logging.getLogger("tollgate.housekeeping")
# A run that was cleared is queued again before its first task starts.
_WORKING = ["queued", "running"]


def asked_by_hand(run: Any) -> bool:
    """Whether a person asked for this run: then what was done before is done again."""
    # Compared as it is: the text of Airflow's enumeration is "DagRunType.MANUAL", its value "manual".
    return bool(run.run_type in ("manual", "backfill"))


def flatten(pulled: Any) -> list[Any]:
    """What several tasks returned, each once or, of a mapped one, once for each index; what returned nothing is left
    out."""
    if pulled is None:
        return []
    if isinstance(pulled, dict):
        return [pulled]
    return [value for each in pulled for value in flatten(each)]


def is_alive(key: str) -> bool:
    """Whether the run of ``<dag_id>/<run_id>`` is queued or running; True when Airflow cannot be asked.

    Runs are counted instead of asking for one run's state, because the answer for a run that was deleted is then a
    plain 0, and not an error that looks like that of a server in trouble.
    """
    dag_id, _, run_id = key.partition("/")
    try:
        return bool(get_current_context()["ti"].get_dr_count(dag_id, run_ids=[run_id], states=_WORKING))
    except (AirflowRuntimeError, OSError, EOFError) as error:
        _log.warning("Airflow did not say whether %s still works, so it is left alone: %s", key, error)
        return True
