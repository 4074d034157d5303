"""A few questions to the registry over its REST API, with a short deadline and without MLflow's library.

Importing that costs seconds, which a rollback does not have, and which housekeeping need not spend to see that nothing
is wrong. Where the plain way does not work, the library is asked.
"""

from __future__ import annotations

import os
from typing import Any, Literal
from urllib.parse import urlsplit

from include.errors import TrackingConflict
from include.settings import Settings
from include.tracking.client import report_unavailable

_MISSING = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
Standing = Literal["blessed", "not blessed", "missing"]


def read_champion(settings: Settings, pipeline_name: str, seconds: float = 5.0) -> str | None:
    """Number of the version that the alias champion names, or None. Raises TrackingUnavailable."""
    found = _get(settings, "registered-models/alias", {"name": pipeline_name, "alias": "champion"}, seconds)
    if found is None:
        from include.tracking.registry import get_champion

        champion = get_champion(settings, pipeline_name)
        return champion.version if champion else None
    return str(found["model_version"]["version"]) if "model_version" in found else None


def read_champion_candidate(settings: Settings, pipeline_name: str, seconds: float = 5.0) -> str | None:
    """Name of the candidate that the champion came from, or None. Raises TrackingUnavailable."""
    found = _get(settings, "registered-models/alias", {"name": pipeline_name, "alias": "champion"}, seconds)
    if found is None:
        from include.tracking.champions import read_champion_fit

        fit = read_champion_fit(settings, pipeline_name)
        return fit[0] if fit else None
    return _read_version_tags(found).get("tollgate.candidate")


def read_standing(settings: Settings, pipeline_name: str, version: str, seconds: float = 5.0) -> Standing:
    """What the registry says of a version. Raises TrackingUnavailable."""
    found = _get(settings, "model-versions/get", {"name": pipeline_name, "version": version}, seconds)
    if found is None:
        return _ask_library(settings, pipeline_name, version)
    if "model_version" not in found:
        return "missing"
    return "blessed" if _read_version_tags(found).get("tollgate.blessing") == "blessed" else "not blessed"


def _read_version_tags(answer: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in answer.get("model_version", {}).get("tags", ())}


def _ask_library(settings: Settings, pipeline_name: str, version: str) -> Standing:
    from include.tracking.registry import is_blessed

    try:
        return "blessed" if is_blessed(settings, pipeline_name, version) else "not blessed"
    except TrackingConflict:
        return "missing"


def _get(settings: Settings, path: str, query: dict[str, str], seconds: float) -> dict[str, Any] | None:
    """The server's answer; {} when there is no such thing, None when only the library can ask."""
    if urlsplit(settings.mlflow_uri).scheme not in {"http", "https"} or _needs_library():
        return None
    import requests

    try:
        answer = requests.get(f"{settings.mlflow_uri}/api/2.0/mlflow/{path}", params=query, timeout=seconds)
        body = answer.json()
    except (requests.RequestException, ValueError) as error:
        raise report_unavailable(settings, type(error).__name__) from error
    if answer.status_code == 200 and isinstance(body, dict):
        return body
    if isinstance(body, dict) and body.get("error_code") in _MISSING:
        return {}
    if answer.status_code >= 500:
        raise report_unavailable(settings, f"it answered {answer.status_code}")
    return None


def _needs_library() -> bool:
    """Whether somebody set up a login or a certificate, which MLflow's library knows how to use."""
    return any(name.startswith("MLFLOW_TRACKING_") and name != "MLFLOW_TRACKING_URI" for name in os.environ)
