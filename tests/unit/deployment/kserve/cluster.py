"""A test double of the few REST calls that KServe's target makes: no Kubernetes, and part of the tests only.

It answers over HTTP to the real kubernetes client, keeps objects with their resourceVersion, validates what it is sent
against KServe's schema, and has the double of a controller, ``reconcile``, which a test calls, or has called before
each look, to move the scripted status. Knative's rules that matter here are kept: a changed template makes a revision,
``latestRevision`` traffic goes to the latest *ready* one, and observedGeneration is the Knative service's own.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from include.deployment.kserve.schema import find_problems

SERVICES = "/apis/serving.kserve.io/v1beta1/namespaces/models/inferenceservices"
REVISIONS = "/apis/serving.knative.dev/v1/namespaces/models/revisions"


class Killed(BaseException):
    """The process was killed at this point."""


class Cluster:
    """Objects, and what was asked for. ``broken`` are versions whose revision never gets ready; ``follow``: the
    controller follows before each look; ``before_answer`` and ``after_change`` are told each call's number and method,
    and may raise or give a status to answer."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}
        self.revisions: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.queries: list[dict[str, list[str]]] = []
        self.broken: dict[str, str] = {}
        self.follow = True
        self.before_answer: Callable[[int, str], Any] | None = None
        self.after_change: Callable[[int, str], Any] | None = None
        self._resource_version = 0
        self._generation: dict[str, int] = {}

    # --- the API server's part

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, dict[str, Any]]:
        self.calls.append((method, path))
        self.queries.append(query)
        number = len(self.calls)
        planned = self.before_answer(number, method) if self.before_answer is not None else None
        if planned is not None:
            return int(planned), _say(planned, "made to fail by the test")
        result = self._answer(method, path, query, body)
        planned = self.after_change(number, method) if self.after_change is not None else None
        return (int(planned), _say(planned, "lost by the test")) if planned is not None else result

    def _answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, dict[str, Any]]:
        if path == REVISIONS:
            wanted = dict(pair.split("=") for pair in query["labelSelector"][0].split(","))
            items = [one for one in self.revisions.values() if wanted.items() <= one["metadata"]["labels"].items()]
            return 200, {"items": copy.deepcopy(items)}
        assert path.startswith(SERVICES), path
        name = path[len(SERVICES) :].strip("/")
        if method == "GET":
            if self.follow:
                self.reconcile(name)
            found = self.services.get(name)
            return (200, copy.deepcopy(found)) if found is not None else (404, _say(404, f"{name} not found"))
        if method == "DELETE":
            self.revisions = {} if self.services.pop(name, None) else self.revisions
            return 200, _say(200, "deleted")
        assert query["fieldValidation"] == ["Strict"], query
        self.bodies.append(copy.deepcopy(body))
        if method == "POST":
            name = body["metadata"]["name"]
            if name in self.services:
                return 409, _say(409, f"{name} already exists")
            return self._store(name, body)
        current = self.services.get(name)
        if current is None:
            return 404, _say(404, f"{name} not found")
        if body["metadata"].get("resourceVersion") != current["metadata"]["resourceVersion"]:
            return 409, _say(409, "the object has been modified")
        return self._store(name, _merge(current, body) if method == "PATCH" else body)

    def _store(self, name: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        sent = {part: copy.deepcopy(body[part]) for part in ("apiVersion", "kind", "metadata", "spec")}
        problems = find_problems(sent)
        if problems:
            return 422, _say(422, "; ".join(problems))
        known = self.services.get(name, {})
        changed = known.get("spec") != sent["spec"]
        sent["metadata"]["generation"] = known.get("metadata", {}).get("generation", 0) + int(changed)
        sent["status"] = known.get("status", {})
        self.services[name] = sent
        self.touch(name)
        return 200, copy.deepcopy(sent)

    def touch(self, name: str) -> None:
        """What any writing does."""
        self._resource_version += 1
        self.services[name]["metadata"]["resourceVersion"] = str(self._resource_version)

    # --- the controller's part

    def reconcile(self, name: str) -> None:
        """KServe and Knative follow the service's spec, as far as its version is not ``broken``."""
        service = self.services.get(name)
        if service is None:
            return
        predictor = service["spec"]["predictor"]
        status = service["status"]
        component = status.setdefault("components", {}).setdefault("predictor", {})
        template = {key: value for key, value in predictor.items() if key != "canaryTrafficPercent"}
        percent = predictor.get("canaryTrafficPercent")
        before = json.dumps(status, sort_keys=True)
        created = component.get("latestCreatedRevision")
        if created is None or self.revisions[created]["template"] != template:
            created = f"{name}-predictor-{len(self.revisions) + 1:05}"
            labels = {**predictor["labels"], "serving.kserve.io/inferenceservice": name}
            self.revisions[created] = {"metadata": {"name": created, "labels": labels}, "template": template}
            component["latestCreatedRevision"] = created
        version = predictor["labels"]["tollgate/version"]
        problem = self.broken.get(version)
        if problem is None:
            component["latestReadyRevision"] = created
        ready = component.get("latestReadyRevision")
        rolled_out = component.get("latestRolledoutRevision", "")
        if percent == 0 and rolled_out == ready and component.get("previousRolledoutRevision"):
            rolled_out = component["latestRolledoutRevision"] = component["previousRolledoutRevision"]
        traffic: list[dict[str, Any]] = []
        if ready is not None:
            share = 100 if percent is None or not rolled_out else percent
            traffic.append({"revisionName": ready, "latestRevision": True, "percent": share})
            if share < 100:
                traffic.append({"revisionName": rolled_out, "latestRevision": False, "percent": 100 - share})
        if ready is not None and traffic[0]["percent"] == 100 and rolled_out != ready:
            component["previousRolledoutRevision"] = rolled_out
            component["latestRolledoutRevision"] = ready
        component["traffic"] = traffic
        knative = json.dumps([template, traffic], sort_keys=True)
        if service.get("knative") != knative:
            service["knative"] = knative
            self._generation[name] = self._generation.get(name, 0) + 1
        status["observedGeneration"] = self._generation[name]
        told = {"status": "True"} if problem is None else {"status": "False", "reason": "Failed", "message": problem}
        status["conditions"] = [{"type": kind, **told} for kind in ("PredictorReady", "IngressReady", "Ready")]
        status["url"] = f"http://{name}.models.example.com"
        status["deploymentMode"] = "Knative"
        if json.dumps(status, sort_keys=True) != before:
            self.touch(name)

    # --- for the tests

    def shares(self, name: str = "parcels") -> dict[str, int]:
        """Who gets how much of the requests, by version."""
        found: dict[str, int] = {}
        for share in self.services[name]["status"]["components"]["predictor"]["traffic"]:
            version = self.revisions[share["revisionName"]]["metadata"]["labels"]["tollgate/version"]
            found[version] = found.get(version, 0) + share["percent"]
        return {version: percent for version, percent in found.items() if percent}

    def spec(self, name: str = "parcels") -> dict[str, Any]:
        """The predictor as it is declared in the cluster."""
        predictor: dict[str, Any] = self.services[name]["spec"]["predictor"]
        return predictor

    def writes(self) -> list[str]:
        """The methods that changed something, in turn."""
        return [method for method, _ in self.calls if method != "GET"]


def _merge(current: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = copy.deepcopy(current)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def _say(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "code": code, "message": message}


class ClusterServer:
    """The same on a port of this machine, for as long as the block lasts."""

    def __init__(self, cluster: Cluster) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                place = urlsplit(self.path)
                length = int(self.headers.get("content-length") or 0)
                sent = json.loads(self.rfile.read(length)) if length else None
                try:
                    status, body = cluster.answer(self.command, place.path, parse_qs(place.query), sent)
                except ConnectionAbortedError:
                    # What a cut connection is to the caller.
                    self.close_connection = True
                    return
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 (the base class names them)

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
