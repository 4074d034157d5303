"""What the live champion was made from: which candidate, with which parameters."""

from __future__ import annotations

import json
from typing import Any

from include.settings import Settings
from include.tracking.client import open_client
from include.tracking.registry import get_champion


def read_champion_fit(settings: Settings, pipeline_name: str) -> tuple[str, dict[str, Any]] | None:
    """The champion's candidate and all of its parameters; None without a champion, or when its run is gone."""
    from mlflow.exceptions import MlflowException

    champion = get_champion(settings, pipeline_name)
    if champion is None:
        return None
    with open_client(settings) as client:
        try:
            params = client.get_run(champion.run_id).data.params
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
    try:
        parameters = json.loads(params.get("parameters", "{}"))
    except ValueError:  # longer than MLflow keeps
        parameters = {}
    return (params["candidate"], parameters) if "candidate" in params else None
