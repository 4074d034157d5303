"""Workers that share one socket fairly: a new connection goes to the worker that has the fewest.

Left to the kernel, whichever worker is awake takes all: of eight connections one of three workers was seen to hold all,
and callers keep their connections.

Work-only module: it imports uvicorn.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from uvicorn import Config, Server

from include.serving.board import Board

# A worker that has more than another leaves a caller to it for so long; a busy one may need it to come round.
_COURTESY_SECONDS = 0.01
# One that did not come for so many callers is at work on something long: for a time others need not wait for it.
_COURTESIES = 5
_IMPATIENT_SECONDS = 0.2
# Without file descriptors or memory for another connection; some will be free again.
_EXHAUSTED_SECONDS = 0.1

ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class SharingServer(Server):
    """A uvicorn server that takes connections from ``listener`` one by one, instead of as many as it can."""

    def __init__(self, config: Config, listener: socket.socket, board: Board, slot: int) -> None:
        super().__init__(config)
        self._acceptor = _Acceptor(listener, board, slot, self._build_protocol)

    def _build_protocol(self) -> asyncio.BaseProtocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start without sockets, then take connections ourselves."""
        await super().startup(sockets=[])
        self._acceptor.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, then finish the requests under way."""
        self._acceptor.stop()
        await super().shutdown(sockets=[])


class _Acceptor:
    def __init__(self, listener: socket.socket, board: Board, slot: int, build_protocol: ProtocolFactory) -> None:
        self._listener = listener
        self._board = board
        self._slot = slot
        self._build_protocol = build_protocol
        # Accepted, and not counted by their protocols yet. Held here too: the loop keeps only weak references.
        self._taking: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._in_vain = 0
        self._impatient_until = 0.0

    def start(self) -> None:
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._look)

    def stop(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()

    def _look(self) -> None:
        patient = asyncio.get_running_loop().time() > self._impatient_until
        if patient and self._board.has_more_connections(self._slot, len(self._taking)):
            self._wait(_COURTESY_SECONDS)
        else:
            self._accept()

    def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        self._pause = loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        loop = asyncio.get_running_loop()
        self._pause = None
        loop.add_reader(self._listener, self._look)
        self._in_vain = self._in_vain + 1 if self._accept() else 0
        if self._in_vain == _COURTESIES:
            self._in_vain = 0
            self._impatient_until = loop.time() + _IMPATIENT_SECONDS

    def _accept(self) -> bool:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return False  # another worker was quicker, or the caller is gone again
        except OSError:
            self._wait(_EXHAUSTED_SECONDS)
            return False
        connection.setblocking(False)
        # Small answers would wait 40 ms for the caller's acknowledgement.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.ensure_future(self._take(connection))
        self._taking.add(task)
        task.add_done_callback(self._taking.discard)
        return True

    async def _take(self, connection: socket.socket) -> None:
        await asyncio.get_running_loop().connect_accepted_socket(self._build_protocol, connection)
