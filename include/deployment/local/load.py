"""Asking two serving processes the same requests, turn by turn, and timing every answer.

A block is a run of each server, in random order, with the same bodies: whatever the machine does in between hits both.
Within a run only that server is asked, so its callers are exactly as many as declared. Requests are bytes made before,
connections are kept, and the clock runs from the first byte sent to the last byte received.
"""

from __future__ import annotations

import random
import re
import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial

from include.deployment.local.client import Endpoint

# Short enough to share the machine's moods with the other server's run, long enough that caches are warm.
_TURN = 5
# Fewer than this say nothing about the interval: many callers share few, large blocks.
_FEWEST_BLOCKS = 20
# Before the server ends a connection that is not used (after 75 s).
_IDLE_SECONDS = 30.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_VERSION = re.compile(rb"\r\nx-model-version: *([^\r]*)\r\n", re.IGNORECASE)
_RECEIVE_BYTES = 1 << 16
_REFUSED = b'"PREDICTION_REFUSED"'


class Failed(Exception):
    """A server did not answer as a server of that version does. ``gone``: there was no answer at all."""

    def __init__(self, version: str, reason: str, *, gone: bool) -> None:
        super().__init__(reason)
        self.version = version
        self.gone = gone


@dataclass(frozen=True)
class Target:
    """A server: the version that it has to answer with, where it listens, and the bodies that it is asked in turn.

    With ``may_refuse`` a prediction that was computed and not given, because it broke a rule, counts as an answer.
    """

    version: str
    endpoint: Endpoint
    bodies: Sequence[bytes]
    may_refuse: bool = False


@dataclass(frozen=True)
class Load:
    """``requests`` to each server by ``concurrency`` callers, in the order of ``seed``, until ``deadline``
    (monotonic)."""

    requests: int
    concurrency: int
    seed: int
    deadline: float

    @property
    def turn(self) -> int:
        """Requests of one caller in one run."""
        return max(1, min(_TURN, self.requests // (_FEWEST_BLOCKS * self.concurrency)))

    @property
    def blocks(self) -> int:
        """Blocks that give at least ``requests`` answers."""
        return max(_FEWEST_BLOCKS, -(-self.requests // (self.turn * self.concurrency)))


@dataclass
class Answers:
    """Milliseconds of every answer of one server, block by block, and the seconds in which it was asked."""

    blocks: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self.blocks))


def replay_load(targets: Sequence[Target], load: Load) -> list[Answers]:
    """Ask every target the bodies of the same places; the answers of each.

    Blocks that do not fit before the deadline are left out whole. Raises Failed at any answer but a 200 of that
    version, or a refused prediction where the target may refuse.
    """
    answers = [Answers() for _ in targets]
    chance = random.Random(load.seed)  # noqa: S311 (an order, not a secret)
    with _open_callers(targets, load) as servers, ThreadPoolExecutor(load.concurrency) as pool:
        for block in range(load.blocks):
            taken: list[tuple[float, list[float]]] = [(0.0, [])] * len(servers)
            try:
                for place in chance.sample(range(len(servers)), len(servers)):
                    taken[place] = _run(pool, servers[place], block, load.turn)
            except TimeoutError:
                break
            for mine, (seconds, times) in zip(answers, taken, strict=True):
                mine.blocks.append(times)
                mine.seconds += seconds
    return answers


def _run(pool: ThreadPoolExecutor, callers: list[_Caller], block: int, turn: int) -> tuple[float, list[float]]:
    started = time.perf_counter()
    # Every caller has requests of its own, which it asks of both servers.
    jobs = [
        pool.submit(caller.ask_many, range(first := (block * len(callers) + number) * turn, first + turn))
        for number, caller in enumerate(callers)
    ]
    times = [one for job in jobs for one in job.result()]
    return time.perf_counter() - started, times


@contextmanager
def _open_callers(targets: Sequence[Target], load: Load) -> Iterator[list[list[_Caller]]]:
    with ExitStack() as stack:
        servers = []
        for target in targets:
            requests = [_write_request(target.endpoint, body) for body in target.bodies]
            make = partial(_Caller, target, requests, load.deadline)
            servers.append([make() for _ in range(load.concurrency)])
            for caller in servers[-1]:
                stack.callback(caller.close)
        yield servers


def _write_request(endpoint: Endpoint, body: bytes) -> bytes:
    lines = ["POST /invocations HTTP/1.1", f"host: {endpoint.host}:{endpoint.port}", "content-type: application/json"]
    lines += [f"authorization: Bearer {endpoint.token}"] if endpoint.token is not None else []
    lines += [f"content-length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


class _Caller:
    """One connection to one server."""

    def __init__(self, target: Target, requests: Sequence[bytes], deadline: float) -> None:
        self._version = target.version
        self._endpoint = target.endpoint
        self._may_refuse = target.may_refuse
        self._requests = requests
        self._deadline = deadline
        self._socket: socket.socket | None = None
        self._used = 0.0

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def ask_many(self, places: range) -> list[float]:
        """Milliseconds of each. Raises TimeoutError after the deadline, and Failed."""
        try:
            connection = self._connect()
            return [self._ask(connection, self._requests[place % len(self._requests)]) for place in places]
        except TimeoutError:
            raise
        except OSError as error:
            raise Failed(self._version, f"it did not answer ({type(error).__name__}: {error})", gone=True) from error

    def _connect(self) -> socket.socket:
        if self._socket is not None and time.monotonic() - self._used < _IDLE_SECONDS:
            return self._socket
        self.close()
        address = (self._endpoint.host, self._endpoint.port)
        self._socket = socket.create_connection(address, timeout=self._left())
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def _ask(self, connection: socket.socket, request: bytes) -> float:
        connection.settimeout(self._left())
        started = time.perf_counter_ns()
        connection.sendall(request)
        head, end = b"", -1
        while end < 0:
            head += self._receive(connection)
            end = head.find(b"\r\n\r\n")
        length = _LENGTH.search(head, 0, end + 2)
        told = head[end + 4 :]
        missing = (int(length[1]) if length else 0) - len(told)
        while missing > 0:
            piece = self._receive(connection)
            missing -= len(piece)
            told = told or piece
        took = (time.perf_counter_ns() - started) / 1e6
        self._check(head[: end + 2], told)
        self._used = time.monotonic()
        return took

    def _receive(self, connection: socket.socket) -> bytes:
        piece = connection.recv(_RECEIVE_BYTES)
        if not piece:
            raise ConnectionError("the connection ended")
        return piece

    def _check(self, head: bytes, told: bytes) -> None:
        version = _VERSION.search(head)
        refused = self._may_refuse and head[9:12] == b"500" and _REFUSED in told
        if head[9:12] != b"200" and not refused:
            reason = f"it answered {head[9:12].decode('latin-1')}: {told[:300].decode('utf-8', 'replace')}"
            raise Failed(self._version, reason, gone=False)
        if version is None or version[1].decode("latin-1") != self._version:
            raise Failed(self._version, "the answer came from another version", gone=False)
