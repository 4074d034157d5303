"""A version's way to customers on KServe: what is asked of the cluster, and what each look makes of the answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from include.declaration import Rollout, TrafficRouting
from include.declaration.delivery import CapacitySize
from include.deployment.left import Left, note_left
from include.errors import RolledBack, TargetBusy, TargetRefused, VersionLeft
from tests.unit.deployment.kserve.cluster import Cluster
from tests.unit.deployment.kserve.conftest import Bench


def test_the_first_version_gets_everything_without_a_canary(bench: Bench, cluster: Cluster) -> None:
    progress = bench.open().deploy(bench.release("1"))
    assert (progress.state, progress.previous_version) == ("under_way", None)
    assert bench.follow("1", progress).place == "pvc://models/v/parcels/1"
    assert cluster.shares() == {"1": 100}
    assert cluster.writes() == ["POST"], "nothing else is asked of a service that is new"
    assert (bench.claim / "v" / "parcels" / "1" / "MLmodel").read_text() == "version: 1"


def test_a_canary_is_brought_up_without_requests_then_held_then_baked_then_promoted(
    bench: Bench, cluster: Cluster
) -> None:
    bench.serve("1")
    asked = len(cluster.bodies)
    progress = bench.serve("2")
    assert cluster.shares() == {"2": 100}
    percents = [body["spec"]["predictor"].get("canaryTrafficPercent") for body in cluster.bodies[asked:]]
    assert percents == [0, 10, 100, None]
    assert "canaryTrafficPercent" not in cluster.spec()
    reached = progress.facts["reached"]
    assert reached["100"] - reached["10"] >= 2, "the canary is held for its interval"
    assert bench.clock.now - reached["100"] >= 3, "and baked"


def test_no_request_reaches_a_revision_that_is_not_ready(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    cluster.broken["2"] = "the container starts"
    bench.open().deploy(bench.release("2"))
    for _ in range(4):
        bench.clock.now += 1
        assert bench.open().check("2").state == "under_way"
        assert cluster.shares() == {"1": 100}
    del cluster.broken["2"]
    bench.follow("2")


def test_linear_moves_by_its_step_and_all_at_once_only_bakes(
    make_bench: Callable[..., Bench], cluster: Cluster
) -> None:
    routing = TrafficRouting(type="LINEAR", linear_step_size=CapacitySize(value=40), wait_interval_in_seconds=0)
    bench = make_bench(rollout=Rollout(traffic_routing_configuration=routing, termination_wait_in_seconds=0))
    bench.serve("1")
    asked = len(cluster.bodies)
    bench.serve("2")
    percents = [body["spec"]["predictor"].get("canaryTrafficPercent") for body in cluster.bodies[asked:]]
    assert percents == [0, 40, 80, 100, None]


def test_a_status_of_before_the_change_is_no_success(bench: Bench, cluster: Cluster) -> None:
    """KServe still shows ready and its old observed generation: nothing has been taken up."""
    bench.serve("1")
    bench.open().deploy(bench.release("2"))
    cluster.reconcile("parcels")
    cluster.follow = False
    generation = cluster.services["parcels"]["status"]["observedGeneration"]
    cluster.services["parcels"]["status"]["observedGeneration"] = generation - 1
    bench.clock.now += 1
    assert "not taken up" in bench.open().check("2").detail
    assert cluster.spec()["canaryTrafficPercent"] == 0
    cluster.services["parcels"]["status"]["observedGeneration"] = generation
    bench.clock.now += 1
    bench.open().check("2")
    assert cluster.spec()["canaryTrafficPercent"] == 10


def test_one_change_at_a_time_and_an_abandoned_one_does_not_block_for_ever(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    cluster.broken["2"] = "starting"
    bench.open().deploy(bench.release("2"))
    with pytest.raises(TargetBusy, match="being changed to version 2; version 3 has to wait"):
        bench.open().deploy(bench.release("3"))
    bench.clock.now += 61
    bench.follow("3", bench.open().deploy(bench.release("3")))
    assert cluster.shares() == {"3": 100}
    with pytest.raises(RolledBack):
        bench.open().check("2")


def test_deploying_what_is_served_asks_for_nothing(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    writes = cluster.writes()
    assert bench.open().deploy(bench.release("1", by="another")).state == "live"
    assert cluster.writes() == writes


def test_a_version_that_was_left_is_not_deployed(bench: Bench, cluster: Cluster) -> None:
    note_left(bench.settings, "parcels", Left("1", "0", "somebody", "it is bad", "2026-01-01T00:00:00+00:00"))
    with pytest.raises(VersionLeft):
        bench.open().deploy(bench.release("1"))
    assert cluster.calls == []


def test_checking_what_was_never_asked_for_is_refused(bench: Bench) -> None:
    with pytest.raises(TargetRefused, match="does not exist"):
        bench.open().check("1")
    bench.serve("1")
    with pytest.raises(RolledBack, match="not asked for version 2"):
        bench.open().check("2")
