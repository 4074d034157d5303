"""Counts by version in an endpoint that is never started anew: a new version finds room, and none gets another's."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from include.errors import TerminalError
from include.serving.board import VERSION_ROWS, Board
from include.serving.canary import Canary
from include.serving.counters import (
    CANDIDATE,
    CAPTURED,
    LATENCY,
    RULES,
    SWAPS,
    UNCOUNTED,
    Counters,
)
from include.serving.totals import read_count, read_series
from include.serving.versions import VERSIONS
from tests.unit.serving.local_server import ROW, make_model, score_halves
from tests.unit.serving.test_canary import order_share, stand_beside, write_http

MANY = 200


def say_served(board: Board, slot: int, version: str, candidate: str | None = None) -> None:
    board.write_state(slot, {"version": version, "candidate": candidate})


def list_versions(board: Board) -> set[str]:
    return {series[1] for series in read_series(board, SWAPS, CANDIDATE)}


def test_the_two_hundredth_rollout_is_counted_as_the_first_was(tmp_path: Path) -> None:
    with stand_beside(tmp_path) as (local, stand_in):
        canary = local.endpoint.canary
        assert canary is not None
        for number in range(MANY):
            version, champion = f"n{number}", local.endpoint.serving
            assert champion is not None
            order = order_share(100, version=version)
            local.endpoint.canary = Canary(order, champion, canary.client, local.endpoint.counters)
            local.endpoint.announce()
            stand_in.reply = lambda version=version: write_http({"predictions": [0.7], "model_version": version})  # type: ignore[misc]
            assert local.ask(body=ROW).body["model_version"] == version
            stand_in.reply = lambda: write_http({}, 500)
            assert local.ask(body=ROW).body["model_version"] == champion.model.version
            found = local.ask("/rollout").body["candidates"][version]["customer"]
            assert found["outcomes"] == {"answered": 1, "error": 1}, version
            assert found["differences"][0] == 1
            if number % 3 == 0:  # promoted
                local.endpoint.take(make_model(score_halves, version, inline_bytes=1 << 14), None)
        metrics = local.read_metrics()
    assert metrics["tollgate_other_total",] == 0
    counted = {key[1] for key in metrics if key[0] == "tollgate_candidate_requests_total"}
    assert len(counted) <= VERSIONS
    assert {f"n{number}" for number in range(MANY - 5, MANY)} <= counted
    assert metrics["tollgate_swaps_total", "n198"] == 1


def test_all_workers_forget_a_version_together_and_one_in_use_never() -> None:
    board = Board(2)
    workers = [Counters(board, slot) for slot in range(2)]
    shown: dict[str, int] = {}
    for number in range(MANY):
        for slot in range(2):
            say_served(board, slot, "champion", f"{number}")
        if number % 50 == 7:
            workers[1] = Counters(board, 1)  # its process was started anew
        for worker in workers[: 1 + number % 2]:  # every other version meets one worker only
            worker.count(SWAPS, f"{number}")
            worker.count(SWAPS, "champion")
            for rule in range(20):
                worker.count(RULES, f"{number}", f"rule_{rule}")
        now = {version: read_count(board, SWAPS, version) for version in list_versions(board)}
        assert now["champion"] == sum(1 + each % 2 for each in range(number + 1))
        assert {version: count for version, count in now.items() if version != "champion"} == {
            version: 1 + int(version) % 2 for version in now if version != "champion"
        }
        gone = shown.keys() - now.keys()
        assert all(int(version) <= number - VERSIONS + 1 for version in gone), gone
        shown = now
    assert len(shown) == VERSIONS
    assert read_count(board, UNCOUNTED) == 0


def test_a_champion_that_was_just_replaced_is_not_the_one_to_go() -> None:
    """It was taken up long before the candidates that failed beside it."""
    board = Board()
    counters = Counters(board)
    say_served(board, 0, "old")
    counters.count(SWAPS, "old")
    for number in range(3 * VERSIONS):
        counters.count(CANDIDATE, f"failed-{number}", "customer", "error")
    say_served(board, 0, "new")
    for number in range(VERSIONS - 3):
        counters.count(CANDIDATE, f"later-{number}", "customer", "error")
    assert read_count(board, SWAPS, "old") == 1


def test_a_version_that_comes_back_after_it_was_forgotten_begins_from_nothing_in_every_worker() -> None:
    board = Board(2)
    workers = [Counters(board, slot) for slot in range(2)]
    for worker in workers:
        worker.count(SWAPS, "7")
        worker.observe(worker.find(LATENCY, "7"), 1)
    for number in range(VERSIONS):
        workers[0].count(SWAPS, f"other-{number}")
    assert ("tollgate_swaps", "7") not in read_series(board)
    workers[1].count(SWAPS, "7")
    assert read_count(board, SWAPS, "7") == 1
    workers[0].count(SWAPS, "7")
    assert read_count(board, SWAPS, "7") == 2
    assert ("tollgate_request_seconds", "7") not in read_series(board)


def count_on(board: Board, slot: int) -> None:
    counters = Counters(board, slot)
    number, parent = 0, os.getppid()
    while os.getppid() == parent:
        number += 1
        say_served(board, slot, f"{number}")
        for _ in range(50):
            counters.cells[counters.find(CAPTURED, f"{number}")] += number
            counters.cells[counters.find(RULES, f"{number}", f"rule {number}")] += number


def test_a_reader_in_another_process_never_takes_one_versions_counts_for_anothers() -> None:
    board = Board(2)
    writers = []
    for slot in range(2):
        writers.append(os.fork())
        if not writers[-1]:
            count_on(board, slot)
            os._exit(0)
    seen = set()
    try:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            for (name, version, *rule), cells in read_series(board, CAPTURED, RULES).items():
                assert rule in ([], [f"rule {version}"])
                assert cells[0] % int(version) == 0, (name, version, cells)
                assert cells[0] <= 2 * 50 * int(version)
                seen.add(version)
    finally:
        for writer in writers:
            os.kill(writer, signal.SIGKILL)
            os.waitpid(writer, 0)
    assert len(seen) > 500


def test_a_worker_that_died_while_it_wiped_its_rows_left_nobodys() -> None:
    board = Board()
    counters = Counters(board)
    counters.count(SWAPS, "7")
    board.get_version_rows(0, 0).begin(0)
    assert ("tollgate_swaps", "7") not in read_series(board)
    Counters(board).count(SWAPS, "7")
    assert read_count(board, SWAPS, "7") == 1


def test_a_version_cannot_use_up_the_rows_of_others_and_what_must_be_counted_says_that_it_cannot_be() -> None:
    board = Board()
    counters = Counters(board)
    for number in range(2 * VERSION_ROWS):
        counters.count(RULES, "7", f"rule_{number}")
    assert read_count(board, UNCOUNTED) == VERSION_ROWS
    counters.count(SWAPS, "8")
    assert read_count(board, SWAPS, "8") == 1
    with pytest.raises(TerminalError, match=r"no row left .* of version 7"):
        counters.reserve(LATENCY, "7")
    with pytest.raises(TerminalError, match="no row left"):
        counters.reserve(LATENCY, "\x00" * 60)


def test_with_every_place_in_use_a_new_version_gets_none() -> None:
    board = Board(VERSIONS)
    counters = Counters(board)
    for slot in range(VERSIONS):
        say_served(board, slot, f"{slot}")
        counters.count(SWAPS, f"{slot}")
    counters.count(SWAPS, "new")
    assert read_count(board, UNCOUNTED) == 1
    assert len(list_versions(board)) == VERSIONS
