"""AWS's way of asking and answering over HTTP, as far as SageMaker needs it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from typing import Any

from moto.iam.models import get_account_id_from
from werkzeug.wrappers import Response

from config.sagemaker_emulator.refusals import Refusal

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Any]

_SCOPE = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/")
_DEFAULT_REGION = "us-east-1"


@dataclass(frozen=True)
class Caller:
    """Whose request it is: ``service`` is the name it was signed for, empty when it was not signed."""

    account: str
    region: str
    service: str


def read_caller(environ: Environ) -> Caller:
    """Who signed the request; moto's default account in us-east-1 when nobody did."""
    found = _SCOPE.search(environ.get("HTTP_AUTHORIZATION", ""))
    if found is None:
        return Caller(get_account_id_from(""), _DEFAULT_REGION, "")
    return Caller(get_account_id_from(found["key"]), found["region"], found["service"])


def read_body(environ: Environ) -> bytes:
    """The whole body, which can be read again afterwards."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = BytesIO(body)
    return body


def ask_below(below: Application, environ: Environ, body: bytes) -> tuple[int, dict[str, Any]]:
    """Hand the request on to moto and read its answer: the HTTP status and the JSON."""
    environ = {**environ, "wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    response = Response.from_app(below, environ)
    return response.status_code, json.loads(response.get_data() or b"{}")


def _write_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{type(value).__name__} has no place in an answer")


def answer(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer; times are seconds since 1970."""
    body = json.dumps(content, default=_write_value)
    return Response(body, status, {"Content-Type": "application/x-amz-json-1.1", **(headers or {})})


def answer_refusal(refusal: Refusal) -> Response:
    """The answer that a client raises as ClientError."""
    facts = {name: fact for name, fact in refusal.facts.items() if name not in {"code", "status"}}
    content = {"__type": refusal.code, "message": refusal.message, "Message": refusal.message, **facts}
    return answer(content, refusal.status, {"x-amzn-ErrorType": refusal.code})
