"""POST /invocations: small requests are scored on the event loop, others by a few threads behind a bounded queue."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import msgspec

from include.serving.answers import (
    JSON,
    Answer,
    Receive,
    answer_error,
    answer_not_ready,
    answer_overload,
    answer_refusal,
)
from include.serving.bodies import Bodies, ClientGone
from include.serving.counters import IN_FLIGHT, LATENCY, QUEUED, REFUSED, ROWS, RULES, Counters
from include.serving.decode import decode_body
from include.serving.follow import Endpoint, Serving
from include.serving.limits import Limits
from include.serving.log import log_event
from include.serving.model import INLINE_ROWS
from include.serving.prediction_rules import RULES_HEADER, RuleBroken, write_names
from include.serving.schema import RequestRefused

# Work beyond the processors only waits, and each thread may hold a decoded body; workers are the way to more.
SCORING_THREADS = 2


class TooManyRows(Exception):
    """A request is for a thread, though its body is small."""


class Prepared:
    """What the answers of one version have in common, made once."""

    __slots__ = ("headers", "latency", "model", "named", "rows", "serving", "tail")

    def __init__(self, serving: Serving, counters: Counters) -> None:
        self.serving = serving
        self.model = serving.model
        version, path = self.model.version, self.model.scoring_path
        self.named = (b"x-model-version", version.encode("ascii", "replace"))
        self.headers = (JSON, self.named, (b"x-scoring-path", path.encode("ascii", "replace")))
        self.tail = b',"model_version":' + msgspec.json.encode(version) + b"}"
        self.latency = counters.find(LATENCY, version)
        self.rows = counters.find(ROWS, version, path)


class Invocations:
    """Answers POST /invocations with ``endpoint.serving``, which it reads once per request: one model answers it, even
    while another is swapped in."""

    def __init__(self, endpoint: Endpoint, limits: Limits, counters: Counters) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._counters = counters
        self._cells = counters.cells
        self._in_flight = counters.find(IN_FLIGHT)
        self._queued = counters.find(QUEUED)
        self._bodies = Bodies(limits, counters)
        self._prepared: Prepared | None = None
        self._pool = ThreadPoolExecutor(SCORING_THREADS, thread_name_prefix="scoring")

    def close(self) -> None:
        """End the scoring threads; what still waits is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def answer(self, headers: Mapping[bytes, bytes], receive: Receive, request_id: bytes) -> Answer:
        """Read the body, score it, count it, and capture it as ``request_id``. Raises ClientGone."""
        started = time.perf_counter_ns()
        self._cells[self._in_flight] += 1
        try:
            self._bodies.check_declared(headers)
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if not message["more_body"]:
                return await self._answer_body(started, headers, message["body"], request_id)
            body = await self._bodies.read(message["body"], receive)
            try:
                return await self._answer_body(started, headers, body, request_id)
            finally:
                self._bodies.release(body)
        except RequestRefused as error:
            prepared = self._prepare()
            return answer_refusal(error) if prepared is None else answer_refusal(error, prepared.named)
        finally:
            self._cells[self._in_flight] -= 1

    async def _answer_body(
        self, started: int, headers: Mapping[bytes, bytes], body: bytes, request_id: bytes
    ) -> Answer:
        if len(body) > self._limits.body_bytes:
            raise self._bodies.refuse_size()
        prepared = self._prepare()
        if prepared is None:
            return answer_not_ready(self._endpoint)
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        recorder = prepared.serving.recorder
        capture_as = request_id if recorder is not None and recorder.samples(headers) else b""
        answer = _score_small(prepared, content_type, body, capture_as)
        if answer is None:
            answer = await self._queue_body(prepared, content_type, body, capture_as)
        canary = self._endpoint.canary
        given = None
        if canary is not None and canary.champion is prepared.serving:
            given = await canary.answer(headers, content_type, body, answer, started)
        if given is not None:
            answer = given
        else:
            self._count(prepared, answer, started)
        if answer.rules and self._endpoint.is_candidate:
            answer.headers = (*answer.headers, (RULES_HEADER, write_names(answer.rules)))
        if answer.record is not None and recorder is not None and recorder.append(answer.record):
            answer.headers = (*answer.headers, (b"x-captured", request_id))
        return answer

    def _count(self, prepared: Prepared, answer: Answer, started: int) -> None:
        if answer.rows:
            self._counters.observe(prepared.latency, time.perf_counter_ns() - started)
            self._cells[prepared.rows] += answer.rows
        for rule in answer.rules:
            self._counters.count(RULES, prepared.model.version, rule)

    def _prepare(self) -> Prepared | None:
        serving = self._endpoint.serving
        if serving is None:
            self._prepared = None  # a version that was withdrawn answers nobody
            return None
        prepared = self._prepared
        if prepared is not None and prepared.serving is serving:
            return prepared
        self._prepared = prepared = Prepared(serving, self._counters)
        return prepared

    async def _queue_body(self, prepared: Prepared, content_type: str, body: bytes, capture_as: bytes) -> Answer:
        """Have a thread score it. Whoever waits too long is told so, and work that has not begun by then never does."""
        if self._cells[self._queued] >= self._limits.queue + SCORING_THREADS:
            self._counters.count(REFUSED, "queue")
            message = "More requests are waiting than can be answered soon."
            return answer_overload("QUEUE_FULL", message, prepared.named, status=429)
        job = self._pool.submit(score_body, prepared, content_type, body, capture_as)
        waiting = asyncio.wrap_future(job)
        self._cells[self._queued] += 1
        waiting.add_done_callback(self._leave_queue)
        done, _ = await asyncio.wait((waiting,), timeout=self._limits.seconds)
        return waiting.result() if done else self._give_up(prepared, job)

    def _leave_queue(self, _waiting: asyncio.Future[Answer]) -> None:
        self._cells[self._queued] -= 1

    def _give_up(self, prepared: Prepared, job: Future[Answer]) -> Answer:
        self._counters.count(REFUSED, "deadline")
        if job.cancel():
            message = f"The request waited {self._limits.seconds:g} s without its turn."
            return answer_overload("QUEUED_TOO_LONG", message, prepared.named)
        message = f"Scoring took longer than {self._limits.seconds:g} s; ask for fewer rows at a time."
        return answer_overload("DEADLINE", message, prepared.named, status=504)


