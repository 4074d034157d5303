"""Bodies that arrive in pieces: one body, and all of them together, hold at most so much memory."""

from __future__ import annotations

from collections.abc import Mapping

from include.serving.answers import Receive
from include.serving.counters import REFUSED, Counters
from include.serving.limits import Limits
from include.serving.schema import RequestRefused

# A caller who sends too much is still sending: so many times the limit is read and dropped, for it to see the answer.
_DRAINED = 4


class ClientGone(Exception):
    """The caller hung up while sending, or was cut off."""


class Bodies:
    """The bodies that a process holds. ``read`` counts a body in; ``release`` counts it out once it is answered."""

    def __init__(self, limits: Limits, counters: Counters) -> None:
        self._limits = limits
        self._counters = counters
        self.held = 0

    def check_declared(self, headers: Mapping[bytes, bytes]) -> None:
        """Raises RequestRefused (413) for a body that is announced to be far too large, before any of it has come."""
        if int(headers.get(b"content-length", b"0")) > _DRAINED * self._limits.body_bytes:
            raise self.refuse_size()

    async def read(self, first: bytes, receive: Receive) -> bytes:
        """The whole body, of which ``first`` has come. How long it may take is for the connection's guard to say.

        Raises RequestRefused (413 above the limit, 503 when too much is held already) and ClientGone.
        """
        pieces: list[bytes] = []
        size = 0
        piece, more = first, True
        try:
            while True:
                pieces.append(piece)
                size += len(piece)
                self.held += len(piece)
                if size > self._limits.body_bytes:
                    pieces.clear()
                    if more:
                        await _drain(_DRAINED * self._limits.body_bytes - size, receive)
                    raise self.refuse_size()
                if self.held > self._limits.held_bytes:
                    self._counters.count(REFUSED, "memory")
                    raise RequestRefused(503, "OVERLOADED", "Too many large requests are arriving at once.")
                if not more:
                    return b"".join(pieces)
                piece, more = await _receive_piece(receive)
        except BaseException:
            self.held -= size
            raise

    def release(self, body: bytes) -> None:
        """Count a body out that ``read`` returned."""
        self.held -= len(body)

    def refuse_size(self) -> RequestRefused:
        """The refusal of a body that is too large."""
        return RequestRefused(413, "BODY_TOO_LARGE", f"A request may hold at most {self._limits.body_bytes} bytes.")


async def _receive_piece(receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message["body"], message["more_body"]


async def _drain(most: int, receive: Receive) -> None:
    more = True
    while more and most > 0:
        piece, more = await _receive_piece(receive)
        most -= len(piece)
