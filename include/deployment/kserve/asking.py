"""A request to what KServe serves, as a customer sends it: to the ingress, with the service's host in the header."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

from include.declaration.kserve import KServeTarget, name_service
from include.deployment.target import Answer
from include.errors import TargetUnavailable


def choose_path(target: KServeTarget, pipeline: str, body: bytes) -> str:
    """Where a body goes: a request of the v2 (Open Inference) protocol to KServe's path for it; rows as MLflow's and
    Tollgate's servers take them to /invocations, which KServe's runtime for MLflow models has too."""
    if target.image is None and is_v2(body):
        return f"/v2/models/{name_service(target, pipeline)}/infer"
    return "/invocations"


def is_v2(body: bytes) -> bool:
    """Whether a body is a v2 request: MLflow's ``inputs`` are never objects with a datatype."""
    try:
        inputs = json.loads(body)["inputs"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return False
    return isinstance(inputs, list) and bool(inputs) and all(isinstance(i, dict) and "datatype" in i for i in inputs)


def ask_model(target: KServeTarget, pipeline: str, url: str, body: bytes, content_type: str) -> Answer:
    """Ask for predictions; ``url`` is the service's own. Raises TargetUnavailable when there is no answer in time."""
    path = choose_path(target, pipeline, body)
    door, host = urlsplit(target.ingress_url or url), urlsplit(url).netloc
    kind = http.client.HTTPSConnection if door.scheme == "https" else http.client.HTTPConnection
    connection = kind(door.netloc, timeout=target.request_seconds)
    try:
        connection.request("POST", path, body, {"content-type": content_type, "host": host})
        answer = connection.getresponse()
        version = answer.getheader("x-model-version")
        return Answer(answer.status, answer.read(), answer.getheader("content-type") or "", version)
    except (OSError, http.client.HTTPException) as error:
        raise TargetUnavailable(
            f"{host} did not answer POST {path} ({type(error).__name__}).",
            next_step="See that the ingress is reachable from here, or declare deployment.target.ingress_url.",
            target="kserve",
            call="predict",
            code=type(error).__name__,
        ) from error
    finally:
        connection.close()
