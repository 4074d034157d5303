"""Asking a serving process over HTTP; no proxy, no redirect, a deadline on every wait."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from include.errors import EndpointUnavailable
from include.rollout import shorten_path


@dataclass(frozen=True)
class Endpoint:
    """Where a serving process listens, and the token that it wants to see, if any. One with a ``socket`` listens there
    and nowhere else."""

    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    socket: Path | None = None

    @property
    def url(self) -> str:
        """What a person, or a caller, uses."""
        return f"unix:{self.socket}" if self.socket is not None else f"http://{self.host}:{self.port}"

    def connect(self, seconds: float) -> http.client.HTTPConnection:
        """A connection whose waits end after ``seconds``; nothing is sent yet."""
        if self.socket is not None:
            return _SocketConnection(self.socket, seconds)
        return http.client.HTTPConnection(self.host, self.port, timeout=seconds)


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("candidate", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with shorten_path(self._path) as name:
            self.sock.connect(name)


@dataclass(frozen=True)
class Reply:
    """An answer: ``body`` is its decoded JSON."""

    status: int
    body: Any


def ask(
    endpoint: Endpoint,
    method: str,
    path: str,
    *,
    content: bytes | None = None,
    content_type: str = "application/json",
    seconds: float = 5.0,
) -> Reply:
    """Send one request. Raises EndpointUnavailable when there is no answer within ``seconds``, or it is not JSON."""
    connection = endpoint.connect(max(seconds, 0.05))
    try:
        headers = {} if endpoint.token is None else {"authorization": f"Bearer {endpoint.token}"}
        if content is not None:
            headers["content-type"] = content_type
        connection.request(method, path, content, headers)
        response = connection.getresponse()
        return Reply(response.status, json.loads(response.read()))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EndpointUnavailable(
            f"The endpoint {endpoint.url} did not answer {method} {path} ({type(error).__name__}: {error}).",
            next_step="See that its process runs (make status, make logs); then run this again.",
            url=endpoint.url,
            version=None,
        ) from error
    finally:
        connection.close()
