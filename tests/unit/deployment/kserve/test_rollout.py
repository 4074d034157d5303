"""A version's way to customers on KServe: what is asked of the cluster, and what each look makes of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from include.declaration import Rollout, TrafficRouting
from include.declaration.delivery import CapacitySize
from include.deployment.left import Left, note_left
from include.errors import NothingToGoBackTo, RolledBack, TargetBusy, TargetRefused, VersionLeft
from tests.unit.deployment.kserve.cluster import Cluster
from tests.unit.deployment.kserve.conftest import Bench

BY_HAND = ("somebody", "it is worse")


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
    bench.follow("3", bench.open().deploy(bench.release("3")))
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


def test_deploying_what_is_served_asks_for_nothing(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    writes = cluster.writes()
    assert bench.open().deploy(bench.release("1", by="another")).state == "live"
    assert cluster.writes() == writes


def test_rolling_back_by_hand_goes_to_the_version_before_and_then_one_further(bench: Bench, cluster: Cluster) -> None:
    for version in ("1", "2", "3"):
        bench.serve(version)
    progress = bench.open().roll_back(None, *BY_HAND)
    assert (progress.version, progress.previous_version) == ("2", "3")
    bench.follow("2", progress)
    assert cluster.shares() == {"2": 100}
    assert bench.open().roll_back(None, *BY_HAND).state == "live", "the same asker asks once"
    bench.follow("1", bench.open().roll_back(None, "somebody else", "worse still"))
    assert cluster.shares() == {"1": 100}
    with pytest.raises(NothingToGoBackTo):
        bench.open().roll_back(None, "a third", "why")


def test_rolling_back_names_a_version(bench: Bench, cluster: Cluster) -> None:
    for version in ("1", "2", "3"):
        bench.serve(version)
    asked = len(cluster.bodies)
    bench.follow("1", bench.open().roll_back("1", *BY_HAND))
    assert cluster.shares() == {"1": 100}
    percents = [body["spec"]["predictor"].get("canaryTrafficPercent") for body in cluster.bodies[asked:]]
    assert percents == [0, 100, None], "going back has no canary, and bakes"
    with pytest.raises(NothingToGoBackTo, match="served no version 7"):
        bench.open().roll_back("7", "another", "why")


def test_rolling_back_during_a_rollout_ends_it(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    bench.open().deploy(bench.release("2"))
    bench.reach("2", {"1": 90, "2": 10})
    progress = bench.open().roll_back(None, *BY_HAND)
    assert (progress.version, progress.state) == ("1", "under_way")
    bench.follow("1", progress)
    assert cluster.shares() == {"1": 100}
    with pytest.raises(RolledBack, match="rolled back by somebody: it is worse"):
        bench.open().check("2")


def test_nothing_to_go_back_to(bench: Bench) -> None:
    with pytest.raises(NothingToGoBackTo):
        bench.open().roll_back(None, *BY_HAND)
    bench.serve("1")
    with pytest.raises(NothingToGoBackTo):
        bench.open().roll_back(None, *BY_HAND)


def test_a_service_of_somebody_else_is_not_touched(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    cluster.services["parcels"]["metadata"]["labels"] = {}
    writes = cluster.writes()
    for ask in (lambda: bench.open().deploy(bench.release("2")), lambda: bench.open().retire()):
        with pytest.raises(TargetRefused, match="is not parcels's, but somebody else's"):
            ask()
    assert cluster.writes() == writes


def test_a_mode_without_canaries_is_refused(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    cluster.follow = False
    cluster.services["parcels"]["status"]["deploymentMode"] = "Standard"
    with pytest.raises(TargetRefused, match="mode Standard, which splits no traffic"):
        bench.open().deploy(bench.release("2"))


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


def test_status_says_what_is_told_and_what_is_served(bench: Bench, cluster: Cluster) -> None:
    assert bench.open().status().state == "no model deployed yet"
    assert bench.open().find_declared() is None
    bench.serve("1")
    status = bench.open().status()
    assert (status.state, status.declared_version, status.served_version, status.agree) == ("ready", "1", "1", True)
    assert status.url == "http://parcels.models.example.com"
    assert bench.open().find_declared() == "1"
    cluster.broken["2"] = "no memory"
    bench.open().deploy(bench.release("2"))
    cluster.reconcile("parcels")
    status = bench.open().status()
    assert (status.state, status.declared_version, status.served_version, status.agree) == ("broken", "2", "1", False)
    assert "no memory" in str(status.problem)


def test_status_of_a_cluster_that_does_not_answer_is_said_not_raised(bench: Bench, cluster: Cluster) -> None:
    cluster.before_answer = lambda number, method: 500
    status = bench.open().status()
    assert (status.state, status.agree) == ("down", False)
    assert bench.open().find_declared() is None


def test_retiring_removes_the_service_and_leaves_the_files(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    bench.open().retire()
    bench.open().retire()
    assert cluster.services == {}
    assert cluster.writes().count("DELETE") == 1
    assert (bench.claim / "v" / "parcels" / "1").is_dir()
    bench.follow("1", bench.open().deploy(bench.release("1", by="again")))


def test_what_others_noted_on_the_service_stays(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    cluster.services["parcels"]["metadata"]["annotations"]["team"] = "parcels"
    bench.serve("2")
    assert cluster.services["parcels"]["metadata"]["annotations"]["team"] == "parcels"


def test_every_write_says_who_makes_it_and_asks_for_strict_validation(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    bench.serve("2")
    asked = [query for (method, _), query in zip(cluster.calls, cluster.queries, strict=True) if method != "GET"]
    assert len(asked) == 5
    assert all(query["fieldManager"] == ["tollgate"] and query["fieldValidation"] == ["Strict"] for query in asked)


def _break(cluster: Cluster, message: str) -> None:
    """The latest revision was ready and is not any more."""
    told: dict[str, Any] = {"status": "False", "reason": "RevisionFailed", "message": message}
    cluster.services["parcels"]["status"]["conditions"] = [{"type": "PredictorReady", **told}]
    cluster.touch("parcels")
