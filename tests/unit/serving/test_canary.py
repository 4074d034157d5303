"""A candidate beside the champion, as the champion's worker sees it: real HTTP on both sides, every way to fail."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from include.rollout import PROBE_HEADER, RolloutOrder, place_value
from include.serving.canary import Canary
from include.serving.candidate import CandidateClient
from include.serving.capture.convert import convert_closed
from include.serving.capture.folder import MEBIBYTE
from include.serving.prediction_rules import read_rules
from include.serving.server import bind_file
from tests.unit.served_models import wait_for
from tests.unit.serving.local_server import ROW, Local, make_model, score_halves, serve_locally
from tests.unit.serving.test_capture import make_captured_model, read_rows, serve_captured

GOOD = {"predictions": [0.7], "model_version": "8"}


def order_share(share: float, **changes: Any) -> RolloutOrder:
    fields: dict[str, Any] = {
        "id": "a-secret",
        "version": "8",
        "champion": "7",
        "champion_dir": "models/up",
        "socket": "candidate.sock",
        "stage": "canary",
        "share_percent": share,
        "deadline_ms": 2000.0,
        "sticky_header": "X-Key",
        "started_at": "2013-01-01T00:00:00+00:00",
        **changes,
    }
    return RolloutOrder(**fields)


class StandIn:
    """What listens at the candidate's socket: answers every request with what ``reply`` gives, byte for byte."""

    def __init__(self, path: Path, reply: Callable[[], bytes]) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.reply = reply
        self._listener = bind_file(path)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while content := connection.recv(1 << 20):
                self.requests.append(content)
                reply = self.reply()
                if not reply:
                    return
                connection.sendall(reply)

    def stop(self) -> None:
        # A thread that waits in accept keeps the socket open; this wakes it.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


def write_http(body: Any = GOOD, status: int = 200, rules: bytes = b"") -> bytes:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = b"x-prediction-rules: %s\r\n" % rules if rules else b""
    head = b"HTTP/1.1 %d X\r\nx-scoring-path: compiled\r\n%scontent-length: %d" % (status, told, len(content))
    return b"%s\r\n\r\n%s" % (head, content)


@contextlib.contextmanager
def stand_beside(
    tmp_path: Path,
    reply: Callable[[], bytes] = write_http,
    share: float = 100,
    scores: Callable[[Any], list[float]] = score_halves,
    rules: tuple[dict[str, Any], ...] = (),
    **changes: Any,
) -> Iterator[tuple[Local, StandIn]]:
    """``scores`` and ``rules`` are the champion's."""
    model = make_model(scores, inline_bytes=1 << 14)
    model = replace(model, rules=read_rules({"prediction_rules": rules}))
    stand_in = StandIn(tmp_path / "candidate.sock", reply)
    try:
        with serve_locally(model) as local:
            assert local.endpoint.serving is not None
            client = CandidateClient(tmp_path / "candidate.sock")
            order = order_share(share, **changes)
            local.endpoint.canary = Canary(order, local.endpoint.serving, client, local.endpoint.counters)
            yield local, stand_in
    finally:
        stand_in.stop()


def read_outcomes(local: Local, source: str = "customer") -> dict[str, int]:
    found = local.ask("/rollout").body["candidates"]["8"].get(source, {})
    return dict(found.get("outcomes", {}))


