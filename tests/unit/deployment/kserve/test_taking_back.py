"""A version that KServe does not serve as asked is taken back, says why, and blocks nobody for ever."""

from __future__ import annotations

from typing import Any

import pytest

from include.deployment.kserve.changes import find_leaving
from include.errors import RolledBack, TargetBusy
from tests.unit.deployment.kserve.cluster import Cluster
from tests.unit.deployment.kserve.conftest import Bench


def test_a_canary_that_fails_is_taken_back_and_the_service_names_the_version_before_again(
    bench: Bench, cluster: Cluster
) -> None:
    bench.serve("1")
    bench.open().deploy(bench.release("2"))
    bench.reach("2", {"1": 90, "2": 10})
    _break(cluster, "Revision failed with message: OOMKilled")
    cluster.follow = False
    assert "OOMKilled" in bench.open().check("2").detail
    cluster.follow = True
    cluster.reconcile("parcels")
    assert cluster.shares() == {"1": 100}, "the first step of taking back gives all requests to the version before"
    with pytest.raises(RolledBack, match="OOMKilled") as raised:
        bench.follow("2")
    assert (raised.value.champion, raised.value.stage) == ("1", "10 %")
    assert cluster.shares() == {"1": 100}
    assert cluster.spec()["labels"]["tollgate/version"] == "1"
    assert "canaryTrafficPercent" not in cluster.spec()
    with pytest.raises(RolledBack, match="OOMKilled"):
        bench.open().check("2")


def test_one_that_fails_in_the_bake_is_taken_back_too(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    bench.open().deploy(bench.release("2"))
    bench.reach("2", {"2": 100})
    _break(cluster, "crashed in the bake")
    cluster.follow = False
    bench.open().check("2")
    cluster.follow = True
    with pytest.raises(RolledBack, match=r"\(bake\).*crashed in the bake"):
        bench.follow("2")
    assert cluster.shares() == {"1": 100}


def test_one_that_never_gets_ready_ends_with_what_kserve_says_of_it(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    cluster.broken["2"] = "Unable to fetch image: not found"
    bench.open().deploy(bench.release("2"))
    with pytest.raises(RolledBack, match="Unable to fetch image: not found"):
        bench.follow("2")
    assert cluster.shares() == {"1": 100}


def test_one_that_is_unknown_for_ever_ends_when_its_time_is_over(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    bench.open().deploy(bench.release("2"))
    cluster.reconcile("parcels")
    cluster.follow = False
    status = cluster.services["parcels"]["status"]
    status["components"]["predictor"]["latestReadyRevision"] = "parcels-predictor-00001"
    status["conditions"] = [
        {"type": "PredictorReady", "status": "Unknown", "reason": "Deploying", "message": "waiting for a node"}
    ]
    bench.clock.now += 59
    assert "waiting for a node" in bench.open().check("2").detail
    bench.clock.now += 2
    assert "not over after 60 s" in bench.open().check("2").detail
    cluster.follow = True
    with pytest.raises(RolledBack, match=r"not over after 60 s.*waiting for a node"):
        bench.follow("2")


def test_a_first_version_that_fails_is_withdrawn(bench: Bench, cluster: Cluster) -> None:
    cluster.broken["1"] = "no such file"
    bench.open().deploy(bench.release("1"))
    with pytest.raises(RolledBack, match=r"no such file.*Nothing is served"):
        bench.follow("1")
    assert cluster.services == {}
    del cluster.broken["1"]
    bench.follow("1", bench.open().deploy(bench.release("1", by="again")))


@pytest.mark.parametrize("moment", ["bake", "promotion", "live"])
def test_a_silent_return_to_the_revision_before_is_red(bench: Bench, cluster: Cluster, moment: str) -> None:
    """Ready is True all the time, and what was asked for stands in the spec: only the revisions tell."""
    bench.serve("1")
    bench.open().deploy(bench.release("2"))
    bench.reach("2", {"2": 100})
    if moment != "bake":
        while "canaryTrafficPercent" in cluster.spec():
            bench.clock.now += 1
            bench.open().check("2")
    if moment == "bake":
        bench.open().check("2")
    if moment == "live":
        bench.follow("2")
    cluster.follow = False
    component = cluster.services["parcels"]["status"]["components"]["predictor"]
    component["traffic"] = [{"revisionName": "parcels-predictor-00001", "latestRevision": False, "percent": 100}]
    if moment == "live":
        with pytest.raises(RolledBack, match=r"no request any more. Version 1 gets the requests"):
            bench.open().check("2")
        assert not bench.open().status().agree
        return
    assert "0 % of the requests" in bench.open().check("2").detail
    cluster.follow = True
    with pytest.raises(RolledBack, match="0 % of the requests"):
        bench.follow("2")


def test_a_version_that_somebody_else_replaced_is_red(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    bench.serve("2")
    cluster.spec()["labels"] |= {"tollgate/version": "9", "tollgate/release": "9-0"}
    with pytest.raises(RolledBack, match="names version 9, and not by this rollout"):
        bench.open().check("2")


def test_an_abandoned_taking_back_does_not_block_nor_come_back(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    cluster.broken["2"] = "broken"
    bench.open().deploy(bench.release("2"))
    detail = ""
    while "is being taken back" not in detail:
        bench.clock.now += 1
        detail = bench.open().check("2").detail
    with pytest.raises(TargetBusy, match="giving version 2 up"):
        bench.open().deploy(bench.release("3"))
    bench.clock.now += 61
    progress = bench.open().deploy(bench.release("3"))
    assert find_leaving(bench.settings, "parcels") is None, "nobody goes on with it"
    bench.follow("3", progress)
    assert cluster.shares() == {"3": 100}


def test_a_version_that_was_given_up_gets_nothing_while_the_next_is_brought_up(bench: Bench, cluster: Cluster) -> None:
    """It is still the latest ready revision: any share for the next one would be its share until that is ready."""
    bench.serve("1")
    bench.open().deploy(bench.release("2"))
    bench.reach("2", {"1": 90, "2": 10})
    _break(cluster, "it answers nonsense")
    cluster.follow = False
    bench.open().check("2")
    cluster.follow = True
    bench.clock.now += 61
    cluster.broken["3"] = "starting"
    bench.open().deploy(bench.release("3"))
    for _ in range(3):
        bench.clock.now += 1
        bench.open().check("3")
        assert cluster.shares() == {"1": 100}
    del cluster.broken["3"]
    bench.follow("3")


def test_a_run_that_was_taken_back_does_not_ask_again(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    cluster.broken["2"] = "broken"
    bench.open().deploy(bench.release("2"))
    with pytest.raises(RolledBack):
        bench.follow("2")
    del cluster.broken["2"]
    with pytest.raises(RolledBack):
        bench.open().deploy(bench.release("2"))
    bench.follow("2", bench.open().deploy(bench.release("2", by="another run")))


def _break(cluster: Cluster, message: str) -> None:
    """The latest revision was ready and is not any more."""
    told: dict[str, Any] = {"status": "False", "reason": "RevisionFailed", "message": message}
    cluster.services["parcels"]["status"]["conditions"] = [{"type": "PredictorReady", **told}]
    cluster.touch("parcels")
