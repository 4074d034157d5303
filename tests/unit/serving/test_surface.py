"""Whatever is sent, the endpoint answers or refuses, holds a bounded amount of memory, and serves the next request."""

from __future__ import annotations

import random
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from include.scoring.scorer import Scorer
from tests.unit.factory import make_pipeline
from tests.unit.served_models import Server, save_compiled, serve, wait_for
from tests.unit.serving.local_server import ROW as SMALL
from tests.unit.serving.local_server import Local, serve_locally

pytestmark = pytest.mark.slow

ROW = {"year": 2013, "month": 1, "day": 5, "hour": 9, "carrier": "AA", "distance": 100.0}


@pytest.fixture(scope="module")
def server(scorer: Scorer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("surface")
    model = save_compiled(make_pipeline(), scorer, root / "model")
    with serve(root / "run", "--model-dir", str(model), "--model-version", "7") as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    with serve_locally(head_seconds=1.0, body_seconds=1.0, idle_seconds=1.0) as running:
        yield running


# A schema cannot say that rows are of one length, or that a number must fit a 64-bit float: what it allows may still be
# refused, by name. What it forbids must be.
_EXCLUDED = ["positive_data_acceptance"]


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "forbidden"])
def test_the_document_is_kept(server: Server, mode: GenerationMode) -> None:
    load_all_checks()
    document = schemathesis.openapi.from_url(f"http://127.0.0.1:{server.port}/openapi.json")
    asked: Counter[tuple[str, int]] = Counter()

    def check(case: Any) -> None:
        response = case.call_and_validate(timeout=30, excluded_checks=CHECKS.get_by_names(_EXCLUDED))
        asked[case.operation.path, response.status_code] += 1

    operations = [found.ok() for found in document.get_all_operations()]
    for operation in operations:
        if mode is GenerationMode.NEGATIVE and operation.path != "/invocations":
            continue  # a page takes nothing that could be wrong
        examples = 150 if operation.path == "/invocations" else 5
        # No shrinking: what fails is shown as it was found.
        quick = example_settings(
            max_examples=examples, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
        )
        quick(given(case=operation.as_strategy(generation_mode=mode))(check))()
    invocations = {status: count for (path, status), count in asked.items() if path == "/invocations"}
    if mode is GenerationMode.POSITIVE:
        # All but the document itself, which schemathesis has already read.
        assert {operation.path for operation in operations} == {path for path, _ in asked}
        assert invocations[200] > 20
    else:
        assert 200 not in invocations
        assert invocations[400] > 20


_pieces = st.one_of(
    st.sampled_from(
        [
            b"GET ",
            b"POST ",
            b"HEAD ",
            b"BREW ",
            b"CONNECT ",
            b"/invocations",
            b"/ping",
            b"*",
            b"http://[::1",
            b"/%zz%00%ff",
            b" HTTP/1.1\r\n",
            b" HTTP/1.0\r\n",
            b" HTTP/2.0\r\n",
            b"\r\n",
            b"\n",
            b"\r\n\r\n",
            b"host: x\r\n",
            b"content-type: application/json\r\n",
            b"content-length: 5\r\n",
            b"content-length: 99999999999999999999\r\n",
            b"transfer-encoding: chunked\r\n",
            b"expect: 100-continue\r\n",
            b"connection: upgrade\r\nupgrade: websocket\r\n",
            b"connection: close\r\n",
            b"authorization: Bearer \xff\r\n",
            b"x-request-id: \xc3\xa9\r\n",
            b"5\r\n[1,2]\r\n0\r\n\r\n",
            b'{"instances":[{"hour":1}]}',
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ]
    ),
    st.binary(max_size=20),
)


@example_settings(max_examples=300, deadline=None)
@given(pieces=st.lists(_pieces, max_size=12), whole=st.booleans())
def test_no_bytes_whatever_keep_the_next_request_from_being_answered(
    local: Local, pieces: list[bytes], whole: bool
) -> None:
    with local.connect() as connection, suppress(ConnectionError):
        if whole:
            connection.sendall(b"".join(pieces))
        else:
            for piece in pieces:
                connection.sendall(piece)
        connection.settimeout(0.02)
        with suppress(TimeoutError):
            answer = connection.recv(65536)
            assert answer == b"" or re.match(rb"HTTP/1\.1 (100|200|4\d\d|503) ", answer), answer
    assert local.ask(body=SMALL).status == 200


