"""A request to what KServe serves, as a customer sends it: to the ingress, with the service's host in the header."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from include.declaration.kserve import KServeTarget, name_service
from include.deployment.kserve.v2 import convert_to_v2
from include.deployment.target import Answer
from include.errors import TargetUnavailable


def ask_model(target: KServeTarget, pipeline: str, url: str, body: bytes, content_type: str) -> Answer:
    """Ask for predictions; ``url`` is the service's own. Raises TargetUnavailable when there is no answer in time,
    TargetRefused for a body that the v2 protocol cannot carry."""
    path = "/invocations"
    if target.image is None:
        path = f"/v2/models/{name_service(target, pipeline)}/infer"
        body, content_type = convert_to_v2(body), "application/json"
    door = urlsplit(target.ingress_url or url)
    host = urlsplit(url).netloc
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
