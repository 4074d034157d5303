"""At the start: registry, pointers and endpoints are made to agree, whatever the last end of the system left."""

from __future__ import annotations

from config.api import AirflowApi
from config.credentials import Credentials
from config.environment import Site
from config.health import Say
from include.errors import TerminalError, TollgateError
from include.steps.reconcile import reconcile_endpoints


def put_in_order(site: Site, credentials: Credentials, say: Say) -> None:
    """Mend what disagrees and say so. What cannot be mended now keeps no system from starting: housekeeping goes on."""
    if not site.settings.serving_root.is_dir():
        return  # nothing was ever deployed
    with AirflowApi(site.settings.airflow_public_url, credentials.password) as api:

        def is_alive(key: str) -> bool:
            dag_id, _, run_id = key.partition("/")
            try:
                return str(api.get_run(dag_id, run_id)["state"]) in ("queued", "running")
            except TerminalError as error:
                return error.facts.get("status") != 404
            except TollgateError:
                return True

        try:
            told = reconcile_endpoints(site.settings, is_alive)
        except (TollgateError, ExceptionGroup) as error:
            told = f"not everything could be looked at yet: {error}"
    if told != "There was nothing to do.":
        say(f"  {told}")
