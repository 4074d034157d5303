"""What the endpoint says about itself: GET /metrics, /openapi.json and /docs."""

from __future__ import annotations

import asyncio

import msgspec

from include.serving.answers import Answer, answer_not_ready
from include.serving.board import Board
from include.serving.docs_page import render_page
from include.serving.follow import Endpoint, Serving
from include.serving.limits import Limits
from include.serving.openapi import build_document

# The page loads nothing, runs nothing and is shown in nobody's frame.
_STRICT = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)


class Descriptions:
    """Makes these pages, the last two once for each served version."""

    def __init__(self, endpoint: Endpoint, limits: Limits, board: Board) -> None:
        self._endpoint = endpoint
        self._limits = limits
        self._board = board
        self._described: tuple[Serving, bytes, bytes] | None = None

    async def answer_metrics(self, accept: bytes) -> Answer:
        """The counts of all workers. In a thread: the first time imports the Prometheus client."""
        content, content_type = await asyncio.to_thread(self._render_metrics, accept.decode("latin-1"))
        return Answer(200, content, ((b"content-type", content_type.encode()),))

    def _render_metrics(self, accept: str) -> tuple[bytes, str]:
        from include.serving.exposition import render_metrics

        return render_metrics(self._board, accept)

    async def answer_openapi(self, _accept: bytes) -> Answer:
        """The OpenAPI document of what is served now."""
        described = self._describe()
        return answer_not_ready(self._endpoint) if described is None else Answer(200, described[1])

    async def answer_docs(self, _accept: bytes) -> Answer:
        """The same for people."""
        described = self._describe()
        if described is None:
            return answer_not_ready(self._endpoint)
        return Answer(200, described[2], ((b"content-type", b"text/html; charset=utf-8"), *_STRICT))

    def _describe(self) -> tuple[Serving, bytes, bytes] | None:
        serving = self._endpoint.serving
        if serving is None or (self._described is not None and self._described[0] is serving):
            return None if serving is None else self._described
        document = build_document(serving.model, self._endpoint.pipeline, self._limits)
        page = render_page(document, serving.model)
        self._described = (serving, msgspec.json.encode(document), page)
        return self._described
