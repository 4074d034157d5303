"""The InferenceService itself: whose it is, what it says, how it is written to, and its end."""

from __future__ import annotations

import pytest

from include.errors import TargetRefused
from tests.unit.deployment.kserve.cluster import Cluster
from tests.unit.deployment.kserve.conftest import Bench


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


def test_a_service_that_the_ledger_has_forgotten_is_adopted(bench: Bench, cluster: Cluster) -> None:
    bench.serve("1")
    (bench.settings.records_root / "parcels" / "kserve" / "1.json").unlink()
    writes = cluster.writes()
    bench.clock.now = 86_400.0
    assert bench.open().deploy(bench.release("1")).state == "live"
    assert cluster.writes() == writes
    assert bench.open().status().since == "1970-01-02T00:00:00.000+00:00"


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