def test_nothing_of_the_fuzzing_is_left(local: Local) -> None:
    def is_calm() -> bool:
        metrics = local.read_metrics()
        return metrics["tollgate_connections",] == 1 and metrics["tollgate_requests_in_flight",] == 0

    wait_for(is_calm, 10)
    metrics = local.read_metrics()
    assert ("tollgate_errors_total", "INTERNAL") not in metrics
    assert not [key for key in metrics if key[0] == "tollgate_requests_total" and key[2] == "500"]


def read_memory(server: Server) -> float:
    """The private memory of the server in MB."""
    text = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text()
    return sum(int(kilobytes) for kilobytes in re.findall(r"^Private_\w+: +(\d+) kB", text, re.MULTILINE)) / 1024


def ask_good(server: Server) -> float:
    started = time.monotonic()
    assert server.ask("POST", "/invocations", {"instances": [ROW]})[0] == 200
    return time.monotonic() - started


def test_a_thousand_connections_more_than_it_takes_leave_room_for_callers(server: Server) -> None:
    ask_good(server)
    before = read_memory(server)
    with ExitStack() as stack:
        for number in range(1500):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            if number % 3 == 0:
                connection.sendall(b"POST /invocations HTTP/1.1\r\nx-slow")
            if number % 100 == 0:
                ask_good(server)
        assert max(ask_good(server) for _ in range(10)) < 2.0
        assert 900 < server.read_metrics()["tollgate_connections",] <= 1024 + 1
        assert read_memory(server) - before < 100
    ask_good(server)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * (6 << 20),
        b'{"a":' * (1 << 20),
        b'{"instances":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"instances":[' + b"{}," * (2 << 20) + b"{}]}",
        b'{"instances":[' + b"[]," * (2 << 20) + b"[]]}",
        b'{"inputs":{"hour":[' + b"1," * (3 << 20) + b"1]}}",
        b'{"instances":[{"hour":' + b"9" * (5 << 20) + b"}]}",
        b'{"instances":[{"carrier":"' + b"\\u0000" * (1 << 20) + b'"}]}',
        b"x" * (30 << 20),
    ],
    ids=["lists", "objects", "deep", "rows", "empties", "column", "digits", "text", "oversized"],
)
def test_memory_is_bounded_whatever_is_sent_at_once(server: Server, body: bytes) -> None:
    ask_good(server)
    before = read_memory(server)
    highest = [before]

    def ask_once() -> int:
        try:
            return server.ask("POST", "/invocations", body)[0]
        except ConnectionError:
            return 413  # it was told so and went on sending

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(ask_once) for _ in range(16)]
        while not all(future.done() for future in running):
            highest.append(read_memory(server))
            time.sleep(0.02)
    assert {future.result() for future in running} <= {400, 413, 429, 503}
    # Sixteen bodies of six megabytes, and two of them decoded.
    assert max(highest) - before < 96 + 2 * 250
    ask_good(server)


def test_a_swarm_of_slow_callers_does_not_keep_others_waiting(server: Server) -> None:
    random.seed(1)
    head = b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n"
    waits = []
    with ExitStack() as stack:
        swarm = [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10)) for _ in range(300)
        ]
        deadline = time.monotonic() + 14  # beyond the time that a head gets
        alive = list(swarm)
        while alive and time.monotonic() < deadline:
            for connection in random.sample(alive, len(alive) // 10 or 1):
                try:
                    connection.sendall(random.choice([b"x: y\r\n", head, b"a"]))
                except OSError:
                    alive.remove(connection)
            waits.append(ask_good(server))
            time.sleep(0.05)
        assert len(alive) < 300
    assert sorted(waits)[len(waits) * 9 // 10] < 1.0
