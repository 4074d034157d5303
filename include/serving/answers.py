"""Answers: a status, a body and headers, and the errors that are not the decoder's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from include.serving.follow import Endpoint
from include.serving.limits import RETRY_AFTER
from include.serving.schema import RequestRefused

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON = (b"content-type", b"application/json")
_CLOSE = (b"connection", b"close")


@dataclass(slots=True)
class Answer:
    """One answer. ``error_code`` is empty when it is none; ``rows`` is how many rows were scored for it, and ``rules``
    names the prediction rules that changed it or are the reason of its refusal. ``record`` is what is to be captured of
    it, None for nothing."""

    status: int
    content: bytes
    headers: tuple[Header, ...] = (JSON,)
    error_code: str = ""
    rows: int = 0
    rules: tuple[str, ...] = ()
    record: bytes | None = None


def answer_json(body: Any, *headers: Header, status: int = 200) -> Answer:
    """An answer whose body is ``body`` as JSON."""
    return Answer(status, msgspec.json.encode(body), (JSON, *headers))


def answer_error(status: int, code: str, message: str, *headers: Header) -> Answer:
    """An error with its code, for programs, and its message, for people."""
    return Answer(status, msgspec.json.encode({"error_code": code, "message": message}), (JSON, *headers), code)


def answer_refusal(error: RequestRefused, *headers: Header) -> Answer:
    """A refused request. After a body that is too large, or was not read, the connection is of no more use."""
    more = {413: (_CLOSE,), 503: (_CLOSE, RETRY_AFTER)}.get(error.status, ())
    return Answer(error.status, msgspec.json.encode(error.describe()), (JSON, *headers, *more), error.error_code)


def answer_overload(code: str, message: str, *headers: Header, status: int = 503) -> Answer:
    """The caller did nothing wrong and may ask again soon."""
    return answer_error(status, code, message, RETRY_AFTER, *headers)


def answer_not_ready(endpoint: Endpoint) -> Answer:
    """No model is served: still starting, nothing deployed yet, or broken, and why."""
    body = {"status": endpoint.state, "reason": endpoint.reason, "error_code": "NOT_READY", "message": endpoint.reason}
    return Answer(503, msgspec.json.encode(body), (JSON, RETRY_AFTER), "NOT_READY")


async def send_answer(answer: Answer, request_id: bytes, send: Send, head_only: bool = False) -> None:
    """Write the answer; ``head_only`` leaves the body out, as HEAD asks for."""
    headers = [(b"content-length", b"%d" % len(answer.content)), (b"x-request-id", request_id), *answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head_only else answer.content})