def _score_small(prepared: Prepared, content_type: str, body: bytes, capture_as: bytes) -> Answer | None:
    """The answer to a request that takes less time than handing it to a thread; None for any other."""
    if len(body) > prepared.model.inline_bytes:
        return None
    try:
        return score_body(prepared, content_type, body, capture_as, INLINE_ROWS)
    except TooManyRows:
        return None


def score_body(
    prepared: Prepared, content_type: str, body: bytes, capture_as: bytes = b"", most_rows: float = math.inf
) -> Answer:
    """Decode, score and encode, for the caller and, under the request id ``capture_as``, for the captured requests; on
    whichever thread. Raises TooManyRows beyond ``most_rows``, before anything is scored."""
    model = prepared.model
    try:
        request = decode_body(model.schema, content_type, body)
        if request.rows > most_rows:
            raise TooManyRows
        predictions, clipped = model.rules.enforce(model.predict(request))
    except TooManyRows:
        raise
    except RequestRefused as error:
        return answer_refusal(error, prepared.named)
    except RuleBroken as error:
        message = f"The model's answer broke the rule {error.rule!r}, so it is not given."
        answer = answer_error(500, "PREDICTION_REFUSED", message, prepared.named)
        answer.rules = (error.rule,)
        return answer
    except Exception as error:  # noqa: BLE001 (the model's own failure: details to the log, none to the caller)
        log_event("model_failed", version=model.version, error=f"{type(error).__name__}: {error}")
        message = "The model could not score this request; the operator finds the reason in the endpoint's log."
        return answer_error(500, "MODEL_FAILED", message, prepared.named)
    content = b'{"predictions":' + msgspec.json.encode(predictions) + prepared.tail
    recorder = prepared.serving.recorder
    record = recorder.encode(capture_as, request.values, predictions) if capture_as and recorder is not None else None
    return Answer(200, content, prepared.headers, "", len(predictions), clipped, record)
