"""The load: the same requests for both, never both at a time, timed from the first byte to the last."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from include.deployment.local.client import Endpoint
from include.deployment.local.load import Failed, Load, Target, replay_load

BODIES = [f"body {number}".encode() for number in range(7)]


@dataclass
class Seen:
    """What a server was asked: when each request came and its answer went (monotonic), body and token."""

    requests: list[tuple[float, float, bytes, str | None]] = field(default_factory=list)
    callers: set[int] = field(default_factory=set)


@contextmanager
def serve(seen: Seen, version: str, pause: float = 0.0, status: int = 200, content: bytes = b"{}") -> Iterator[Target]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            came = time.monotonic()
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(pause)
            seen.callers.add(self.client_address[1])
            seen.requests.append((came, time.monotonic(), body, self.headers["authorization"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("X-Model-Version", version)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Target(version, Endpoint("127.0.0.1", server.server_port, "secret"), BODIES)
    finally:
        server.shutdown()
        server.server_close()


def make_load(requests: int = 100, concurrency: int = 1, seconds: float = 60.0, seed: int = 1) -> Load:
    return Load(requests, concurrency, seed, time.monotonic() + seconds)


def test_both_get_the_same_bodies_in_turns_of_random_order() -> None:
    mine, theirs = Seen(), Seen()
    with serve(mine, "2") as candidate, serve(theirs, "1") as champion:
        answers = replay_load([candidate, champion], make_load(100))
    assert [each.count for each in answers] == [100, 100]
    assert [len(block) for block in answers[0].blocks] == [5] * 20
    asked = [[body for _, _, body, _ in seen.requests] for seen in (mine, theirs)]
    assert asked[0] == asked[1] == [BODIES[place % 7] for place in range(100)]
    assert {token for *_, token in mine.requests} == {"Bearer secret"}
    assert len(mine.callers) == len(theirs.callers) == 1, "connections are kept"
    firsts = [mine.requests[5 * block][0] < theirs.requests[5 * block][0] for block in range(20)]
    assert 3 <= sum(firsts) <= 17


def test_never_more_callers_than_declared_and_never_both_servers_at_a_time() -> None:
    mine, theirs = Seen(), Seen()
    with serve(mine, "2", pause=0.002) as candidate, serve(theirs, "1", pause=0.002) as champion:
        answers = replay_load([candidate, champion], make_load(240, concurrency=4))
    assert [each.count for each in answers] == [240, 240]
    assert len(mine.callers) == 4
    spans = [(came, went, name) for name, seen in (("a", mine), ("b", theirs)) for came, went, *_ in seen.requests]
    together = [sum(came <= moment < went for came, went, _ in spans) for moment, *_ in spans]
    assert 2 <= max(together) <= 4
    for came, went, name in spans:
        assert all(other == name for start, end, other in spans if start < went and came < end)


def test_an_answer_takes_at_least_what_the_server_took_and_a_large_one_is_read_whole() -> None:
    seen = Seen()
    with serve(seen, "2", pause=0.01, content=b"x" * 300_000) as candidate:
        (answers,) = replay_load([candidate], make_load(20))
    times = [one for block in answers.blocks for one in block]
    assert len(times) == 20
    assert min(times) >= 10
    assert answers.seconds * 1000 >= sum(times)


def test_what_does_not_fit_before_the_deadline_is_left_out_block_by_block() -> None:
    mine, theirs = Seen(), Seen()
    with serve(mine, "2", pause=0.05) as candidate, serve(theirs, "1") as champion:
        started = time.monotonic()
        answers = replay_load([candidate, champion], make_load(1000, seconds=1.0))
        assert time.monotonic() - started < 5
    assert 0 < answers[0].count < 100
    assert answers[0].count == answers[1].count


@pytest.mark.parametrize(
    ("version", "status", "reason"), [("1", 500, "answered 500.*no luck"), ("other", 200, "another version")]
)
def test_any_other_answer_fails_and_names_the_version(version: str, status: int, reason: str) -> None:
    with serve(Seen(), version, status=status, content=b"no luck") as wrong, serve(Seen(), "2") as candidate:
        rival = Target("1", wrong.endpoint, BODIES)
        with pytest.raises(Failed, match=reason) as caught:
            replay_load([candidate, rival], make_load())
    assert (caught.value.version, caught.value.gone) == ("1", False)


def test_a_refused_prediction_is_an_answer_only_of_a_target_that_may_refuse() -> None:
    content = b'{"error_code":"PREDICTION_REFUSED","message":"..."}'
    with serve(Seen(), "1", status=500, content=content) as champion:
        (answers,) = replay_load([replace(champion, may_refuse=True)], make_load(20))
        assert answers.count == 20
        with pytest.raises(Failed, match=r"answered 500.*PREDICTION_REFUSED"):
            replay_load([champion], make_load(20))
    with serve(Seen(), "1", status=500, content=b"broken") as champion, pytest.raises(Failed, match="answered 500"):
        replay_load([replace(champion, may_refuse=True)], make_load(20))


def test_a_server_that_is_gone_is_told_from_one_that_refuses() -> None:
    with serve(Seen(), "2") as candidate:
        pass
    with pytest.raises(Failed, match="did not answer") as caught:
        replay_load([candidate], make_load())
    assert caught.value.gone


def test_many_callers_still_make_enough_blocks() -> None:
    load = make_load(200, concurrency=64)
    assert (load.turn, load.blocks) == (1, 20)
    assert (make_load(1000).turn, make_load(1000).blocks) == (5, 200)
    assert make_load(1001).blocks == 201
