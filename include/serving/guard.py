"""A guard on every connection: uvicorn's own protocol has no time limit for a request's head or body, none for a caller
that does not take its answer, and no limit of a head's size or of the connections.

Requests that arrive in one piece, as nearly all do, cost it a few assignments and no timer: one sweep a second looks
at all connections.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from math import inf
from typing import Any, cast

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from include.serving.counters import CUT, REFUSED, Counters
from include.serving.limits import Limits


class Guard:
    """What the connections of one process have in common. ``idle`` holds those that wait for their caller's next head,
    longest first; a caller that needs a connection when there are too many gets theirs."""

    def __init__(self, limits: Limits, counters: Counters) -> None:
        self.limits = limits
        self.counters = counters
        self.cells = counters.cells
        self.open = counters.board.locate_connections(counters.slot)
        self.connections: set[GuardedProtocol] = set()
        self.idle: dict[GuardedProtocol, None] = {}

    def build_protocol(self) -> type[asyncio.Protocol]:
        """The protocol class that uvicorn makes one object of for each connection."""
        return type("Protocol", (GuardedProtocol,), {"guard": self})

    async def sweep(self) -> None:
        """End every connection whose time is over; called once a second."""
        now = asyncio.get_running_loop().time()
        for connection in list(self.connections):
            connection.check_time(now)


class GuardedProtocol(HttpToolsProtocol):
    """One connection. ``_until`` is the time by which the caller must have sent what it began."""

    guard: Guard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection; with too many, in place of the one that is idle longest, or not at all."""
        super().connection_made(cast("asyncio.Transport", transport))
        guard = self.guard
        self._whole = True  # nothing of a next request has come yet
        self._in_head = True
        self._partial = ""
        self._head_size = 0
        self._stalled_until = inf
        # A caller that connects and says nothing gets as long as one that begins a head.
        self._until = self.loop.time() + guard.limits.head_seconds
        guard.connections.add(self)
        guard.cells[guard.open] += 1
        if len(guard.connections) > guard.limits.connections:
            longest = next(iter(guard.idle), None)
            if longest is None:
                guard.counters.count(REFUSED, "connections")
                self._end("limit", 503, "TOO_MANY_CONNECTIONS", "Too many connections are open.")
                return
            longest._end("idle")
        guard.idle[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        guard = self.guard
        guard.connections.discard(self)
        guard.idle.pop(self, None)
        guard.cells[guard.open] -= 1

    def data_received(self, data: bytes) -> None:
        """Parse what came; a request that is still not complete gets its time limit."""
        super().data_received(data)
        if not self._whole:
            self._check_partial(len(data))

    def _check_partial(self, size: int) -> None:
        limits = self.guard.limits
        if self._in_head:
            self._head_size += size
            if self._partial != "head":
                self._partial = "head"
                self._until = self.loop.time() + limits.head_seconds
            elif self._head_size > limits.head_bytes:
                self._end("large head", 431, "HEAD_TOO_LARGE", f"A head may have {limits.head_bytes} bytes.")
        elif self._partial != "body":
            self._partial = "body"
            self._until = self.loop.time() + limits.body_seconds

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._whole = False
        self._in_head = True
        self._head_size = 0

    def on_headers_complete(self) -> None:
        """Its head is there: from now on the connection is not idle."""
        self._in_head = False
        self.guard.idle.pop(self, None)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there: the time that it takes now is ours."""
        self._whole = True
        self._partial = ""
        self._until = inf
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """It is answered: the caller's turn again."""
        super().on_response_complete()
        if self._whole and not self.pipeline and not self.transport.is_closing():
            self._until = self.loop.time() + self.guard.limits.idle_seconds
            self.guard.idle[self] = None

    def check_time(self, now: float) -> None:
        """End the connection when the caller is too slow, in taking what it asked for or in sending."""
        if self.transport.get_write_buffer_size():
            if self._stalled_until == inf:
                self._stalled_until = now + self.guard.limits.write_seconds
            elif now > self._stalled_until:
                self.guard.counters.count(CUT, "slow reader")
                self.transport.abort()
            return
        self._stalled_until = inf
        if now > self._until:
            if self._partial:
                message = f"The request's {self._partial} took too long to arrive."
                self._end(f"slow {self._partial}", 408, "TOO_SLOW", message)
            else:
                self._end("idle")

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed as HTTP."""
        self._end("bad http", 400, "BAD_HTTP", "This is not a valid HTTP request.")

    def _end(self, reason: str, status: int = 0, code: str = "", message: str = "") -> None:
        """Close the connection, with an answer unless another one is under way."""
        if self.transport.is_closing():
            return
        self.guard.counters.count(CUT, reason)
        self.guard.idle.pop(self, None)
        cycle = self.cycle
        under_way = cycle is not None and cycle.response_started and not cycle.response_complete
        if status and not under_way and not self.pipeline:
            self.transport.write(_write_error(status, code, message))
        if cycle is not None:
            cycle.disconnected = True
        self.transport.close()


def _write_error(status: int, code: str, message: str) -> bytes:
    body = msgspec.json.encode({"error_code": code, "message": message})
    retry = "retry-after: 1\r\n" if status == 503 else ""
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n{retry}"
    return f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body


def limit_handles(connections: int) -> None:
    """Let this process have so many connections open beside its files, as far as the system allows."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + 256
    if soft != resource.RLIM_INFINITY and soft < wanted:
        highest: Any = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
