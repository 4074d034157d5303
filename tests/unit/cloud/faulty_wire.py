"""Faults between us and AWS, below boto3: answered wrongly, not at all, or taken and then not answered."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session

from include.cloud.clients import make_clients


class _Raw(io.BytesIO):
    def stream(self, *_: Any, **__: Any) -> Any:
        yield self.read()


def _write_text(text: str) -> bytes:
    """A short text in CBOR."""
    content = text.encode()
    return (bytes([0x60 + len(content)]) if len(content) < 24 else bytes([0x78, len(content)])) + content


def _answer(request: Any, status: int, code: str) -> AWSResponse:
    """An error as the service that was asked writes it; S3's answer to HEAD has no words."""
    told = request.headers.get("content-type") or b""
    kind = told.decode() if isinstance(told, bytes) else told
    headers = {"content-type": kind, "x-amzn-errortype": code}
    if request.method == "HEAD":
        body = b""
    elif "cbor" in kind:
        body = bytes([0xA2]) + b"".join(map(_write_text, ("__type", code, "message", "injected")))
        headers |= {"smithy-protocol": "rpc-v2-cbor"}
    elif "json" in kind:
        body = json.dumps({"__type": code, "message": "injected"}).encode()
    elif "form" in kind:
        body = f"<ErrorResponse><Error><Code>{code}</Code><Message>injected</Message></Error></ErrorResponse>".encode()
    else:
        body = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    return AWSResponse(request.url, status, headers, _Raw(body))


def throttle(request: Any) -> AWSResponse:
    return _answer(request, 429, "ThrottlingException")


def fail_inside(request: Any) -> AWSResponse:
    return _answer(request, 503, "ServiceUnavailable")


def expire(request: Any) -> AWSResponse:
    return _answer(request, 400, "ExpiredTokenException")


def time_out(request: Any) -> AWSResponse:
    raise ReadTimeoutError(endpoint_url=request.url)


def cut_after(request: Any) -> AWSResponse:
    """AWS takes the request, and the connection is gone before the answer is here."""
    URLLib3Session(timeout=60).send(request)
    raise ConnectionClosedError(endpoint_url=request.url)


FAULTS: dict[str, Callable[[Any], AWSResponse]] = {
    each.__name__: each for each in (throttle, fail_inside, expire, time_out, cut_after)
}


class FaultyWire:
    """Clients whose ``place``-th request meets ``fault``, and as many sends after it as make botocore give up.

    A request that was taken is cut once only: what botocore then repeats is what a service sees twice.
    """

    def __init__(self, region: str, fault: str, place: int) -> None:
        self._make = make_clients(region)
        self._fault = FAULTS[fault]
        self._place = place
        self._left = 1 if fault == "cut_after" else 3
        self._known: set[str] = set()
        self.sent = 0

    def __call__(self, service: str) -> Any:
        client = self._make(service)
        if service not in self._known:
            self._known.add(service)
            client.meta.events.register("before-send", self._meet)
        return client

    @property
    def met(self) -> bool:
        """Whether there was such a request."""
        return self.sent >= self._place

    def _meet(self, request: Any, **_: Any) -> AWSResponse | None:
        self.sent += 1
        if self.sent < self._place or self._left == 0:
            return None
        self._left -= 1
        return self._fault(request)