def test_the_answer_is_the_candidates_own_names_it_and_is_counted_for_it(tmp_path: Path) -> None:
    with stand_beside(tmp_path) as (local, stand_in):
        for _ in range(5):
            reply = local.ask(body=ROW)
            assert (reply.status, reply.body) == (200, GOOD)
            assert (reply.headers["x-model-version"], reply.headers["x-scoring-path"]) == ("8", "compiled")
        assert stand_in.connections == 1, "connections are kept"
        assert b"POST /invocations" in stand_in.requests[0]
        assert stand_in.requests[0].endswith(json.dumps(ROW).encode())
        body = local.ask("/rollout").body
        assert body["rollout"] == {
            "version": "8",
            "champion": "7",
            "stage": "canary",
            "share_percent": 100,
            "started_at": "2013-01-01T00:00:00+00:00",
        }, "the id, with which a caller could choose the candidate, is not told"
        customer = body["candidates"]["8"]["customer"]
        assert customer["outcomes"] == {"answered": 5}
        pairs, difference, spread = customer["differences"]
        assert (pairs, difference) == (5, 1_000_000_000)
        # 0.2 from what is expected at first (0), then ever less: 0.1, 0.0667, …
        assert spread == pytest.approx(sum((0.2 / n) ** 2 for n in range(1, 6)) * 1e9, rel=1e-6)
        metrics = local.read_metrics()
        assert metrics[("tollgate_candidate_requests_total", "8", "answered", "customer")] == 5
        assert metrics[("tollgate_request_seconds_count", "8")] == 5
        assert metrics[("tollgate_rows_total", "8", "compiled")] == 5
        assert ("tollgate_request_seconds_count", "7") not in metrics or not metrics[
            ("tollgate_request_seconds_count", "7")
        ]


# What the champion's rule refuses, and what the candidate's own did.
LIKELY = {"name": "likely", "maximum": 0.95}
TOO_HIGH = {"predictions": [0.99], "model_version": "8"}
BROKE_OWN_RULE = write_http({"error_code": "PREDICTION_REFUSED"}, 500, b'["never_certain"]')

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "an error": (lambda: write_http({"error_code": "MODEL_FAILED"}, 500), "error"),
    "overload": (lambda: write_http({}, 429), "error"),
    "a redirect": (lambda: write_http({}, 302), "error"),
    "a refusal of what the champion takes": (lambda: write_http({}, 400), "refused"),
    "no JSON": (lambda: write_http(b"<html>"), "garbled"),
    "other JSON": (lambda: write_http([0.5]), "garbled"),
    "a null": (lambda: write_http({"predictions": [None], "model_version": "8"}), "garbled"),
    "an infinity": (lambda: write_http(b'{"predictions": [1e999], "model_version": "8"}'), "garbled"),
    "too many rows": (lambda: write_http({"predictions": [0.5, 0.5], "model_version": "8"}), "garbled"),
    "too few rows": (lambda: write_http({"predictions": [], "model_version": "8"}), "garbled"),
    "another version": (lambda: write_http({"predictions": [0.5], "model_version": "9"}), "garbled"),
    "deep nesting": (lambda: write_http(b"[" * 100_000), "garbled"),
    "no HTTP": (lambda: b"SSH-2.0-OpenSSH\r\n\r\n", "garbled"),
    "two answers": (lambda: write_http() + write_http({}, 500), "answered"),
    "half an answer": (lambda: write_http()[:-5], "slow"),
    "an endless head": (lambda: b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1_000_000, "slow"),
    "an answer that breaks its own rule": (lambda: BROKE_OWN_RULE, "rule"),
    "an answer that breaks the champion's rule": (lambda: write_http(TOO_HIGH), "rule"),
    "an error with nonsense about rules": (lambda: write_http({}, 500, b"never_certain"), "error"),
    "an answer with nonsense about rules": (lambda: write_http(rules=b'["%s"]' % (b'","' * 100_000)), "answered"),
    "silence": (lambda: b"", "gone"),
}


@pytest.mark.parametrize("name", BAD)
def test_whatever_the_candidate_does_the_champion_answers(tmp_path: Path, name: str) -> None:
    reply, outcome = BAD[name]
    with stand_beside(tmp_path, reply, deadline_ms=300.0, rules=(LIKELY,)) as (local, _):
        began = time.monotonic()
        answer = local.ask(body=ROW)
        assert time.monotonic() - began < 5
        assert answer.status == 200
        assert answer.headers["x-model-version"] == answer.body["model_version"]
        assert "x-prediction-rules" not in answer.headers
        assert answer.body["model_version"] == ("8" if outcome == "answered" else "7")
        assert set(read_outcomes(local)) in ({outcome}, {"stall"} if outcome == "slow" else {outcome})


