"""The ASGI application: which path is answered by what, who may ask, and counting.

Bare ASGI: a handful of routes need no framework, and one costs more than a compiled model does.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from itertools import count
from typing import Any

from include.serving.answers import (
    Answer,
    Receive,
    Scope,
    Send,
    answer_error,
    answer_json,
    answer_not_ready,
    send_answer,
)
from include.serving.bodies import ClientGone
from include.serving.counters import ERRORS, REQUESTS, Counters
from include.serving.describe import Descriptions
from include.serving.follow import Endpoint
from include.serving.invocations import Invocations
from include.serving.limits import Limits
from include.serving.log import log_event
from include.serving.rollout_page import describe_rollout

Application = Callable[[Scope, Receive, Send], Coroutine[Any, Any, None]]
KeepModel = Callable[[], Coroutine[Any, Any, None]]
Wait = Callable[[], Awaitable[None]]

_HARMLESS_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")
_INVOCATIONS = "/invocations"
# Load balancers and SageMaker ask without a token.
_OPEN = frozenset(("/ping", "/health"))


def build_app(
    endpoint: Endpoint,
    keep_model: KeepModel,
    limits: Limits,
    wait_for_turn: Wait | None = None,
) -> Application:
    """Build the application. ``keep_model`` loads (and follows) the model in the background, from start to stop; no
    connection is taken before ``wait_for_turn`` is over."""
    front = _Front(endpoint, limits, endpoint.counters)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await front.handle(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _run_lifespan(receive, send, keep_model, wait_for_turn)
            front.invocations.close()

    return app


async def _run_lifespan(receive: Receive, send: Send, keep_model: KeepModel, wait_for_turn: Wait | None) -> None:
    await receive()
    # Held here: the loop itself keeps only a weak reference to a task.
    task = asyncio.create_task(keep_model())
    if wait_for_turn is not None:
        await wait_for_turn()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    task.cancel()
    await send({"type": "lifespan.shutdown.complete"})


class _Front:
    def __init__(self, endpoint: Endpoint, limits: Limits, counters: Counters) -> None:
        self.invocations = Invocations(endpoint, limits, counters)
        self._endpoint = endpoint
        self._counters = counters
        self._cells = counters.cells
        self._token = b"Bearer " + limits.token.encode() if limits.token else None
        descriptions = Descriptions(endpoint, limits, counters.board)
        self._pages: dict[str, Callable[[bytes], Awaitable[Answer]]] = {
            "/ping": self._answer_ping,
            "/health": self._answer_ping,
            "/version": self._answer_version,
            "/rollout": self._answer_rollout,
            "/metrics": descriptions.answer_metrics,
            "/openapi.json": descriptions.answer_openapi,
            "/docs": descriptions.answer_docs,
        }
        # Unlike a random number for each request, this costs no system call.
        self._id_prefix = secrets.token_hex(6).encode() + b"-"
        self._ids = count(1)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = headers.get(b"x-request-id", b"")
        if not _HARMLESS_ID.fullmatch(request_id):
            request_id = b"%s%x" % (self._id_prefix, next(self._ids))
        path, method = scope["path"], scope["method"]
        status = "499"  # what proxies write down for a caller who hung up
        try:
            answer = await self._answer(path, method, headers, receive, request_id)
            status = str(answer.status)
            if answer.error_code:
                self._counters.count(ERRORS, answer.error_code)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001 (a mistake of ours must not show the caller a trace)
            log_event("failed", path=path[:80], request_id=request_id, error=f"{type(error).__name__}: {error}")
            answer = answer_error(500, "INTERNAL", "The endpoint failed; the operator finds the reason in its log.")
            status = "500"
            self._counters.count(ERRORS, answer.error_code)
        finally:
            known = path == _INVOCATIONS or path in self._pages
            self._counters.count(REQUESTS, path if known else "other", status)
        await send_answer(answer, request_id, send, head_only=method == "HEAD")

    async def _answer(
        self, path: str, method: str, headers: dict[bytes, bytes], receive: Receive, request_id: bytes
    ) -> Answer:
        if self._token is not None and path not in _OPEN:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, self._token):
                challenge = (b"www-authenticate", b"Bearer")
                return answer_error(401, "UNAUTHORIZED", "Send the endpoint's token as a bearer token.", challenge)
        if path == _INVOCATIONS:
            if method != "POST":
                return _refuse_method("POST")
            return await self.invocations.answer(headers, receive, request_id)
        page = self._pages.get(path)
        if page is None:
            paths = ", ".join((_INVOCATIONS, *self._pages))
            return answer_error(404, "NOT_FOUND", f"There are {paths}.")
        if method not in ("GET", "HEAD"):
            return _refuse_method("GET")
        return await page(headers.get(b"accept", b""))

    async def _answer_ping(self, _accept: bytes) -> Answer:
        serving = self._endpoint.serving
        if serving is None:
            return answer_not_ready(self._endpoint)
        version = serving.model.version
        named = (b"x-model-version", version.encode("ascii", "replace"))
        return answer_json({"status": "ready", "model_version": version}, named)

    async def _answer_version(self, _accept: bytes) -> Answer:
        return answer_json(self._endpoint.describe())

    async def _answer_rollout(self, _accept: bytes) -> Answer:
        return answer_json(describe_rollout(self._endpoint))


def _refuse_method(allowed: str) -> Answer:
    return answer_error(405, "METHOD_NOT_ALLOWED", f"Use {allowed}.", (b"allow", allowed.encode()))
