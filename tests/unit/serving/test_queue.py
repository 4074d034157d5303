"""More than can be answered is refused at once with a time to come back, and everything else is answered."""

from __future__ import annotations

import concurrent.futures
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from include.serving.invocations import SCORING_THREADS
from include.serving.model import INLINE_ROWS
from tests.unit.served_models import wait_for
from tests.unit.serving.local_server import ROW, Local, make_model, read_all, score_halves, serve_locally


class Gate:
    """A model that answers only once it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun = 0

    def __call__(self, request: Any) -> list[float]:
        self.begun += 1
        self.opened.wait(30)
        return score_halves(request)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def test_a_full_queue_refuses_at_once_and_loses_nothing_that_it_took(gate: Gate) -> None:
    with serve_locally(make_model(gate), queue=3) as local, concurrent.futures.ThreadPoolExecutor(20) as pool:
        taken = [pool.submit(local.ask, body=ROW) for _ in range(SCORING_THREADS + 3)]
        wait_for(lambda: local.read_metrics()[("tollgate_requests_queued",)] == SCORING_THREADS + 3)
        started = time.monotonic()
        refused = [future.result() for future in [pool.submit(local.ask, body=ROW) for _ in range(6)]]
        assert time.monotonic() - started < 5
        assert {reply.status for reply in refused} == {429}
        assert {reply.body["error_code"] for reply in refused} == {"QUEUE_FULL"}
        assert {reply.headers["retry-after"] for reply in refused} == {"1"}
        assert {reply.headers["x-model-version"] for reply in refused} == {"7"}
        assert local.ask("/ping").status == 200
        gate.opened.set()
        assert [future.result().status for future in taken] == [200] * len(taken)
        metrics = local.read_metrics()
    assert metrics[("tollgate_refused_total", "queue")] == 6
    assert metrics[("tollgate_requests_queued",)] == 0
    assert metrics[("tollgate_requests_in_flight",)] == 0
    assert metrics[("tollgate_requests_total", "/invocations", "429")] == 6
    assert metrics[("tollgate_requests_total", "/invocations", "200")] == len(taken)


def test_scoring_that_takes_too_long_and_waiting_for_it_are_told_apart(gate: Gate) -> None:
    with serve_locally(make_model(gate), seconds=0.5) as local, concurrent.futures.ThreadPoolExecutor(8) as pool:
        replies = [future.result() for future in [pool.submit(local.ask, body=ROW) for _ in range(SCORING_THREADS + 2)]]
        found = sorted((reply.status, reply.body["error_code"]) for reply in replies)
        assert found == [(503, "QUEUED_TOO_LONG")] * 2 + [(504, "DEADLINE")] * SCORING_THREADS
        assert {reply.headers["retry-after"] for reply in replies} == {"1"}
        # The threads are still at work; the two that waited never begin.
        assert local.read_metrics()[("tollgate_requests_queued",)] == SCORING_THREADS
        gate.opened.set()
        wait_for(lambda: local.read_metrics()[("tollgate_requests_queued",)] == 0)
        assert gate.begun == SCORING_THREADS
        assert local.ask(body=ROW).status == 200
        assert local.read_metrics()[("tollgate_refused_total", "deadline")] == SCORING_THREADS + 2


def test_a_model_that_fails_is_a_500_without_its_words() -> None:
    def fail(_request: Any) -> list[float]:
        raise ZeroDivisionError("the caller's secret")

    for inline_bytes in (0, 1 << 14):
        with serve_locally(make_model(fail, inline_bytes=inline_bytes)) as local:
            reply = local.ask(body=ROW)
            assert (reply.status, reply.body["error_code"]) == (500, "MODEL_FAILED")
            assert reply.headers["x-model-version"] == "7"
            assert b"secret" not in reply.content
            assert local.read_metrics()[("tollgate_errors_total", "MODEL_FAILED")] == 1


def test_small_requests_are_scored_on_the_event_loop_and_large_ones_are_not() -> None:
    threads = set()

    def score(request: Any) -> list[float]:
        threads.add((request.rows, threading.current_thread().name.startswith("scoring")))
        return score_halves(request)

    with serve_locally(make_model(score, inline_bytes=100)) as local:
        assert local.ask(body=ROW).status == 200
        assert local.ask(body={"instances": [{"hour": 1}] * 100}).status == 200
    assert threads == {(1, False), (100, True)}


def begin_body(local: Local, size: int) -> Any:
    connection = local.connect()
    head = (
        f"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {size + 1}\r\n\r\n"
    )
    connection.sendall(head.encode() + b"[" * size)
    return connection


def test_bodies_that_never_end_hold_a_bounded_amount_of_memory() -> None:
    with serve_locally(body_bytes=1 << 20) as local:
        held = [begin_body(local, (1 << 20) - 10) for _ in range(24)]
        try:
            # Sixteen of the largest fit.
            wait_for(lambda: local.read_metrics().get(("tollgate_refused_total", "memory")) == 8)
            told = [connection for connection in held if (connection.settimeout(0.5), peek(connection))[1]]
            assert len(told) == 8
            assert all(b" 503 " in read_all(connection) for connection in told)
            assert local.ask(body=ROW).status == 200
        finally:
            for connection in held:
                connection.close()
        large = json.dumps({"instances": [{"hour": 1}] * 50_000}).encode()
        # What the broken ones held is given back.
        assert wait_for(lambda: local.ask(body=large).status == 200)


def peek(connection: Any) -> bytes:
    import socket

    try:
        return bytes(connection.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return b""


@pytest.mark.parametrize("over", [-1, 0, 1, 5000])
def test_the_body_limit_is_exact(over: int) -> None:
    with serve_locally(body_bytes=10_000) as local:
        body = json.dumps(ROW).encode()
        body += b" " * (10_000 + over - len(body))
        reply = local.ask(body=body)
        assert reply.status == (200 if over <= 0 else 413)
        assert reply.headers["x-model-version"] == "7"
        assert local.ask(body=ROW).status == 200


def test_a_body_in_chunks_is_limited_too() -> None:
    with serve_locally(body_bytes=100_000) as local, local.connect() as connection:
        head = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        connection.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(12):
            connection.sendall(b"%x\r\n%s\r\n" % (10_000, b"[" * 10_000))
            time.sleep(0.01)
        connection.sendall(b"0\r\n\r\n")
        assert b" 413 " in read_all(connection)


def test_a_small_body_with_many_rows_does_not_hold_up_the_event_loop() -> None:
    scored: dict[int, str] = {}

    def score(request: Any) -> list[float]:
        scored[request.rows] = threading.current_thread().name
        return [0.5] * request.rows

    with serve_locally(make_model(score, inline_bytes=1 << 13)) as local:
        for rows in (1, INLINE_ROWS, INLINE_ROWS + 1, 500):
            body = json.dumps({"dataframe_split": {"columns": ["hour"], "data": [[9]] * rows}}).encode()
            assert len(body) <= 1 << 13
            reply = local.ask("/invocations", body)
            assert reply.status == 200, reply.content
            assert len(json.loads(reply.content)["predictions"]) == rows
    assert scored[1] == scored[INLINE_ROWS]
    assert scored[1] not in (scored[INLINE_ROWS + 1], scored[500])
