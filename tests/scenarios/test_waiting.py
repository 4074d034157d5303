"""A run by hand for a partition that is not there yet: it waits in the triggerer and goes on when the file lands."""

from __future__ import annotations

from tests.scenarios.refreshes import make_month
from tests.scenarios.system import RunningSystem

# Nothing is trained here: columns that are not declared stop the refresh at its gate, so it costs no other scenario.
PIPELINE = "weak_slice"
DAG = f"{PIPELINE}.data_refresh"


def test_a_run_by_hand_waits_without_a_worker_for_a_file_and_goes_on_with_it(system: RunningSystem) -> None:
    waiting = {
        "2013-05": system.api.trigger(DAG, partition_key="2013-05"),
        "2013-06": system.api.trigger(DAG, conf={"partition": "2013-06"}),
    }
    for run_id in waiting.values():
        system.wait_for(
            lambda run_id=run_id: system.api.list_states(DAG, run_id)["find_arrivals"] == "deferred" or None,  # type: ignore[misc]
            120,
            f"{run_id} to wait in the triggerer",
        )
    pool = system.api.call("GET", "/pools/default_pool")
    assert (pool["deferred_slots"], pool["include_deferred"]) == (2, False), "a wait holds no worker slot"
    for partition in waiting:
        system.land(PIPELINE, partition, make_month(int(partition[-2:])).rename(columns={"carrier": "airline"}))
    for partition, run_id in waiting.items():
        run = system.api.wait_run(DAG, run_id)
        states = system.task_states(run)
        assert states["find_arrivals"] == "success"
        assert states["refresh_partition.take_in_arrival[0]"] == "success"
        assert states["refresh_partition.gate_refresh[0]"] == "failed"
        assert "airline" in system.task_log(run, "refresh_partition.gate_refresh", map_index=0)
        verdict = system.wait_for_record(PIPELINE, "refresh", lambda record: record["partition"] == partition)  # noqa: B023
        assert verdict["status"] == "blocked"
