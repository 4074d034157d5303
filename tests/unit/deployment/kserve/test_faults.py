"""Whatever happens to a call, or to the process between two calls, the rollout ends right and nothing is made twice."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from include.declaration import Rollout, TrafficRouting
from include.deployment.kserve import changes, steering
from include.deployment.kserve.lock import hold_service
from include.errors import RolledBack, TargetBusy, TargetRefused, TargetUnavailable, TollgateError
from include.settings import Settings
from tests.unit.deployment.kserve.cluster import Cluster, Killed
from tests.unit.deployment.kserve.conftest import Bench

QUICK = Rollout(
    traffic_routing_configuration=TrafficRouting(type="CANARY", wait_interval_in_seconds=0),
    termination_wait_in_seconds=0,
    maximum_execution_timeout_in_seconds=60,
)


def try_until_live(bench: Bench, version: str) -> int:
    """As Airflow does it: a transient error, or a kill, has the task begin again. Returns how many there were."""
    troubles, progress = 0, None
    for _ in range(60):
        bench.clock.now += 0.1
        try:
            target = bench.open()
            progress = target.deploy(bench.release(version)) if progress is None else target.check(version)
        except TollgateError as error:
            assert error.retryable, error
            troubles, progress = troubles + 1, None
        except Killed:
            troubles, progress = troubles + 1, None
        if progress is not None and progress.state == "live":
            return troubles
    raise AssertionError(f"not live: {progress}")


def assert_ended_right(cluster: Cluster, revisions: int) -> None:
    assert cluster.shares() == {"2": 100}
    assert "canaryTrafficPercent" not in cluster.spec()
    assert len(cluster.revisions) == revisions, "a revision was made twice"
    assert len(cluster.services) == 1


def renew(bench: Bench, cluster: Cluster) -> None:
    """The double and the ledger as they were at first."""
    cluster.__init__()  # type: ignore[misc]
    folder = bench.settings.records_root / "parcels" / "kserve"
    for record in folder.glob("*.json") if folder.is_dir() else ():
        record.unlink()


def count_calls(bench: Bench, cluster: Cluster) -> int:
    """How many calls the undisturbed way to version 2 takes, from version 1 on."""
    try_until_live(bench, "1")
    before = len(cluster.calls)
    try_until_live(bench, "2")
    assert_ended_right(cluster, revisions=2)
    return len(cluster.calls) - before


def _cut() -> int:
    raise ConnectionAbortedError


FAULTS: dict[str, Callable[[], int]] = {"500": lambda: 500, "cut": _cut}


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before it was taken", "after it was taken"])
@pytest.mark.parametrize("fault", list(FAULTS))
def test_a_fault_at_each_call_in_turn(
    make_bench: Callable[..., Bench], cluster: Cluster, fault: str, moment: str
) -> None:
    bench = make_bench(rollout=QUICK)
    calls = count_calls(bench, cluster)
    for hit in range(1, calls + 1):
        renew(bench, cluster)
        try_until_live(bench, "1")
        at = len(cluster.calls) + hit

        def fail(number: int, _method: str, at: int = at) -> int | None:
            return FAULTS[fault]() if number == at else None

        if moment == "before it was taken":
            cluster.before_answer = fail
        else:
            cluster.after_change = fail
        assert try_until_live(bench, "2") == 1, f"call {hit}"
        assert_ended_right(cluster, revisions=2)


def test_a_fault_at_each_call_of_a_first_deployment(make_bench: Callable[..., Bench], cluster: Cluster) -> None:
    bench = make_bench(rollout=QUICK)
    try_until_live(bench, "2")
    for hit in range(1, len(cluster.calls) + 1):
        renew(bench, cluster)
        cluster.after_change = lambda number, method, hit=hit: FAULTS["cut"]() if number == hit else None
        assert try_until_live(bench, "2") == 1
        assert_ended_right(cluster, revisions=1)


def test_a_conflict_at_each_write_is_read_again_and_asked_again(
    make_bench: Callable[..., Bench], cluster: Cluster
) -> None:
    bench = make_bench(rollout=QUICK)
    try_until_live(bench, "1")
    hits: list[str] = []

    def conflict(_number: int, method: str) -> int | None:
        # Every second write meets a service that KServe has just written to.
        if method in ("PUT", "PATCH"):
            hits.append(method)
            return 409 if len(hits) % 2 else None
        return None

    cluster.before_answer = conflict
    assert try_until_live(bench, "2") == 0, "no caller hears of it"
    assert len(hits) == 8
    assert_ended_right(cluster, revisions=2)


def test_a_conflict_for_ever_can_be_tried_again_later(make_bench: Callable[..., Bench], cluster: Cluster) -> None:
    bench = make_bench(rollout=QUICK)
    try_until_live(bench, "1")
    cluster.before_answer = lambda _number, method: 409 if method == "PUT" else None
    with pytest.raises(TargetUnavailable) as raised:
        bench.open().deploy(bench.release("2"))
    assert raised.value.code == 409


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False], ids=["before the note", "after the note"])
def test_a_kill_around_each_note_in_the_ledger(
    make_bench: Callable[..., Bench], cluster: Cluster, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    bench = make_bench(rollout=QUICK)
    notes = {"count": 0, "at": 0}

    def note(*arguments: Any) -> None:
        notes["count"] += 1
        if before and notes["count"] == notes["at"]:
            raise Killed
        changes.note_change(*arguments)
        if not before and notes["count"] == notes["at"]:
            raise Killed

    monkeypatch.setattr(steering, "note_change", note)
    try_until_live(bench, "1")
    start = notes["count"]
    try_until_live(bench, "2")
    for hit in range(1, notes["count"] - start + 1):
        renew(bench, cluster)
        notes["at"] = 0
        try_until_live(bench, "1")
        notes["at"] = notes["count"] + hit
        assert try_until_live(bench, "2") == 1
        assert_ended_right(cluster, revisions=2)


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before_answer", "after_change"])
def test_a_fault_at_each_call_of_taking_back(make_bench: Callable[..., Bench], cluster: Cluster, moment: str) -> None:
    def fall_back() -> int:
        """Deploy version 2, which never gets ready; returns how many troubles were met until it is taken back."""
        troubles, progress = 0, None
        for _ in range(80):
            bench.clock.now += 1
            try:
                target = bench.open()
                progress = target.deploy(bench.release("2")) if progress is None else target.check("2")
            except RolledBack as error:
                assert "no image" in str(error)
                return troubles
            except TollgateError as error:
                assert error.retryable, error
                troubles, progress = troubles + 1, None
        raise AssertionError("never taken back")

    bench = make_bench(rollout=QUICK)
    try_until_live(bench, "1")
    before = len(cluster.calls)
    cluster.broken["2"] = "no image"
    assert fall_back() == 0
    for hit in range(1, len(cluster.calls) - before + 1, 2):
        renew(bench, cluster)
        try_until_live(bench, "1")
        cluster.broken["2"] = "no image"
        at = len(cluster.calls) + hit
        setattr(cluster, moment, lambda number, method, at=at: _cut() if number == at else None)
        assert fall_back() == 1, f"call {hit}"
        setattr(cluster, moment, None)
        assert cluster.shares() == {"1": 100}
        assert cluster.spec()["labels"]["tollgate/version"] == "1"
        assert "canaryTrafficPercent" not in cluster.spec()


def test_a_rollback_by_hand_amid_a_step_of_the_rollout_is_not_lost(
    bench: Bench, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody goes back after the rollout has looked and before it notes, and asks for, its next share."""
    bench.serve("1")
    bench.open().deploy(bench.release("2"))
    bench.reach("2", {"1": 90, "2": 10})
    answers: list[object] = []
    person = threading.Thread(target=lambda: answers.append(bench.open().roll_back(None, "somebody", "it is worse")))

    def note(settings: Settings, pipeline: str, change: changes.Change) -> None:
        if "100" in change.observed and person.ident is None:
            person.start()
            person.join(0.3)
        changes.note_change(settings, pipeline, change)

    monkeypatch.setattr(steering, "note_change", note)
    while person.ident is None:
        bench.clock.now += 1
        bench.open().check("2")
    person.join()
    assert len(answers) == 1
    with pytest.raises(RolledBack, match="rolled back by somebody: it is worse"):
        bench.follow("2")
    assert cluster.shares() == {"1": 100}


