"""Asking the candidate's process: a few kept connections to its socket, a deadline on every request.

Written on the parser that the server itself uses: a client from a library would cost more than the answer does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import httptools

from include.rollout import shorten_path
from include.serving.prediction_rules import RULES_HEADER

# Requests that wait for the candidate at once; beyond that it is not asked, and nobody waits for it.
MOST_CONNECTIONS = 64
# An answer is a number for each row of a request of some megabytes; more than this is nonsense.
_LONGEST_ANSWER = 32 * 1024 * 1024


class CandidateBusy(Exception):
    """All connections are in use."""


class CandidateGone(Exception):
    """Nothing listens at the socket, or the connection ended before the answer did."""


class CandidateSlow(Exception):
    """No answer by its deadline, which was noticed ``late_seconds`` after it: as long our own process stood still."""

    def __init__(self, late_seconds: float) -> None:
        self.late_seconds = late_seconds


class CandidateGarbled(Exception):
    """What came is not HTTP, or does not end."""


@dataclass(slots=True)
class Reply:
    """The candidate's answer; ``scoring_path`` is its header of that name, ``rules`` the value of RULES_HEADER."""

    status: int = 0
    content: bytes = b""
    scoring_path: bytes = b""
    rules: bytes = b""


class _Connection(asyncio.Protocol):
    """One connection, used for one request at a time."""

    def __init__(self) -> None:
        self.usable = True
        self._answer: asyncio.Future[Reply] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes) -> asyncio.Future[Reply]:
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._reply = Reply()
        self._pieces: list[bytes] = []
        self._size = 0
        self._transport.write(request)
        return self._answer

    def is_free(self) -> bool:
        """Whether the last request was answered and another may follow."""
        answer = self._answer
        return self.usable and answer is not None and answer.done() and not answer.cancelled()

    def end(self) -> None:
        self.usable = False
        if self._answer is not None:
            self._answer.cancel()  # nobody waits for it any more
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        try:
            if self._size > _LONGEST_ANSWER:
                raise CandidateGarbled
            if self._answer is None or self._answer.done():
                raise CandidateGarbled  # more than was asked for
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, CandidateGarbled):
            self._settle(CandidateGarbled())
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        self._settle(CandidateGone())

    def on_header(self, name: bytes, value: bytes) -> None:
        known = name.lower()
        if known == b"x-scoring-path":
            self._reply.scoring_path = value
        elif known == RULES_HEADER:
            self._reply.rules = value

    def on_body(self, piece: bytes) -> None:
        self._pieces.append(piece)

    def on_message_complete(self) -> None:
        if self._answer is None or self._answer.done():
            self.usable = False  # more than was asked for: who knows whose answer comes next
            return
        self.usable = self.usable and self._parser.should_keep_alive()
        self._reply.status = self._parser.get_status_code()
        self._reply.content = b"".join(self._pieces)
        self._settle(self._reply)

    def _settle(self, outcome: Reply | Exception) -> None:
        answer = self._answer
        if answer is None or answer.done():
            return
        if isinstance(outcome, Reply):
            answer.set_result(outcome)
        else:
            answer.set_exception(outcome)


class CandidateClient:
    """Asks the process behind one socket. Used on the event loop only."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path
        self._idle: list[_Connection] = []
        self._open = 0
        self._closed = False

    async def ask(self, content_type: str, body: bytes, seconds: float) -> Reply:
        """POST ``body`` to /invocations. Raises CandidateBusy, CandidateGone, CandidateSlow or CandidateGarbled."""
        if self._open >= MOST_CONNECTIONS:
            raise CandidateBusy
        head = f"POST /invocations HTTP/1.1\r\nhost: candidate\r\ncontent-type: {content_type}\r\n"
        request = b"%scontent-length: %d\r\n\r\n%s" % (head.encode("latin-1"), len(body), body)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        self._open += 1
        connection: _Connection | None = None
        try:
            connection = self._find_idle() or await self._connect(deadline)
            answer = connection.send(request)
            await asyncio.wait((answer,), timeout=max(deadline - loop.time(), 0))
            if not answer.done():
                # Our own process may have stood still: what has come by now was in time.
                await asyncio.sleep(0)
            if not answer.done():
                raise CandidateSlow(loop.time() - deadline)
            return answer.result()
        finally:
            self._open -= 1
            if connection is not None:
                self._release(connection)

    def _find_idle(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        return None

    async def _connect(self, deadline: float) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            with shorten_path(self._path) as name:
                connecting = loop.create_unix_connection(_Connection, name)
                made: tuple[Any, _Connection] = await asyncio.wait_for(connecting, deadline - loop.time())
        except TimeoutError:
            raise CandidateSlow(loop.time() - deadline) from None
        except OSError as error:
            raise CandidateGone from error
        return made[1]

    def _release(self, connection: _Connection) -> None:
        if connection.is_free() and not self._closed:
            self._idle.append(connection)
        else:
            connection.end()

    def close(self) -> None:
        """Take leave of the candidate; requests under way still get their answers."""
        self._closed = True
        while self._idle:
            self._idle.pop().end()
