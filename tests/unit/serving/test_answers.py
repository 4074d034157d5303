"""The real serving process as callers meet it: answers, refusals, hostile bodies."""

from __future__ import annotations

import concurrent.futures
import json
import socket
import statistics
import time

import numpy as np
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st

from include.declaration import Pipeline
from include.scoring.scorer import Scorer
from tests.unit.served_models import Server, make_requests
from tests.unit.serving.steps import ROW


def test_answers_carry_the_scores_and_the_version_in_every_form(
    server: Server, pipeline: Pipeline, scorer: Scorer
) -> None:
    requests = make_requests(pipeline, 30, seed=9)
    records = [
        {name: None if value != value else value for name, value in row.items()} for row in requests.to_dict("records")
    ]
    split = {"columns": list(requests), "data": [list(record.values()) for record in records]}
    bodies = [
        ({"dataframe_records": records}, "application/json"),
        ({"dataframe_split": split}, "application/json"),
        ({"instances": records}, "application/json"),
        ({"inputs": {name: [record[name] for record in records] for name in requests}}, "application/json"),
        (requests.to_csv(index=False).encode(), "text/csv"),
    ]
    for body, content_type in bodies:
        status, answer = server.ask("POST", "/invocations", body, content_type)
        assert status == 200
        assert answer["model_version"] == "7"
        np.testing.assert_allclose(answer["predictions"], scorer.predict(requests), rtol=0, atol=1e-12)


def test_health_and_version_describe_what_is_served(server: Server) -> None:
    assert server.ask("GET", "/ping") == (200, {"status": "ready", "model_version": "7"})
    status, version = server.ask("GET", "/version")
    assert status == 200
    assert version["version"] == "7"
    assert version["partition"] == "2013-01"
    assert version["pipeline"] == "parcels"
    assert version["pid"] == server.process.pid
    assert version["previous"] is None
    assert version["pointer_error"] is None


def test_other_paths_and_methods_are_refused(server: Server) -> None:
    assert server.ask("GET", "/nothing")[0] == 404
    assert server.ask("DELETE", "/ping")[0] == 405
    assert server.ask("GET", "/invocations")[0] == 405
    assert server.ask("HEAD", "/ping") == (200, None)


def test_a_wrong_request_is_a_400_that_names_the_column(server: Server) -> None:
    status, body = server.ask("POST", "/invocations", {"instances": [{**ROW, "hour": "secret text"}]})
    assert (status, body["column"]) == (400, "hour")
    assert "secret" not in json.dumps(body)


def test_a_body_over_the_limit_is_a_413_and_the_next_request_is_served(server: Server) -> None:
    status, body = server.ask("POST", "/invocations", b"[" + b"1," * (4 * 1024 * 1024))
    assert (status, body["error_code"]) == (413, "BODY_TOO_LARGE")
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999\r\n\r\n")
        assert b" 413 " in connection.recv(4096)
    assert server.ask("POST", "/invocations", {"instances": [ROW]})[0] == 200


def test_a_caller_that_hangs_up_in_the_middle_harms_nobody(server: Server) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            connection.sendall(b"POST /invocations HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
    assert server.ask("POST", "/invocations", {"instances": [ROW]})[0] == 200


_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from([1e308, -1e308, 5e-324, 0, -1, 2400, 10**300, "AA", "", "\x00", "🛫"]),
)


_rows = st.lists(st.dictionaries(st.sampled_from([*ROW, "weight", "depot", "nope"]), _values, max_size=9), max_size=4)


_complete = st.lists(
    st.fixed_dictionaries(
        {
            name: st.text(max_size=5) if isinstance(value, str) else st.floats(allow_nan=False, allow_infinity=False)
            for name, value in ROW.items()
        }
    ),
    min_size=1,
    max_size=4,
)


_json = st.recursive(_values, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner), max_leaves=8)


@example_settings(max_examples=60, deadline=None)
@given(
    body=st.one_of(
        st.builds(lambda rows: json.dumps({"instances": rows}).encode(), _rows),
        st.builds(lambda rows: json.dumps({"dataframe_records": rows}).encode(), _complete),
        st.builds(
            lambda key, value: json.dumps({key: value}).encode(), st.sampled_from(["inputs", "instances"]), _json
        ),
        st.binary(max_size=200),
        st.builds(lambda tail: b"hour,carrier\n" + tail, st.binary(max_size=80)),
    ),
    content_type=st.sampled_from(["application/json", "text/csv", "text/csv; charset=utf-8", "image/png"]),
)
def test_no_body_whatever_makes_the_server_fail(server: Server, body: bytes, content_type: str) -> None:
    status, answer = server.ask("POST", "/invocations", body, content_type)
    assert status in (200, 400, 413, 415), answer
    if status == 200:
        assert all(0 <= p <= 1 for p in answer["predictions"])
    else:
        assert answer["error_code"]


def test_health_stays_quick_while_large_requests_are_scored(server: Server) -> None:
    large = json.dumps({"dataframe_records": [ROW] * 50_000}).encode()
    started = time.monotonic()
    assert server.ask("POST", "/invocations", large)[0] == 200
    alone = time.monotonic() - started
    waits = []
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        running = [pool.submit(server.ask, "POST", "/invocations", large) for _ in range(8)]
        while not all(future.done() for future in running):
            started = time.monotonic()
            assert server.ask("GET", "/ping")[0] == 200
            waits.append(time.monotonic() - started)
            time.sleep(0.02)
    assert [future.result()[0] for future in running] == [200] * 8
    assert max(waits) < 2.0, "SageMaker gives /ping 2 seconds"
    # Scored on the event loop, a ping would wait for a whole request each time.
    assert statistics.median(waits) < alone / 2
