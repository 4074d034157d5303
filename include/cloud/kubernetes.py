"""Calls to a Kubernetes API server, all through one place: custom objects only, and what the client raises leaves it as
Tollgate's errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from include.cloud.failures import hide_secrets
from include.errors import TargetRefused, TargetUnavailable, TollgateError

# Every change is made under this name: `kubectl get -o yaml --show-managed-fields` tells them from others'.
FIELD_MANAGER = "tollgate"
# What the API server asks a caller to do again: a time-out of its own, too many requests, a token to be read anew.
_LATER = {401, 408, 429}
_NEXT_STEPS = {
    400: "Correct what the pipeline's deployment.target declares.",
    403: "Give the account that Tollgate uses the rights in docs/kserve.md, in the target's namespace.",
    404: "Install KServe and Knative in the cluster, or correct the namespace that the target declares.",
    422: "Correct what the pipeline's deployment.target declares; the cluster's KServe may be an older one.",
}


class ObjectChanged(TargetUnavailable):
    """Somebody changed an object between the reading and the writing of it; facts: as of TargetUnavailable."""


@dataclass(frozen=True)
class Resource:
    """A kind of custom object in one namespace."""

    group: str
    version: str
    plural: str
    namespace: str

    @property
    def place(self) -> dict[str, str]:
        """The same, as the client's methods name it."""
        return {"group": self.group, "version": self.version, "namespace": self.namespace, "plural": self.plural}


class Kubernetes:
    """Calls with one caller's credentials; each method raises TargetUnavailable and TargetRefused.

    ``connection`` is the caller's ApiClient; None: the cluster that this runs in, or the kubeconfig's ``context``. No
    answer is waited for longer than ``seconds``.
    """

    def __init__(self, connection: object | None = None, context: str | None = None, seconds: float = 10.0) -> None:
        self._connection = connection
        self._context = context
        self._seconds = seconds
        self._api: Any = None

    def find(self, resource: Resource, name: str) -> dict[str, Any] | None:
        """One object as it is now; None when there is none of this name."""
        try:
            found: dict[str, Any] = self._call("get_namespaced_custom_object", resource, name=name)
        except TargetRefused as error:
            if error.facts["code"] == 404:
                return None
            raise
        return found

    def list(self, resource: Resource, selector: str) -> list[dict[str, Any]]:
        """The objects with these labels ("key=value,…")."""
        found = self._call("list_namespaced_custom_object", resource, label_selector=selector)
        return list(found.get("items", ()))

    def make(self, resource: Resource, body: dict[str, Any]) -> bool:
        """Create an object under its name; False when it is there already, made by somebody before us."""
        try:
            self._write("create_namespaced_custom_object", resource, body=body)
        except ObjectChanged:
            return False
        return True

    def replace(self, resource: Resource, body: dict[str, Any]) -> None:
        """Put a whole object in the place of the one with the same ``resourceVersion``. Raises ObjectChanged when it is
        another by now."""
        self._write("replace_namespaced_custom_object", resource, name=body["metadata"]["name"], body=body)

    def patch(self, resource: Resource, name: str, body: dict[str, Any]) -> None:
        """Merge fields into an object (None removes one); ``resourceVersion`` in it as with ``replace``."""
        self._write("patch_namespaced_custom_object", resource, name=name, body=body)

    def drop(self, resource: Resource, name: str) -> None:
        """Delete an object; that it is not there any more is what was wanted."""
        try:
            self._call("delete_namespaced_custom_object", resource, name=name)
        except TargetRefused as error:
            if error.facts["code"] != 404:
                raise

    def _write(self, call: str, resource: Resource, **arguments: Any) -> None:
        # Strict: the API server refuses a field that it does not know, where by default it drops it in silence.
        self._call(call, resource, field_manager=FIELD_MANAGER, field_validation="Strict", **arguments)

    def _call(self, call: str, resource: Resource, **arguments: Any) -> Any:
        from kubernetes.client.exceptions import ApiException, OpenApiException
        from kubernetes.config import ConfigException
        from urllib3.exceptions import HTTPError

        try:
            method: Callable[..., Any] = getattr(self._open(), call)
            return method(**resource.place, **arguments, _request_timeout=self._seconds)
        except ApiException as error:
            raise _translate(error, call) from error
        except (HTTPError, OSError) as error:
            raise TargetUnavailable(
                f"The Kubernetes API server did not answer {call} ({type(error).__name__}).",
                next_step="It is asked again; whatever the request made is found then.",
                target="kserve",
                call=call,
                code=type(error).__name__,
            ) from error
        except (ConfigException, OpenApiException, ValueError) as error:
            raise TargetRefused(
                f"The Kubernetes API server was not asked ({call}): {_read_line(str(error))}",
                next_step="Run it inside the cluster, or give it a kubeconfig with the context that the target names.",
                target="kserve",
                call=call,
                code=type(error).__name__,
            ) from None  # a traceback would show the text whole: http.client quotes the header that it does not send

    def _open(self) -> Any:
        if self._api is None:
            from kubernetes import client, config

            connection = self._connection
            if connection is None:
                try:
                    if self._context is not None:
                        raise config.ConfigException("a context is a kubeconfig's")
                    settings = client.Configuration()
                    config.load_incluster_config(client_configuration=settings)
                    connection = client.ApiClient(settings)
                except config.ConfigException:
                    connection = config.new_client_from_config(context=self._context)
            self._api = client.CustomObjectsApi(connection)
        return self._api


def _translate(error: Any, call: str) -> TollgateError:
    status = int(error.status or 0)
    said = _read_message(error)
    facts = {"target": "kserve", "call": call, "code": status, "said": said}
    if status == 409:
        return ObjectChanged(f"{call}: {said}", next_step="It is read again and asked for again.", **facts)
    if status in _LATER or status >= 500 or status == 0:
        step = "It is tried again with growing pauses."
        if status == 401:
            step = "It is tried again; if it stays so, renew the credentials that Tollgate uses for the cluster."
        return TargetUnavailable(
            f"The Kubernetes API server put {call} off ({status}): {said}", next_step=step, **facts
        )
    step = _NEXT_STEPS.get(status, "See what the API server says; asking again does not help.")
    return TargetRefused(f"The Kubernetes API server refused {call} ({status}): {said}", next_step=step, **facts)


def _read_message(error: Any) -> str:
    """What the API server's Status object says. Never the headers, which may hold a token."""
    try:
        said = json.loads(error.body)["message"]
    except (TypeError, ValueError, KeyError):
        said = error.reason or "no reason given"
    return _read_line(str(said))


def _read_line(text: str) -> str:
    """A text on one line, without what proves a caller."""
    return hide_secrets(" ".join(text.split()))
