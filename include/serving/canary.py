"""A candidate beside the champion: which requests it gets, whether its answer will do, and what came of it.

The champion has scored a request before the candidate is asked. So the two can be compared on the same request, and
whatever the candidate does, the caller's answer is there already.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import msgspec

from include.rollout import PROBE_HEADER, RolloutOrder, place_value
from include.serving.answers import JSON, Answer
from include.serving.candidate import (
    CandidateBusy,
    CandidateClient,
    CandidateGarbled,
    CandidateGone,
    CandidateSlow,
    Reply,
)
from include.serving.counters import CANDIDATE, DIFFERENCE, LATENCY, ROWS, RULES, Counters
from include.serving.follow import Serving
from include.serving.prediction_rules import RuleBroken, enforce_rules, read_names

_BILLION = 1_000_000_000
_PROBE = PROBE_HEADER.encode()
# What the champion answers is for the candidate to answer too, unless it only says how busy the endpoint is.
_WORTH_ASKING = frozenset((200, 400, 415, 500))
# On a machine that has time for us a timer is late by some milliseconds at most.
_HELD_UP_SECONDS = 0.02
_REFUSALS = frozenset((400, 413, 415))
SOURCES = ("customer", "probe")
OUTCOMES = ("answered", "both_refused", "error", "garbled", "gone", "refused", "rule", "slow", "stall")


class _Body(msgspec.Struct):
    """What an answer holds."""

    predictions: list[float]
    model_version: str


_decoder = msgspec.json.Decoder(_Body)


@dataclass(slots=True)
class _Verdict:
    """What a candidate's reply comes to. ``rules`` moved its answer or are why it is not given; ``content`` and
    ``predictions`` are those to give, if any."""

    outcome: str
    rules: tuple[str, ...] = ()
    content: bytes = b""
    predictions: Sequence[float] = ()


class Canary:
    """One worker's part in a rollout: made when an order begins to hold, replaced when it changes.

    Raises TerminalError when what comes of it could not be counted.
    """

    def __init__(
        self,
        order: RolloutOrder,
        champion: Serving,
        client: CandidateClient,
        counters: Counters,
    ) -> None:
        self.order = order
        self.champion = champion
        self.client = client
        self._counters = counters
        self._cells = counters.cells
        self._id = order.id.encode()
        self._sticky = order.sticky_header.lower().encode() if order.sticky_header else None
        version = order.version
        self._named = (b"x-model-version", version.encode("ascii", "replace"))
        # All rows before the first request: a failure that nobody counts would promote the candidate.
        self._latency = counters.reserve(LATENCY, version)
        self._differences = {source: counters.reserve(DIFFERENCE, version, source) for source in SOURCES}
        self._outcomes = {pair: counters.reserve(CANDIDATE, version, *pair) for pair in product(SOURCES, OUTCOMES)}
        self._stalled_at = 0

    async def answer(
        self, headers: Mapping[bytes, bytes], content_type: str, body: bytes, own: Answer, started: int
    ) -> Answer | None:
        """The candidate's answer, counted; None when ``own``, the champion's, is to be given: this request is not the
        candidate's, or its answer will not do."""
        probe = headers.get(_PROBE) == self._id
        if own.status not in _WORTH_ASKING or not (probe or self._is_chosen(headers)):
            return None
        source = "probe" if probe else "customer"
        asked = time.perf_counter_ns()
        try:
            reply = await self.client.ask(content_type, body, self.order.deadline_ms / 1e3)
        except CandidateBusy:
            return None
        except CandidateSlow as error:
            outcome = self._name_delay(asked, error.late_seconds)
        except CandidateGone:
            outcome = "gone"
        except CandidateGarbled:
            outcome = "garbled"
        else:
            verdict = self._judge(reply, own)
            outcome = verdict.outcome
            for rule in verdict.rules:
                self._counters.count(RULES, self.order.version, rule)
            if outcome == "answered":
                if own.status == 200:
                    self._compare(source, verdict.predictions, _decoder.decode(own.content).predictions)
                self._count(source, outcome)
                return self._give(verdict, reply.scoring_path or b"unknown", own, started)
        self._count(source, outcome)
        return None

    def _is_chosen(self, headers: Mapping[bytes, bytes]) -> bool:
        value = headers.get(self._sticky) if self._sticky is not None else None
        share = self.order.share_percent
        if value is not None:
            return place_value(self.order.version, value) < share
        return random.random() * 100 < share  # noqa: S311 (nobody gains by knowing it)

    def _judge(self, reply: Reply, own: Answer) -> _Verdict:
        told = read_names(reply.rules)
        if reply.status != 200:
            return _Verdict(_judge_refusal(reply.status, own.status, told), told)
        try:
            body = _decoder.decode(reply.content)
        except (msgspec.DecodeError, RecursionError):
            return _Verdict("garbled")
        rows = own.rows if own.status == 200 else len(body.predictions)
        if body.model_version != self.order.version or len(body.predictions) != rows or not rows:
            return _Verdict("garbled")
        # By the champion's rules too: what a candidate was registered with must not loosen them.
        try:
            predictions, moved = enforce_rules(body.predictions, self.champion.model.rules)
        except RuleBroken as broken:
            return _Verdict("rule", (broken.rule,))
        content = reply.content
        if moved:
            content = msgspec.json.encode(_Body(predictions, body.model_version))
        # A rule that both versions have counts once.
        return _Verdict("answered", tuple(dict.fromkeys((*told, *moved))), content, predictions)

    def _give(self, verdict: _Verdict, path: bytes, own: Answer, started: int) -> Answer:
        predictions = verdict.predictions
        path_name = path.decode("ascii", "replace")
        self._counters.observe(self._latency, time.perf_counter_ns() - started)
        self._cells[self._counters.find(ROWS, self.order.version, path_name)] += len(predictions)
        answer = Answer(200, verdict.content, (JSON, self._named, (b"x-scoring-path", path)), rows=len(predictions))
        recorder = self.champion.recorder
        if own.record and recorder is not None:
            answer.record = recorder.retell(own.record, predictions, (self.order.version, path_name))
        return answer

    def _compare(self, source: str, candidate: Sequence[float], champion: Sequence[float]) -> None:
        """Add the difference of the two means, from −1 to 1, to its sums: how many, their sum, and that of the squared
        distances from what the ones before let expect."""
        difference = math.fsum(candidate) / len(candidate) - math.fsum(champion) / len(champion)
        difference = min(max(difference, -1.0), 1.0)
        cells, cell = self._cells, self._differences[source]
        expected = cells[cell + 1] / _BILLION / (cells[cell] + 1)
        cells[cell + 2] += round((difference - expected) ** 2 * _BILLION)
        cells[cell + 1] += round(difference * _BILLION)
        cells[cell] += 1

    def _count(self, source: str, outcome: str) -> None:
        self._cells[self._outcomes[source, outcome]] += 1

    def _name_delay(self, asked: int, late_seconds: float) -> str:
        """One stall is one failure, however many requests it held up, and none when this process was held up as well,
        by a busy machine: noise that comes in heaps must not look like evidence. Such requests are counted apart."""
        if asked < self._stalled_at or late_seconds > _HELD_UP_SECONDS:
            return "stall"
        self._stalled_at = time.perf_counter_ns()
        return "slow"

    def describe(self) -> dict[str, Any]:
        """What the worker follows, for the board."""
        return {"id": self.order.id, "share_percent": self.order.share_percent}


def _judge_refusal(status: int, own_status: int, rules: tuple[str, ...]) -> str:
    # A request with which the champion fails as well says nothing against the candidate.
    if own_status != 200 and (status in _REFUSALS or status == own_status):
        return "both_refused"
    if status in _REFUSALS:
        return "refused"
    return "rule" if rules else "error"
