"""Callers that are slow, many or malformed are cut off or told; the next good request is answered all the while."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.unit.served_models import wait_for
from tests.unit.serving.local_server import ROW, Local, make_model, read_all, serve_locally

GOOD = json.dumps(ROW).encode()
HEAD = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
    GOOD
)


@pytest.fixture(scope="module")
def hasty() -> Iterator[Local]:
    """A server that waits half a second for anything."""
    with serve_locally(
        head_seconds=0.5, body_seconds=0.5, idle_seconds=0.5, write_seconds=0.5, head_bytes=4096, connections=40
    ) as local:
        yield local


def count_cuts(local: Local, reason: str) -> float:
    return local.read_metrics().get(("tollgate_connections_cut_total", reason), 0.0)


def test_a_head_that_drips_is_cut_off_and_good_requests_are_answered_meanwhile(hasty: Local) -> None:
    before = count_cuts(hasty, "slow head")
    started = time.monotonic()
    with hasty.connect() as slow:
        slow.settimeout(0.1)
        answer = b""
        for byte in b"POST /invocations HTTP/1.1\r\nx-slow: " + b"a" * 1000:
            try:
                slow.sendall(bytes([byte]))
                piece = slow.recv(4096)
            except TimeoutError:
                assert hasty.ask(body=ROW).status == 200
                continue
            except OSError:
                break
            answer += piece
            if not piece:
                break
    assert time.monotonic() - started < 5
    assert b" 408 " in answer
    assert b'"TOO_SLOW"' in answer
    assert count_cuts(hasty, "slow head") == before + 1


def test_a_body_that_drips_is_cut_off(hasty: Local) -> None:
    with hasty.connect() as slow:
        slow.sendall(HEAD + GOOD[:1])
        answer = read_all(slow)
    assert b" 408 " in answer
    assert hasty.ask(body=ROW).status == 200
    assert wait_for(lambda: hasty.read_metrics().get(("tollgate_requests_total", "/invocations", "499")))
    assert hasty.read_metrics()[("tollgate_requests_in_flight",)] == 0


@pytest.mark.parametrize("start", [b"", b"\r\n\r\n", HEAD + GOOD], ids=["silent", "empty lines", "after an answer"])
def test_a_connection_without_a_request_is_closed(hasty: Local, start: bytes) -> None:
    with hasty.connect() as idle:
        idle.sendall(start)
        answer = read_all(idle)
    assert (b" 200 " in answer) == (start == HEAD + GOOD)
    assert b" 408 " not in answer


def test_empty_lines_now_and_then_do_not_keep_a_connection(hasty: Local) -> None:
    with hasty.connect() as dripping, pytest.raises(OSError):
        for _ in range(100):
            dripping.sendall(b"\r\n")
            time.sleep(0.1)


def test_a_caller_that_does_not_take_its_answers_is_cut_off() -> None:
    body = json.dumps({"inputs": {"hour": [1] * 100_000}}).encode()
    head = HEAD.replace(b"content-length: %d" % len(GOOD), b"content-length: %d" % len(body))
    with (
        serve_locally(make_model(lambda request: [1 / 3] * request.rows), write_seconds=0.5) as local,
        socket.socket() as reader,
    ):
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.connect(("127.0.0.1", local.port))
        # Two megabytes for each, together more than the kernel holds for a sender.
        for _ in range(8):
            reader.sendall(head + body)
        wait_for(lambda: count_cuts(local, "slow reader") == 1)
        assert local.ask(body=ROW).status == 200
        assert wait_for(lambda: local.read_metrics()[("tollgate_connections",)] == 1)


def test_a_head_that_is_too_large_is_refused(hasty: Local) -> None:
    with hasty.connect() as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\n")
        for _ in range(20):
            time.sleep(0.01)
            try:
                connection.sendall(b"x-more: " + b"a" * 500 + b"\r\n")
            except OSError:
                break
        assert b" 431 " in read_all(connection)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /ping HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /invocations HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http_gets_a_400_and_no_connection(hasty: Local, sent: bytes) -> None:
    with hasty.connect() as connection:
        connection.sendall(sent)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error_code"] == "BAD_HTTP"


def test_idle_connections_make_room_for_callers(hasty: Local) -> None:
    with ExitStack() as stack:
        for _ in range(120):
            stack.enter_context(hasty.connect())
            if _ % 10 == 0:
                assert hasty.ask(body=ROW).status == 200
        assert hasty.read_metrics()[("tollgate_connections",)] <= 41


def test_connections_that_all_are_at_work_leave_no_room_and_the_next_is_told_when_to_come_back() -> None:
    with serve_locally(connections=3) as local, ExitStack() as stack:
        for _ in range(3):
            busy = stack.enter_context(local.connect())
            busy.sendall(HEAD + GOOD[:5])
        with local.connect() as refused:
            answer = wait_for(lambda: read_all(refused))
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in answer
        assert b"TOO_MANY_CONNECTIONS" in answer
        stack.close()
        wait_for(lambda: local.ask(body=ROW).status == 200)
        assert local.read_metrics()[("tollgate_refused_total", "connections")] >= 1


def test_several_requests_at_once_on_one_connection_are_answered_in_order() -> None:
    answers = iter(range(100))

    def score(request: object) -> list[float]:
        return [float(next(answers))]

    with serve_locally(make_model(score)) as local, local.connect() as connection:
        connection.sendall((HEAD + GOOD) * 5)
        text = b""
        while text.count(b'"predictions"') < 5:
            text += connection.recv(65536)
    order = [text.index(b"[%d.0]" % number) for number in range(5)]
    assert order == sorted(order)


def test_a_steady_upload_within_its_time_is_answered() -> None:
    with serve_locally(head_seconds=0.5, body_seconds=20.0) as local, local.connect() as slow:
        slow.sendall(HEAD)
        for byte in GOOD:
            slow.sendall(bytes([byte]))
            time.sleep(0.1)
        assert b" 200 " in slow.recv(4096)
