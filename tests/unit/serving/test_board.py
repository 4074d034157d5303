"""What workers share: states that are read whole, counts that survive a worker, and room that ends without harm."""

from __future__ import annotations

import os
import signal
import time

from include.serving.board import ROWS, Board
from include.serving.counters import ERRORS, IN_FLIGHT, LATENCY, REQUESTS, UNCOUNTED, Counters
from include.serving.totals import read_series


def test_counts_of_all_workers_add_up_and_go_on_after_a_restart() -> None:
    board = Board(3)
    for slot in range(3):
        counters = Counters(board, slot)
        counters.count(REQUESTS, "/ping", "200")
        counters.cells[counters.find(IN_FLIGHT)] += 2
    again = Counters(board, 1)
    again.count(REQUESTS, "/ping", "200")
    series = read_series(board)
    assert series["tollgate_requests", "/ping", "200"][0] == 4
    assert series["tollgate_requests_in_flight",][0] == 4, "a new worker has nothing in flight"


def test_a_duration_falls_into_the_bucket_that_prometheus_means() -> None:
    board = Board()
    counters = Counters(board)
    cell = counters.find(LATENCY, "7")
    for nanoseconds in (1, 100_000, 100_001, 10_000_000_000, 10_000_000_001):
        counters.observe(cell, nanoseconds)
    cells = read_series(board)["tollgate_request_seconds", "7"]
    assert (cells[0], cells[1], cells[15], cells[16]) == (2, 1, 1, 1), "a bucket holds its own bound"
    assert cells[17] == 20_000_200_003


def test_series_beyond_the_room_are_counted_together() -> None:
    board = Board()
    counters = Counters(board)
    for number in range(2 * ROWS):
        counters.count(ERRORS, f"CODE_{number}")
    series = read_series(board)
    assert len(series) == ROWS
    assert sum(cells[0] for cells in series.values()) == 2 * ROWS
    assert series[UNCOUNTED.name,][0] > ROWS / 2


def test_a_name_of_any_length_fits() -> None:
    board = Board()
    counters = Counters(board)
    counters.count(ERRORS, "x" * 5000)
    counters.count(LATENCY, "\x00" * 5000)
    assert ("tollgate_errors", "x" * 60) in read_series(board)
    assert len(board.get_rows(0).list_keys()) == 3 - 1


def test_a_state_is_read_whole_while_another_process_writes_it() -> None:
    board = Board(2)
    writer = os.fork()
    if not writer:
        number = 0
        while True:
            number += 1
            board.write_state(1, {"number": number, "text": str(number) * (number % 50)})
    try:
        found = []
        deadline = time.monotonic() + 20
        while len({state["number"] for state in found}) < 200 and time.monotonic() < deadline:
            found += board.read_states()
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    assert len({state["number"] for state in found}) == 200
    assert all(state["text"] == str(state["number"]) * (state["number"] % 50) for state in found)


def test_a_worker_that_died_while_writing_is_unknown_until_it_writes_again() -> None:
    board = Board(1)
    board.write_state(0, {"pid": 1})
    board.cells[0] += 1  # its sequence: odd
    assert board.read_states() == []
    board.write_state(0, {"pid": 2})
    assert board.read_states() == [{"pid": 2, "accepting": False}]
    board.set_accepting(0)
    board.clear_worker(0)
    assert board.read_states() == []
    assert not board.is_accepting(0)


def test_a_state_that_is_too_long_is_cut() -> None:
    board = Board(1)
    board.write_state(0, {"reason": "x" * 100_000, "pointer_error": {"message": "y" * 100_000}, "version": "7"})
    assert board.read_states()[0]["version"] == "7"


def test_a_forked_worker_shares_it() -> None:
    board = Board(1)
    child = os.fork()
    if not child:
        Counters(board, 0).count(REQUESTS, "/ping", "200")
        os._exit(0)
    os.waitpid(child, 0)
    assert read_series(board)["tollgate_requests", "/ping", "200"][0] == 1
