"""Making the endpoint serve what a new pointer says, or putting the old pointer back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from include.declaration.models import Pipeline
from include.deployment.local.client import Endpoint, ask
from include.deployment.local.lock import give_way
from include.errors import EndpointUnavailable, TerminalError
from include.pointer import Pointer, Withdrawal, locate_model, remove_pointer, withdraw_pointer, write_pointer
from include.records import utc_now
from include.settings import Settings

_POLL_SECONDS = 0.05


def locate_endpoint(settings: Settings, pipeline: Pipeline) -> Endpoint:
    """Where the pipeline's endpoint listens. Raises TerminalError for one that is served elsewhere."""
    offset = pipeline.deployment.port_offset
    if offset is None:
        raise TerminalError(
            f"{pipeline.name} is served by {pipeline.deployment.target.kind}, not by an endpoint of this machine.",
            next_step="Ask through include.deployment.door.",
            pipeline=pipeline.name,
        )
    return Endpoint(settings.endpoint_host, settings.endpoint_port + offset, settings.endpoint_token)


def ask_version(endpoint: Endpoint, seconds: float = 2.0) -> dict[str, Any]:
    """The endpoint's own answer to what it serves. Raises EndpointUnavailable."""
    reply = ask(endpoint, "GET", "/version", seconds=seconds)
    if reply.status != 200 or not isinstance(reply.body, dict) or not {"pointer_error", "workers"} <= reply.body.keys():
        raise EndpointUnavailable(
            f"What listens at {endpoint.url} is not a Tollgate endpoint (GET /version gave {reply.status}).",
            next_step="See which program uses that port; TOLLGATE_ENDPOINT_PORT chooses another.",
            url=endpoint.url,
            version=None,
        )
    return reply.body


def serves(answer: dict[str, Any], folder: Path, pointer: Pointer) -> bool:
    """Whether ``answer`` (of /version) says that every worker of the endpoint serves exactly what ``pointer`` names.
    Where none says anything, nothing is known."""
    # The directory's own name holds the content's digest; its parent may be mounted elsewhere for the endpoint.
    wanted = (pointer.version, locate_model(folder, pointer).name)
    workers = answer["workers"]
    return bool(workers) and all((each["version"], Path(str(each["model_dir"])).name) == wanted for each in workers)


def switch_endpoint(endpoint: Endpoint, folder: Path, pointer: Pointer, before: Pointer | None, seconds: float) -> None:
    """Write ``pointer`` and wait until the endpoint serves it. Call it under the endpoint's lock.

    Raises EndpointUnavailable, with the pointer ``before`` in place again, when the endpoint does not answer, cannot
    load the version, or has not taken it up after ``seconds``; DeploymentStopped, likewise, for a rollback meanwhile.
    """
    deadline = time.monotonic() + seconds
    empty = False
    try:
        empty = _wait_for_answer(endpoint, folder, deadline, pointer.version)["version"] is None
        write_pointer(folder, pointer)
        _wait_until_served(endpoint, folder, pointer, deadline)
    except BaseException:
        if before is not None:
            write_pointer(folder, before)
        elif empty:
            # It may still be loading it; nobody checked its answers, so it must not begin to serve it later.
            withdraw_pointer(folder, Withdrawal(pointer.version, utc_now(), "its deployment did not end in time"))
        else:
            remove_pointer(folder)  # a damaged one was there: whatever the endpoint serves stays
        raise


def withdraw_version(endpoint: Endpoint, folder: Path, version: str, reason: str, seconds: float) -> str:
    """Have the endpoint serve nothing; call it under the endpoint's lock.

    Returns "" once it does, or why that was not seen within ``seconds``: an endpoint that is down serves nothing, and
    will find the order when it comes back.
    """
    withdraw_pointer(folder, Withdrawal(version, utc_now(), reason))
    deadline = time.monotonic() + seconds
    problem = f"it still served version {version}"
    while time.monotonic() < deadline:
        try:
            if ask_version(endpoint)["version"] is None:
                return ""
        except EndpointUnavailable as error:
            problem = error.message
        time.sleep(_POLL_SECONDS)
    return problem


def switch_back(endpoint: Endpoint, folder: Path, pointer: Pointer, before: Pointer, seconds: float) -> None:
    """Write ``pointer``, to an earlier version, and wait until the endpoint serves it. Call it under both locks.

    Raises EndpointUnavailable. When the endpoint refuses the earlier version, the pointer ``before`` is in place again;
    one that does not answer may be down for the very version that is left, so it finds the new pointer when it is back.
    """
    write_pointer(folder, pointer)
    try:
        problem = _look_until_served(endpoint, folder, pointer, time.monotonic() + seconds)
    except EndpointUnavailable:
        write_pointer(folder, before)
        raise
    if not problem:
        return
    raise EndpointUnavailable(
        f"The endpoint {endpoint.url} does not serve version {pointer.version} yet: {problem.rstrip('.')}."
        " It is told to, and will as soon as it can.",
        next_step="See its log (make logs) and that it runs (make status); then run the same again.",
        url=endpoint.url,
        version=pointer.version,
        reason=problem,
    )


def _find_refusal(answer: dict[str, Any], pointer: Pointer) -> str:
    """Why the endpoint, as ``answer`` (of /version) says, cannot follow just this pointer; "" when it does not say."""
    refused = answer["pointer_error"]
    if refused and (refused["version"], refused["swapped_at"]) == (pointer.version, pointer.swapped_at):
        return str(refused["message"])
    return ""


def _wait_for_answer(endpoint: Endpoint, folder: Path, deadline: float, version: str) -> dict[str, Any]:
    """What the endpoint serves; without any answer nothing is switched. A supervisor may be restarting it just now."""
    while True:
        give_way(folder, version)
        try:
            return ask_version(endpoint)
        except EndpointUnavailable as error:
            if time.monotonic() >= deadline:
                raise _refuse(endpoint, version, error.message) from error
            time.sleep(_POLL_SECONDS)


def _wait_until_served(endpoint: Endpoint, folder: Path, pointer: Pointer, deadline: float) -> None:
    problem = _look_until_served(endpoint, folder, pointer, deadline, lambda: give_way(folder, pointer.version))
    if problem:
        raise _refuse(endpoint, pointer.version, problem)


def _look_until_served(
    endpoint: Endpoint, folder: Path, pointer: Pointer, deadline: float, before_look: Callable[[], None] = lambda: None
) -> str:
    """Return "" once the endpoint serves what ``pointer`` says, or at the deadline why it was not seen to.

    Raises EndpointUnavailable when it says that it cannot, and whatever ``before_look`` raises.
    """
    problem = "it kept serving what it served before"
    while time.monotonic() < deadline:
        before_look()
        try:
            answer = ask_version(endpoint)
        except EndpointUnavailable as error:
            problem = error.message
        else:
            if serves(answer, folder, pointer):
                return ""
            refusal = _find_refusal(answer, pointer)
            if refusal:
                raise _refuse(endpoint, pointer.version, refusal)
        time.sleep(_POLL_SECONDS)
    return problem


def _refuse(endpoint: Endpoint, version: str, reason: str) -> EndpointUnavailable:
    return EndpointUnavailable(
        f"The endpoint {endpoint.url} did not take up version {version}: {reason.rstrip('.')}."
        " It is told to serve what it served before.",
        next_step="See its log (make logs) and that it runs (make status); then deploy again.",
        url=endpoint.url,
        version=version,
        reason=reason,
    )
