"""The rollout file as the endpoint follows it: only while it is renewed, and only beside the champion it names."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from include.errors import TerminalError
from include.pointer import Pointer
from include.rollout import (
    LEASE_SECONDS,
    is_lease_over,
    locate_rollout,
    locate_socket,
    read_rollout,
    remove_rollout,
    renew_rollout,
    shorten_path,
    write_rollout,
)
from include.serving.board import VERSION_ROWS
from include.serving.counters import RULES
from include.serving.follow import Endpoint
from include.serving.follow_rollout import look_at_rollout
from include.serving.rollout_page import describe_rollout
from include.serving.server import bind_file
from tests.unit.serving.local_server import make_model, score_halves
from tests.unit.serving.test_canary import order_share


@pytest.fixture
def endpoint() -> Endpoint:
    """Serves version 7 of models/up."""
    endpoint = Endpoint("made_up")
    pointer = Pointer("7", "models/up", "2013-01", "2013-01-01T00:00:00+00:00", "a test", "because")
    endpoint.take(make_model(score_halves), pointer)
    return endpoint


def follows(endpoint: Endpoint, folder: Path) -> bool:
    look_at_rollout(endpoint, folder)
    (state,) = endpoint.board.read_states()
    assert (state["rollout"] is not None) == (endpoint.canary is not None)
    return endpoint.canary is not None


def test_an_order_is_followed_until_it_is_removed(endpoint: Endpoint, folder: Path) -> None:
    assert not follows(endpoint, folder)
    write_rollout(folder, order_share(10))
    assert follows(endpoint, folder)
    first = endpoint.canary
    assert follows(endpoint, folder)
    assert endpoint.canary is first
    write_rollout(folder, order_share(100))
    assert follows(endpoint, folder)
    assert endpoint.canary is not None and first is not None
    assert endpoint.canary.order.share_percent == 100
    assert endpoint.canary.client is first.client, "the connections are kept from stage to stage"
    assert not remove_rollout(folder, "another rollout's id")
    assert follows(endpoint, folder)
    assert remove_rollout(folder, "a-secret")
    assert not follows(endpoint, folder)


def test_an_order_that_is_not_renewed_ends_by_itself(endpoint: Endpoint, folder: Path) -> None:
    write_rollout(folder, order_share(10))
    assert follows(endpoint, folder)
    for age in (LEASE_SECONDS + 1, -LEASE_SECONDS - 1):
        stamp = time.time() - age
        os.utime(locate_rollout(folder), (stamp, stamp))
        assert not follows(endpoint, folder)
        assert renew_rollout(folder)
        assert follows(endpoint, folder)
    assert not is_lease_over(time.time_ns() - round((LEASE_SECONDS - 1) * 1e9))


def test_renewing_never_brings_an_order_back(folder: Path) -> None:
    write_rollout(folder, order_share(10))
    remove_rollout(folder)
    assert not renew_rollout(folder)
    assert read_rollout(folder) is None


@pytest.mark.parametrize(
    "changes",
    [{"champion": "6"}, {"champion_dir": "models/other"}, {"socket": "../elsewhere.sock"}, {"socket": ".hidden"}],
)
def test_an_order_beside_another_champion_or_elsewhere_is_not_followed(
    endpoint: Endpoint, folder: Path, changes: dict[str, Any]
) -> None:
    write_rollout(folder, order_share(10, **changes))
    assert not follows(endpoint, folder)


def test_an_order_whose_requests_could_not_be_counted_is_refused_and_said_once(
    endpoint: Endpoint, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(VERSION_ROWS):
        endpoint.counters.count(RULES, "8", f"rule_{number}")
    write_rollout(folder, order_share(10))
    for _ in range(3):
        assert not follows(endpoint, folder)
    (worker,) = describe_rollout(endpoint)["workers"]
    assert worker["rollout_error"]["id"] == "a-secret"
    assert "no row left" in worker["rollout_error"]["message"]
    assert capsys.readouterr().out.count("rollout_refused") == 1
    write_rollout(folder, order_share(10, id="another", version="9"))
    assert follows(endpoint, folder)
    assert describe_rollout(endpoint)["workers"][0]["rollout_error"] is None
    write_rollout(folder, order_share(10, id="another", socket="../elsewhere.sock"))
    assert not follows(endpoint, folder)
    assert "outside" in describe_rollout(endpoint)["workers"][0]["rollout_error"]["message"]
    remove_rollout(folder)
    assert not follows(endpoint, folder)
    assert describe_rollout(endpoint)["workers"][0]["rollout_error"] is None


def test_an_order_ends_when_another_model_is_swapped_in(endpoint: Endpoint, folder: Path) -> None:
    write_rollout(folder, order_share(10))
    assert follows(endpoint, folder)
    endpoint.take(make_model(score_halves, version="8"), None)
    assert not follows(endpoint, folder)


def test_two_threads_that_tell_what_they_changed_do_so_one_after_the_other(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = 0
    most = 0

    def write(_slot: int, _state: dict[str, Any]) -> None:
        nonlocal writing, most
        writing += 1
        most = max(most, writing)
        time.sleep(0.02)
        writing -= 1

    monkeypatch.setattr(endpoint.board, "write_state", write)
    threads = [threading.Thread(target=endpoint.announce) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id": 1}', b"[" * 100_000, b"\xff"])
def test_a_damaged_order_is_none(endpoint: Endpoint, folder: Path, content: bytes) -> None:
    write_rollout(folder, order_share(10))
    assert follows(endpoint, folder)
    locate_rollout(folder).write_bytes(content)
    assert not follows(endpoint, folder)


def test_a_socket_outside_the_endpoints_folder_is_refused(folder: Path) -> None:
    assert locate_socket(folder, order_share(10)) == folder / "candidate.sock"
    with pytest.raises(TerminalError, match="outside"):
        locate_socket(folder, order_share(10, socket="/elsewhere.sock"))


def test_a_socket_may_lie_deeper_than_the_kernel_takes_a_path(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 20) / ("deeper" * 10)
    folder.mkdir(parents=True)
    listener = bind_file(folder / "candidate.sock")
    with shorten_path(folder / "candidate.sock") as name:
        assert len(name) < 100
        assert Path(name).is_socket()
    listener.close()
