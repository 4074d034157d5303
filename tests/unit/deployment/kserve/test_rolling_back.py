"""Going back by hand: to which version, in which steps, and when there is none."""

from __future__ import annotations

import pytest

from include.errors import NothingToGoBackTo, RolledBack
from tests.unit.deployment.kserve.cluster import Cluster
from tests.unit.deployment.kserve.conftest import Bench

BY_HAND = ("somebody", "it is worse")


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
