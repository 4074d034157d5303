"""What an endpoint should serve, what it serves, since when and why."""

from __future__ import annotations

from typing import Any

from include.declaration.models import Pipeline
from include.deployment.local.switch import ask_version, locate_endpoint
from include.deployment.status import EndpointStatus
from include.errors import EndpointUnavailable, PointerInvalid
from include.pointer import locate_endpoint_folder, read_pointer
from include.settings import Settings


def read_status(settings: Settings, pipeline: Pipeline) -> EndpointStatus:
    """Read the pointer and ask the endpoint; raises nothing when either is missing or wrong, but says so."""
    endpoint = locate_endpoint(settings, pipeline)
    problem: str | None = None
    pointer = None
    try:
        pointer = read_pointer(locate_endpoint_folder(settings, pipeline.name))
    except PointerInvalid as error:
        problem = error.message
    answer: dict[str, Any] = {}
    try:
        answer = ask_version(endpoint)
        refused = answer["pointer_error"]
        problem = problem or (str(refused["message"]) if refused else answer.get("reason") or None)
    except EndpointUnavailable as error:
        problem = problem or error.message
    declared = pointer.version if pointer else None
    served = answer.get("version")
    status = EndpointStatus(
        pipeline=pipeline.name,
        url=endpoint.url,
        state=str(answer.get("state", "down")),
        declared_version=declared,
        served_version=served,
        agree=declared == served,
        started_at=answer.get("started_at"),
        pid=answer.get("pid"),
        problem=problem,
        scoring_path=answer.get("scoring_path"),
        scoring_note=answer.get("scoring_note") or None,
        rules=tuple(_describe_rule(rule) for rule in answer.get("prediction_rules", ())),
        capture=_describe_capture(answer["capture"]) if answer.get("capture") else None,
        rollout=answer.get("rollout"),
    )
    return status.explain(pointer)


def _describe_capture(capture: dict[str, Any]) -> str:
    if capture["state"] == "off":
        return f"nothing ({capture['reason']})"
    text = f"{capture['sampling_percentage']:g} % of the requests: {capture['captured']} kept"
    if capture["not_captured"]:
        text += f", {capture['not_captured']} could not be"
    return text if capture["state"] == "on" else f"{text}; it stopped: {capture['reason']}"


def _describe_rule(rule: dict[str, Any]) -> str:
    done = "clipped" if rule["action"] == "clip" else "refused"
    return f"{rule['name']} ({rule['bounds']}): {rule['answers']} answers {done}"
