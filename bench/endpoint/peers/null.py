"""The floor: an ASGI application that takes a request's body and answers the same to everything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

_CONTENT = b'{"predictions":[0.25],"model_version":"1"}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_CONTENT))]


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Read and answer."""
    del scope
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _CONTENT})