def test_without_anybody_at_the_socket_or_after_it_went_away_the_champion_answers(tmp_path: Path) -> None:
    with stand_beside(tmp_path) as (local, stand_in):
        assert local.ask(body=ROW).body["model_version"] == "8"
        stand_in.stop()
        (tmp_path / "candidate.sock").unlink()
        for _ in range(3):
            assert local.ask(body=ROW).body["model_version"] in ("7", "8")
        assert local.ask(body=ROW).headers["x-model-version"] in ("7", "8")


def test_a_request_that_both_refuse_is_nobodys_failure_and_what_only_the_candidate_takes_it_answers(
    tmp_path: Path,
) -> None:
    wrong = {"instances": [{"hour": 1, "new_column": 2}]}
    with stand_beside(tmp_path, lambda: write_http({}, 400)) as (local, stand_in):
        reply = local.ask(body=wrong)
        assert (reply.status, reply.headers["x-model-version"]) == (400, "7")
        assert "new_column" in reply.body["message"]
        assert read_outcomes(local) == {"both_refused": 1}
        stand_in.reply = write_http
        assert local.ask(body=wrong).body["model_version"] == "8"
        stand_in.reply = lambda: write_http({}, 500)
        assert local.ask(body=wrong).status == 400
        assert read_outcomes(local) == {"both_refused": 1, "answered": 1, "error": 1}


def fail(_request: Any) -> list[float]:
    raise ValueError("a made-up failure")


@pytest.mark.parametrize(
    ("scores", "error_code"), [(fail, "MODEL_FAILED"), (lambda _request: [0.99], "PREDICTION_REFUSED")]
)
def test_a_request_with_which_the_champion_fails_too_is_not_held_against_the_candidate(
    tmp_path: Path, scores: Any, error_code: str
) -> None:
    with stand_beside(tmp_path, lambda: BROKE_OWN_RULE, scores=scores, rules=(LIKELY,)) as (local, stand_in):
        for reply in (BROKE_OWN_RULE, write_http({"error_code": "MODEL_FAILED"}, 500), write_http({}, 400)):
            stand_in.reply = lambda reply=reply: reply  # type: ignore[misc]
            answer = local.ask(body=ROW)
            assert (answer.status, answer.body["error_code"], answer.headers["x-model-version"]) == (
                500,
                error_code,
                "7",
            )
        assert read_outcomes(local) == {"both_refused": 3}
        stand_in.reply = write_http
        assert local.ask(body=ROW).body == GOOD, "it does better"
        stand_in.reply = lambda: write_http(b"<html>")
        assert local.ask(body=ROW).status == 500
        assert read_outcomes(local) == {"both_refused": 3, "answered": 1, "garbled": 1}


def count_rules(local: Local) -> dict[tuple[str, ...], float]:
    """Version and rule to how many answers."""
    metrics = local.read_metrics()
    return {key[1:]: count for key, count in metrics.items() if key[0] == "tollgate_prediction_rules_total"}


def test_rules_that_a_candidates_answers_broke_are_counted_where_they_are_shown(tmp_path: Path) -> None:
    clip = {"name": "clipped", "maximum": 0.6, "action": "clip"}
    with stand_beside(tmp_path, rules=(clip, {**LIKELY, "maximum": 0.55})) as (local, stand_in):
        stand_in.reply = lambda: BROKE_OWN_RULE
        assert local.ask(body=ROW).body["model_version"] == "7"
        assert count_rules(local) == {("8", "never_certain"): 1}
        stand_in.reply = lambda: write_http(TOO_HIGH)
        assert local.ask(body=ROW).body["model_version"] == "7"
        assert count_rules(local) == {("8", "never_certain"): 1, ("8", "likely"): 1}
        stand_in.reply = lambda: write_http({**GOOD, "predictions": [0.5]}, rules=b'["clipped"]')
        assert local.ask(body=ROW).body["model_version"] == "8"
        assert count_rules(local) == {("8", "never_certain"): 1, ("8", "likely"): 1, ("8", "clipped"): 1}


