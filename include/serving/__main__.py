"""``python -m include.serving``: follow a pipeline's pointer, serve one directory, or be a SageMaker container.

    python -m include.serving --pipeline NAME [--host H] [--port P]
    python -m include.serving --model-dir DIR --port 0 --port-file F
    python -m include.serving --model-dir DIR --uds SOCKET --memory-mb 1024   # a candidate beside its champion
    python -m include.serving serve                  # /opt/ml/model on port 8080, or SAGEMAKER_BIND_TO_PORT

Ends with 78 and one message when it cannot start (a taken port, a wrong setting): trying again would not help.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

# Before scikit-learn is imported: OpenMP's threads cost far more than they give on one row. The thread pool is ours.
os.environ["OMP_NUM_THREADS"] = "1"

from include.captured import locate_captured
from include.errors import SettingsError, TollgateError
from include.pointer import locate_endpoint_folder
from include.serving.app import build_app
from include.serving.board import Board
from include.serving.capture.keeper import Capture
from include.serving.follow import Endpoint, follow_pointer, serve_directory
from include.serving.follow_rollout import follow_rollout
from include.serving.limits import read_limits
from include.serving.log import log_event
from include.serving.memory import limit_memory
from include.serving.parent import follow_parent
from include.serving.server import DRAIN_SECONDS, bind_file, bind_port, report_listening, run_server
from include.serving.turn import wait_for_turn
from include.serving.workers import run_workers
from include.settings import Settings, load_settings

CANNOT_START = 78  # EX_CONFIG of sysexits.h
_CONTAINER_MODEL = Path("/opt/ml/model")
_CONTAINER_PORT = 8080
_PORT_VARIABLE = "SAGEMAKER_BIND_TO_PORT"


def main(arguments: list[str] | None = None) -> int:
    """Run the serving process until it is told to stop; returns the exit code."""
    asked = _parse_arguments(arguments)
    try:
        _serve(asked)
    except TollgateError as error:
        sys.stderr.write(f"{error}\n")
        return CANNOT_START
    return 0


def _parse_arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m include.serving", description="Serve a model over HTTP.")
    parser.add_argument("mode", nargs="?", choices=["serve"], help="the entry point of a SageMaker container")
    parser.add_argument("--pipeline", help="follow this pipeline's pointer")
    parser.add_argument("--model-dir", type=Path, help="serve the model of this directory and nothing else")
    parser.add_argument("--model-version", help="name of that model in answers (default: the directory's name)")
    parser.add_argument("--host", help="default: TOLLGATE_ENDPOINT_HOST")
    parser.add_argument("--port", type=int, help="0: any free port; default: TOLLGATE_ENDPOINT_PORT + port_offset")
    parser.add_argument("--port-file", type=Path, help="write the port in use to this file")
    parser.add_argument("--uds", type=Path, help="listen on this socket file instead, for whoever may open it")
    parser.add_argument("--memory-mb", type=int, help="memory that this process may take for its own")
    parser.add_argument("--workers", type=int, help="processes that answer; default: TOLLGATE_ENDPOINT_WORKERS")
    parser.add_argument("--parent", type=int, help="end when the process with this id ends")
    asked = parser.parse_args(arguments)
    if asked.mode is None and asked.pipeline is None and asked.model_dir is None:
        parser.error("give --pipeline, --model-dir or serve")
    if asked.port is not None and not 0 <= asked.port <= 65535:
        parser.error("--port is a number from 0 to 65535")
    if asked.workers is not None and not 1 <= asked.workers <= 64:
        parser.error("--workers is a number from 1 to 64")
    return asked


def _serve(asked: argparse.Namespace) -> None:
    if asked.parent is not None:
        follow_parent(asked.parent)
    if asked.memory_mb is not None:
        limit_memory(asked.memory_mb)
    settings = load_settings()
    if asked.mode == "serve":
        asked.model_dir = asked.model_dir or Path(os.environ.get("SM_MODEL_DIR") or _CONTAINER_MODEL)
        asked.model_version = asked.model_version or os.environ.get("TOLLGATE_MODEL_VERSION")
        asked.host = asked.host or "0.0.0.0"  # noqa: S104 (inside a container; the contract asks for it)
    if asked.uds is not None:
        listener = bind_file(asked.uds)
    else:
        listener = bind_port(asked.host or settings.endpoint_host, _choose_port(settings, asked))
    report_listening(listener, asked.port_file)
    board = Board(asked.workers or settings.endpoint_workers)
    if board.workers == 1:
        # No parent for a single one: whatever supervises us starts it again.
        board.set_accepting(0)
        _run_worker(asked, settings, listener, board, 0)
    else:
        run_workers(board, listener, partial(_run_worker, asked, settings, listener, board), DRAIN_SECONDS)
        log_event("stopped")


def _run_worker(
    asked: argparse.Namespace, settings: Settings, listener: socket.socket, board: Board, slot: int
) -> None:
    endpoint = Endpoint(asked.pipeline or "", board, slot)
    keep_model: partial[Coroutine[Any, Any, None]]
    if asked.model_dir is not None:
        keep_model = partial(serve_directory, endpoint, asked.model_dir.resolve(), asked.model_version)
    else:
        keep_model = partial(_follow, endpoint, locate_endpoint_folder(settings, asked.pipeline))
        # Only here: what a sandbox or a candidate is asked is no customer's request, or is captured by the champion.
        endpoint.capture = Capture(locate_captured(settings, asked.pipeline), endpoint.counters)
    limits = read_limits(settings)
    if asked.uds is not None:
        limits = replace(limits, token=None)  # who may open the socket may ask
        endpoint.is_candidate = True
    app = build_app(endpoint, keep_model, limits, partial(wait_for_turn, endpoint))
    run_server(app, listener, limits, endpoint.counters)


async def _follow(endpoint: Endpoint, folder: Path) -> None:
    """Follow what deployment writes: the pointer, and the rollout beside it."""
    await asyncio.gather(follow_pointer(endpoint, folder), follow_rollout(endpoint, folder))


def _choose_port(settings: Settings, asked: argparse.Namespace) -> int:
    if asked.port is not None:
        return int(asked.port)
    if asked.mode == "serve":
        return _read_container_port(os.environ.get(_PORT_VARIABLE, ""))
    if asked.pipeline is None:
        return settings.endpoint_port
    # Only now: a declaration that is broken at this moment must not keep a server with a given port from starting.
    from include.declaration.loader import get_pipeline

    offset = get_pipeline(settings, asked.pipeline).deployment.port_offset
    if offset is None:
        raise SettingsError(
            f"{asked.pipeline} declares another target than this machine, so it has no port here.",
            next_step="Give a --port, or declare a LocalTarget.",
            setting="TOLLGATE_ENDPOINT_PORT",
            value="",
        )
    return settings.endpoint_port + offset


def _read_container_port(text: str) -> int:
    """Where SageMaker wants a container to listen: 8080, or elsewhere when several share one machine."""
    if not text:
        return _CONTAINER_PORT
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise SettingsError(
            f"{_PORT_VARIABLE} is {text!r}, which is not a port.",
            next_step=f"Unset it: the container then listens on {_CONTAINER_PORT}.",
            setting=_PORT_VARIABLE,
            value=text,
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
