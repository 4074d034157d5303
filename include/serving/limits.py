"""How much one serving process takes on, and how long it waits for a caller; each number has its reason here."""

from __future__ import annotations

from dataclasses import dataclass

from include.settings import Settings

_MEBIBYTE = 1024 * 1024
# So many bodies of the largest size may be arriving or waiting at once: what callers can make a process hold is known.
_LARGE_BODIES = 16
RETRY_AFTER = (b"retry-after", b"1")


@dataclass(frozen=True)
class Limits:
    """``body_bytes``, ``seconds`` (from a complete body to its answer), ``queue`` and ``connections`` are settings; the
    rest nobody should need to change. ``token`` is what callers must present, if anything."""

    # SageMaker's limit of a request's payload.
    body_bytes: int = 6 * _MEBIBYTE
    # SageMaker gives up after 60 s, which the body's own time must fit into as well.
    seconds: float = 30.0
    # Large requests waiting for a scoring thread: at some 10 ms each, the last one waits well below a second.
    queue: int = 64
    # Each costs a file descriptor and some 20 kB; more callers than this belong behind a proxy.
    connections: int = 1024
    token: str | None = None
    # A head is sent in one piece by every honest client; proxies allow 32 kB of it.
    head_seconds: float = 10.0
    head_bytes: int = 32 * 1024
    # 6 MiB in this time is a line of 1.7 Mbit/s.
    body_seconds: float = 30.0
    # An answer that the caller does not take holds its memory.
    write_seconds: float = 30.0
    # Longer than load balancers keep a connection idle (60 s), so that they, and not we, close it.
    idle_seconds: float = 75.0

    @property
    def held_bytes(self) -> int:
        """Bytes of bodies that arrive in pieces or wait, all callers together."""
        return _LARGE_BODIES * self.body_bytes


def read_limits(settings: Settings) -> Limits:
    """The limits that the settings ask for."""
    return Limits(
        body_bytes=settings.endpoint_body_mb * _MEBIBYTE,
        seconds=settings.endpoint_seconds,
        queue=settings.endpoint_queue,
        connections=settings.endpoint_connections,
        token=settings.endpoint_token,
    )