def test_the_champions_clip_rule_holds_for_what_the_candidate_answers(tmp_path: Path) -> None:
    clip = {"name": "clipped", "maximum": 0.6, "action": "clip"}
    with stand_beside(tmp_path, rules=(clip,)) as (local, stand_in):
        assert local.ask(body=ROW).body == {"predictions": [0.6], "model_version": "8"}
        # The candidate's own rule of that name is wider.
        stand_in.reply = lambda: write_http(TOO_HIGH, rules=b'["clipped"]')
        reply = local.ask(body=ROW)
        assert (reply.body, reply.headers["x-model-version"]) == ({"predictions": [0.6], "model_version": "8"}, "8")
        assert count_rules(local) == {("8", "clipped"): 2}
        customer = local.ask("/rollout").body["candidates"]["8"]["customer"]
        assert customer["outcomes"] == {"answered": 2}
        assert customer["differences"][:2] == [2, pytest.approx(200_000_000)], "of what the customer got"


def test_what_is_captured_is_what_the_customer_got(tmp_path: Path) -> None:
    model = replace(make_captured_model(), rules=read_rules({"prediction_rules": [{**LIKELY, "action": "clip"}]}))
    stand_in = StandIn(tmp_path / "candidate.sock", lambda: write_http(TOO_HIGH))
    with serve_captured(tmp_path / "captured", model) as local:
        assert local.endpoint.serving is not None
        client = CandidateClient(tmp_path / "candidate.sock")
        local.endpoint.canary = Canary(order_share(100), local.endpoint.serving, client, local.endpoint.counters)
        reply = local.ask(body=ROW)
        assert "x-captured" in reply.headers
        assert reply.body["predictions"] == [0.95]
    stand_in.stop()
    convert_closed(tmp_path / "captured", 8 * MEBIBYTE)
    assert [(row["model_version"], row["prediction"]) for row in read_rows(tmp_path / "captured")] == [("8", 0.95)]


def test_requests_that_wait_through_one_stall_are_one_failure(tmp_path: Path) -> None:
    def hang() -> bytes:
        time.sleep(1)
        return b""

    with stand_beside(tmp_path, hang, deadline_ms=400.0) as (local, _):
        threads = [threading.Thread(target=local.ask, kwargs={"body": ROW}) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        outcomes = read_outcomes(local)
        assert sum(outcomes.values()) == 6
        assert outcomes.get("slow", 0) <= 1
        # On a machine that is busy just now it may take another one or two.
        assert wait_for(
            lambda: local.ask(body=ROW).body["model_version"] == "7" and read_outcomes(local).get("slow", 0) > 1
        )


def test_the_same_key_always_meets_the_same_side_and_a_larger_share_only_adds_keys(tmp_path: Path) -> None:
    keys = [f"customer-{number}" for number in range(60)]
    before: set[str] = set()
    with stand_beside(tmp_path) as (local, _):
        canary = local.endpoint.canary
        assert canary is not None and local.endpoint.serving is not None
        for share in (0, 10, 50, 100):
            local.endpoint.canary = Canary(
                order_share(share), local.endpoint.serving, canary.client, local.endpoint.counters
            )
            for _ in range(2):
                found = {key for key in keys if local.ask(body=ROW, x_key=key).body["model_version"] == "8"}
                assert found == {key for key in keys if place_value("8", key.encode()) < share}
            assert before <= found
            before = found
        assert before == set(keys)
    shares = [sum(place_value("8", f"{n}".encode()) < share for n in range(5000)) / 5000 for share in (10, 50)]
    assert shares == pytest.approx([0.1, 0.5], abs=0.03)
    assert any(place_value("8", key.encode()) != place_value("9", key.encode()) for key in keys)


def test_without_a_key_the_share_holds_request_by_request_and_a_probe_always_asks_the_candidate(tmp_path: Path) -> None:
    with stand_beside(tmp_path, share=30) as (local, _):
        versions = [local.ask(body=ROW).body["model_version"] for _ in range(300)]
        assert 40 < versions.count("8") < 150
        probe = {PROBE_HEADER.replace("-", "_"): "a-secret"}
        assert {local.ask(body=ROW, **probe).body["model_version"] for _ in range(20)} == {"8"}
        assert read_outcomes(local, "probe") == {"answered": 20}
        guessed = {PROBE_HEADER.replace("-", "_"): "a-guess"}
        assert "7" in {local.ask(body=ROW, **guessed).body["model_version"] for _ in range(40)}
