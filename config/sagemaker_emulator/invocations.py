"""The data plane: POST /endpoints/<name>/invocations, answered by a container."""

from __future__ import annotations

import http.client
import threading
import time

from werkzeug.wrappers import Request, Response

from config.sagemaker_emulator.capture import CaptureWriter
from config.sagemaker_emulator.clock import read_now
from config.sagemaker_emulator.endpoints import Endpoint
from config.sagemaker_emulator.fleets import Fleet, Variant
from config.sagemaker_emulator.metrics import record_invocation
from config.sagemaker_emulator.refusals import Refusal
from config.sagemaker_emulator.regions import Region
from config.sagemaker_emulator.services import Services

_MOST_BYTES = 25 * 1024 * 1024
_MOST_TOLD = 1000
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the latency metrics for "
    "each container in Amazon CloudWatch, resolve the issue, and try again."
)
# Headers that SageMaker passes on to a container, and back.
_PASSED = "x-amzn-sagemaker-"
_ANSWERING = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack", "UpdateRollbackFailed"})


def invoke(services: Services, region: Region, name: str, request: Request) -> Response:
    """Answer one InvokeEndpoint. Raises Refusal: ValidationError, or ModelError (424) for a container's error."""
    began = time.perf_counter()
    endpoint = region.endpoints.get(name)
    if endpoint is None or endpoint.status == "Deleting":
        raise Refusal(f"Endpoint {name} of account {region.account} not found.", code="ValidationError")
    body = request.get_data(cache=False)
    if len(body) > _MOST_BYTES:
        raise Refusal(f"Request {len(body)} bytes is larger than the limit of {_MOST_BYTES}.", code="ValidationError")
    target = request.headers.get("X-Amzn-SageMaker-Target-Variant")
    chosen = endpoint.choose(target)
    if chosen is None:
        if target is not None and endpoint.live is not None:
            raise Refusal(f"Variant {target} was not found for endpoint {name}.", code="ValidationError")
        raise Refusal(
            f"Endpoint {name} of account {region.account} is not InService: {endpoint.status}.", code="ValidationError"
        )
    fleet, variant = chosen
    try:
        return _ask(services, region, endpoint, fleet, variant, request, body, began)
    finally:
        fleet.leave()


def _ask(
    services: Services,
    region: Region,
    endpoint: Endpoint,
    fleet: Fleet,
    variant: Variant,
    request: Request,
    body: bytes,
    began: float,
) -> Response:
    content_type = request.headers.get("Content-Type") or "application/octet-stream"
    headers = {"Content-Type": content_type, "Accept": request.headers.get("Accept") or "*/*"}
    headers |= {key: text for key, text in request.headers if key.lower().startswith(_PASSED)}
    for shadow in fleet.shadows:
        # A copy, whose answer nobody gets.
        threading.Thread(target=_ask_shadow, args=(shadow, body, headers), daemon=True).start()
    asked = time.perf_counter()
    reason = ""
    try:
        status, answer, answered = variant.choose_container().invoke(body, headers)
    except TimeoutError:
        status, answer, answered, reason = 0, b"", {}, _TIMED_OUT
    except (OSError, http.client.HTTPException) as error:
        status, answer, answered, reason = 0, b"", {}, f"The connection to the container failed: {error}"
    model_seconds = time.perf_counter() - asked
    names = (endpoint.name, variant.name, fleet.config["EndpointConfigName"])
    overhead = time.perf_counter() - began - model_seconds
    record_invocation(services.metrics, region.account, region.name, names, status or 500, model_seconds, overhead)
    if not 200 <= status < 300:
        raise _build_model_error(region, endpoint.name, variant, status, reason or answer.decode(errors="replace"))
    answer_type = answered.get("content-type", "application/octet-stream")
    inference_id = request.headers.get("X-Amzn-SageMaker-Inference-Id")
    if (writer := _find_capture(region, endpoint, fleet, variant.name)) is not None:
        writer.capture(read_now(), (content_type, body), (answer_type, answer), inference_id)
    passed = {key: text for key, text in answered.items() if key.startswith(_PASSED)}
    passed |= {"Content-Type": answer_type, "x-Amzn-Invoked-Production-Variant": variant.name}
    return Response(answer, 200, passed)


def _ask_shadow(shadow: Variant, body: bytes, headers: dict[str, str]) -> None:
    try:
        shadow.choose_container().invoke(body, headers)
    except (OSError, http.client.HTTPException) as error:
        print(f"shadow {shadow.name}: {error}", flush=True)


def _build_model_error(region: Region, endpoint: str, variant: Variant, status: int, text: str) -> Refusal:
    side = "client" if 400 <= status < 500 else "server"
    told = text[:_MOST_TOLD]
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    return Refusal(
        f'Received {side} error ({status}) from primary with message "{told}". See https://{region.name}.console.aws.'
        f"amazon.com/cloudwatch/home?region={region.name}#logEventViewer:group={group} in account {region.account} "
        "for more information.",
        code="ModelError",
        status=424,
        OriginalStatusCode=status,
        OriginalMessage=told,
        LogStreamArn=f"arn:aws:logs:{region.name}:{region.account}:log-group:{group}",
    )


def _find_capture(region: Region, endpoint: Endpoint, fleet: Fleet, variant: str) -> CaptureWriter | None:
    config = fleet.config.get("DataCaptureConfig")
    if not config or not config.get("EnableCapture", True):
        return None
    key = f"{fleet.config['EndpointConfigName']}/{variant}"
    if key not in endpoint.captures:
        endpoint.captures.setdefault(key, CaptureWriter(region.account, endpoint.name, variant, config))
    return endpoint.captures[key]