def test_one_step_at_a_time(bench: Bench) -> None:
    with hold_service(bench.settings, "parcels"), pytest.raises(TargetBusy), hold_service(bench.settings, "parcels", 0):
        raise AssertionError("held twice")
    bench.serve("1")


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_refusal_is_final_and_says_what_to_do(bench: Bench, cluster: Cluster, status: int) -> None:
    cluster.before_answer = lambda _number, method: status if method == "POST" else None
    with pytest.raises(TargetRefused, match="made to fail by the test") as raised:
        bench.open().deploy(bench.release("1"))
    assert (raised.value.retryable, raised.value.code) == (False, status)
    assert "docs/kserve.md" in raised.value.next_step if status == 403 else raised.value.next_step


@pytest.mark.parametrize("status", [401, 408, 429, 500, 503, 504])
def test_what_may_pass_can_be_tried_again(bench: Bench, cluster: Cluster, status: int) -> None:
    cluster.before_answer = lambda _number, _method: status
    with pytest.raises(TargetUnavailable, match=str(status)):
        bench.open().deploy(bench.release("1"))


def test_an_api_server_that_hangs_is_not_waited_for(make_bench: Callable[..., Bench], cluster: Cluster) -> None:
    bench = make_bench(rollout=QUICK, request_seconds=0.2)

    def hang(_number: int, _method: str) -> None:
        time.sleep(0.6)

    cluster.before_answer = hang
    with pytest.raises(TargetUnavailable, match="did not answer get_namespaced_custom_object"):
        bench.open().deploy(bench.release("1"))


def test_without_a_cluster_it_says_what_is_missing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    from include.deployment.kserve.target import KServeEndpoint

    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    target = KServeEndpoint(bench.settings, bench.pipeline, bench.pipeline.deployment.target)  # type: ignore[arg-type]
    with pytest.raises(TargetRefused, match="kubeconfig"):
        target.deploy(bench.release("1"))
    assert target.status().state == "down"


def test_a_token_that_cannot_be_sent_is_not_shown(bench: Bench) -> None:
    """A token's file with a line break at its end, as an editor leaves it."""
    from kubernetes.client import ApiClient, Configuration

    from include.deployment.kserve.target import KServeEndpoint

    settings = Configuration(host=bench.url)
    settings.api_key = {"authorization": "bearer eyJhbGciOi.eyJzdWIiOi.sig\n"}
    given = bench.pipeline.deployment.target
    target = KServeEndpoint(bench.settings, bench.pipeline, given, ApiClient(settings))  # type: ignore[arg-type]
    with pytest.raises(TargetRefused, match="Invalid header value") as raised:
        target.deploy(bench.release("1"))
    shown = "".join(traceback.format_exception(raised.value))
    assert "eyJhbGciOi" not in shown
