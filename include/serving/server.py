"""Running the application: the socket first, so a taken port is a clear message, then uvicorn until SIGTERM."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from include.errors import PortTaken, SettingsError
from include.records import write_file_atomically
from include.rollout import shorten_path
from include.serving.app import Application
from include.serving.counters import Counters
from include.serving.limits import Limits
from include.serving.log import log_event

if TYPE_CHECKING:
    from uvicorn import Server

# Requests under way get this long to finish after SIGTERM; SageMaker kills after 30 s.
DRAIN_SECONDS = 20
_BACKLOG = 2048
# How long the event loop waits for a thread that loads a model or scores a large request. Python's 5 ms is several
# answers of one row, each time the loop looks for callers.
_SWITCH_SECONDS = 0.0005


def bind_port(host: str, port: int) -> socket.socket:
    """Listen on ``host``:``port`` (0: any free one). Raises PortTaken, or SettingsError for an unusable host."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        # With the protocol named, asyncio turns Nagle's delay off; without, small answers wait 40 ms.
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"The endpoint's port {port} on {host} is in use by another program.",
                next_step="Stop that program, or set TOLLGATE_ENDPOINT_PORT to a free port.",
                port=port,
                setting="TOLLGATE_ENDPOINT_PORT",
                program="endpoint",
            ) from error
        raise SettingsError(
            f"The endpoint cannot listen on {host}:{port} ({error}).",
            next_step="Set TOLLGATE_ENDPOINT_HOST and TOLLGATE_ENDPOINT_PORT to an address of this machine.",
            setting="TOLLGATE_ENDPOINT_HOST",
            value=host,
        ) from error
    return listener


def bind_file(path: Path) -> socket.socket:
    """Listen on a socket file, in place of one that a killed process left. Raises SettingsError."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.unlink(missing_ok=True)
        with shorten_path(path) as name:
            listener.bind(name)
        # Whoever may open it may ask: no token is asked for here.
        path.chmod(0o600)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"The endpoint cannot listen on the socket {path} ({error}).",
            next_step="Give --uds a path in a folder that exists and that this user may write to.",
            setting="--uds",
            value=str(path),
        ) from error
    return listener


def report_listening(listener: socket.socket, port_file: Path | None) -> None:
    """Say where the endpoint listens."""
    if listener.family == socket.AF_UNIX:
        log_event("listening", socket=listener.getsockname())
        return
    host, port = listener.getsockname()[:2]
    if port_file is not None:
        write_file_atomically(port_file, str(port).encode())
    log_event("listening", host=host, port=port)


def run_server(app: Application, listener: socket.socket, limits: Limits, counters: Counters) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way and end the process."""
    # uvicorn drains on a signal and then raises it again: a stop that was asked for is no failure.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _exit_cleanly)
    sys.setswitchinterval(_SWITCH_SECONDS)
    build_server(app, listener, limits, counters).run(sockets=[listener])


def build_server(app: Application, listener: socket.socket, limits: Limits, counters: Counters) -> Server:
    """The server of one process: uvicorn with a guard on every connection, and fair to the other workers, if any."""
    import uvicorn

    from include.serving.guard import Guard, limit_handles
    from include.serving.sharing import SharingServer

    limit_handles(limits.connections)
    guard = Guard(limits, counters)
    # What callers do wrong is counted; written down it would fill the log at their pace.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=guard.build_protocol(),
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=_BACKLOG,
        # The guard's own limit ends idle connections; uvicorn's only has to be longer.
        timeout_keep_alive=round(2 * limits.idle_seconds),
        timeout_graceful_shutdown=DRAIN_SECONDS,
        callback_notify=guard.sweep,
        timeout_notify=0,  # at every look that uvicorn takes, once a second
    )
    if counters.board.workers == 1:
        return uvicorn.Server(config)
    return SharingServer(config, listener, counters.board, counters.slot)


def _exit_cleanly(_number: int, _frame: FrameType | None) -> None:
    log_event("stopped")
    # Not sys.exit, which would wait for a scoring thread that never ends.
    os._exit(0)
