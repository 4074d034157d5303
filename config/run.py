"""``make run``: everything up, the story played, predictions asked for, and where to look next."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import httpx

from config.api import AirflowApi
from config.environment import Site
from config.lifecycle import start_system
from config.ports import write_origin
from config.status import describe_addresses, format_table, shorten_reason
from config.story import UNDECIDED, Step, find_stories, play_story, sample_requests
from include.declaration import Pipeline
from include.deployment.door import open_target
from include.describe import format_number
from include.errors import EndpointUnavailable

_PARSE_SECONDS = 90.0


def _say(line: str) -> None:
    print(line, flush=True)


def _write(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()


def wait_for_dags(api: AirflowApi, pipelines: Sequence[Pipeline]) -> list[str]:
    """Wait until the DAGs of ``pipelines`` are parsed; returns what is missing after a while."""
    stages = ("data_refresh", "train_model", "deploy_model", "rollback")
    wanted = {f"{p.name}.{stage}" for p in pipelines for stage in stages}
    deadline = time.monotonic() + _PARSE_SECONDS
    while (missing := wanted - set(api.list_dags())) and time.monotonic() < deadline:
        time.sleep(0.5)
    return sorted(missing)


def ask_endpoint(address: str, requests: Sequence[dict[str, Any]], token: str | None = None) -> dict[str, Any]:
    """The endpoint's answer to ``requests``. Raises EndpointUnavailable when there is none."""
    body = {"dataframe_records": list(requests)}
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    try:
        answer = httpx.post(f"{address}/invocations", json=body, headers=headers, timeout=30, trust_env=False)
        reason = "" if answer.status_code == 200 else f"{answer.status_code}: {answer.text[:300]}"
    except httpx.HTTPError as error:
        reason = f"{type(error).__name__}: {error}"
    if reason:
        raise EndpointUnavailable(
            f"The endpoint at {address} did not answer with predictions ({reason}).",
            next_step="Look at `make status` and `make logs`.",
            url=address,
            version=None,
        )
    predictions: dict[str, Any] = answer.json()
    return predictions


def _ask(site: Site, pipeline: Pipeline, requests: Sequence[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Where the endpoint is, and its answer to ``requests``. Raises EndpointUnavailable, TargetUnavailable."""
    offset = pipeline.deployment.port_offset
    if offset is not None:
        address = write_origin(site.settings.endpoint_host, site.settings.endpoint_port + offset)
        return address, ask_endpoint(address, requests, site.settings.endpoint_token)
    target = open_target(site.settings, pipeline)
    status = target.status()
    url = status.url
    answer = target.predict(json.dumps({"dataframe_records": list(requests)}).encode(), "application/json")
    if answer.status != 200:
        raise EndpointUnavailable(
            f"{url} did not answer with predictions ({answer.status}).",
            next_step="Look at `make status`, and at the endpoint's log in its own console.",
            url=url,
            version=None,
        )
    # MLflow's own servers do not say which version they serve.
    return url, {"model_version": status.served_version, **json.loads(answer.body)}


def _show_predictions(site: Site, pipeline: Pipeline) -> None:
    samples = sample_requests(site, pipeline, 5)
    address, answer = _ask(site, pipeline, [request for request, _ in samples])
    _say(f"\n{pipeline.description}\nVersion {answer['model_version']} at {address} answers for real rows:")
    truth = {1.0: "yes", 0.0: "no", None: "not known"}
    columns = [name for name, column in pipeline.request.columns.items() if column.type == "string"][:4]
    body = [
        (*(str(request[name]) for name in columns), f"{prediction:.3f}", truth[label])
        for (request, label), prediction in zip(samples, answer["predictions"], strict=True)
    ]
    _say(format_table((*columns, "predicted", "happened"), body))


def _list_failures(steps: Sequence[Step]) -> list[str]:
    """Sentences about what did not go as the story has it; a refused model is a verdict, not a failure."""
    failures = [f"{step.partition}: {step.outcome}. {step.why}" for step in steps if step.outcome in UNDECIDED]
    for step in steps:
        broken = step.what.startswith("broken")
        if broken and step.outcome not in ("blocked", *UNDECIDED):
            failures.append(f"{step.partition}: the broken file was {step.outcome} instead of blocked.")
        if not broken and step.outcome == "blocked":
            failures.append(f"{step.partition}: a good file was blocked: {step.why}")
    return failures


def _describe_steps(steps: Sequence[Step], metric: str) -> str:
    head = ("partition", "file", "outcome", "version", metric, "took", "why")
    body = []
    for step in steps:
        row = step.row
        version = row.version if row is not None and row.version else "–"
        value = dict(row.metrics).get(metric) if row is not None else None
        seconds, why = f"{step.seconds:.0f} s", shorten_reason(step.why)
        body.append((step.partition, step.what or "–", step.outcome, version, format_number(value), seconds, why))
    return format_table(head, body)


def run(site: Site, months: int | None) -> int:
    """Start (or resume) and play; 0 when everything went as it should."""
    began = time.monotonic()
    credentials = start_system(site, _say)
    stories = find_stories(site)
    failures: list[str] = []
    with AirflowApi(site.settings.airflow_public_url, credentials.password) as api:
        missing = wait_for_dags(api, stories)
        if missing:
            errors = "\n".join(api.list_import_errors().values()) or "no import error was reported"
            failures.append(f"Airflow does not show {', '.join(missing)}: {errors}")
        for pipeline in stories if not missing and months != 0 else ():
            _say(f"\n{pipeline.name}: landing its refreshes in {site.settings.landing_root / pipeline.name}")
            steps = play_story(site, pipeline, api, months, _write)
            failures += _list_failures(steps)
            _say(f"\n{_describe_steps(steps, pipeline.blessing.primary_metric)}")
            if any(step.outcome == "deployed" for step in steps):
                _show_predictions(site, pipeline)
    if not stories:
        _say("No declared pipeline has a story; land a file with `make refresh`.")
    _say(f"\n{describe_addresses(site, credentials.password)}")
    _say(f"\nUp after {time.monotonic() - began:.0f} s. Next: make status · make refresh · make logs · make stop")
    for failure in failures:
        print(f"\nThis did not work: {failure}", file=sys.stderr)
    return 1 if failures else 0
