"""The real server, guard and application in a thread of the test, with a model that the test makes up."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from include.serving.app import build_app
from include.serving.follow import Endpoint
from include.serving.limits import Limits
from include.serving.model import ServedModel
from include.serving.schema import read_schema
from include.serving.server import bind_port, build_server
from tests.unit.served_models import wait_for

REQUEST = {
    "hour": {"type": "number", "required": True, "description": "Hour <of> the day"},
    "carrier": {"type": "string", "required": False},
}
ROW = {"instances": [{"hour": 1}]}


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.content)


@dataclass
class Local:
    """``endpoint`` is the running endpoint's own state."""

    port: int
    endpoint: Endpoint

    def ask(self, path: str = "/invocations", body: Any = None, method: str = "", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            if content is not None:
                sent.setdefault("content-type", "application/json")
            connection.request(method or ("GET" if body is None else "POST"), path, content, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def read_metrics(self, **headers: str) -> dict[tuple[str, ...], float]:
        """Sample name and label values (in the order of the labels' names) to value."""
        text = self.ask("/metrics", **headers).content.decode()
        return {
            (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def make_model(
    scores: Callable[[Any], list[float]], version: str = "7", inline_bytes: int = 0, **rules: str
) -> ServedModel:
    metadata = {"pipeline": "made_up", "task": "binary", "request": REQUEST, "request_rules": rules}
    schema = read_schema(REQUEST, rules)
    return ServedModel(version, Path("/made/up"), schema, metadata, scores, inline_bytes=inline_bytes)


def score_halves(request: Any) -> list[float]:
    return [0.5] * request.rows


@contextlib.contextmanager
def serve_locally(model: ServedModel | None = None, **limits: Any) -> Iterator[Local]:
    """A server with ``model`` (default: answers 0.5 to every row, on the event loop); ``limits`` replace defaults."""
    endpoint = Endpoint("made_up")
    chosen = replace(Limits(), **limits)
    served = model or make_model(score_halves, inline_bytes=1 << 14)

    async def keep_model() -> None:
        endpoint.take(served, None)

    listener = bind_port("127.0.0.1", 0)
    server = build_server(build_app(endpoint, keep_model, chosen), listener, chosen, endpoint.counters)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    local = Local(listener.getsockname()[1], endpoint)
    thread.start()
    try:
        wait_for(lambda: local.ask("/ping").status == 200)
        yield local
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(65536):
            pieces.append(piece)
    return b"".join(pieces)
