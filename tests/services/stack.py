"""docker-compose.yaml as a system under test: started by ``tests.services.containers``, seen as scenario tests see one.

PostgreSQL and Redis are this machine's own servers: TOLLGATE_TEST_POSTGRES and TOLLGATE_TEST_REDIS name others.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import httpx

from config.api import AirflowApi
from config.credentials import ADMIN
from config.environment import load_site
from config.ports import iterate_free_bases, read_ports
from tests.scenarios.system import RunningSystem
from tests.services.containers import Composition, Places
from tests.services.image import make_image, make_lenient
from tests.services.servers import Stores
from tests.unit.compose_file import list_required, read_compose

# Services of the file that are not started here, each with its reason.
ELSEWHERE = {
    "postgres": "the machine's own server, with databases of this run's own",
    "redis": "the machine's own server, with a number of this run's own",
}
_SPAN = 20
# Two workers import everything on one busy machine, after the database was migrated and MLflow made its own.
_START_SECONDS = 400.0


def write_settings(stores: Stores) -> dict[str, str]:
    """The ``.env`` of a run: what is required, free ports, and who one is on the machine's own servers."""
    # Spread by process, so that two test runs at the same time do not look for the same ports.
    base = next(iterate_free_bases(_SPAN, low=20000 + os.getpid() % 50 * 200, high=32000))
    server = stores.databases["airflow"]
    return {
        **{name: secrets.token_hex(16) for name in list_required()},
        "TOLLGATE_FERNET_KEY": secrets.token_urlsafe(32) + "=",
        **read_ports({"TOLLGATE_PORT_BASE": str(base)}).to_environment(),
        "TOLLGATE_POSTGRES_USER": server.username or "postgres",
        # A server that asks for no password takes any.
        "TOLLGATE_POSTGRES_PASSWORD": str(server.password or "any-password"),
        "TOLLGATE_REDIS_PASSWORD": str(stores.redis.password or "any-password"),
    }


class Stack(RunningSystem):
    """The services of docker-compose.yaml; ``settings`` is what a person would write into ``.env``."""

    def __init__(self, folder: Path, stores: Stores, **settings: str) -> None:
        self.home = folder / "volume"
        image = make_image(folder / "image")
        make_lenient(image)
        dotenv = {**write_settings(stores), **settings}
        hosts = tuple(read_compose(dotenv)["services"].keys() - ELSEWHERE.keys())
        self.places = Places(image, self.home, hosts, _place_stores(stores))
        self.composition = Composition(dotenv, self.places, ELSEWHERE)
        self._password = dotenv["TOLLGATE_ADMIN_PASSWORD"]
        self.env = {
            **dotenv,
            "TOLLGATE_HOME": str(self.home),
            "TOLLGATE_PIPELINES": str(image.workdir / "include" / "pipelines"),
            "TOLLGATE_GX_ROOT": str(image.workdir / "great_expectations"),
        }
        self.site = load_site(self.env)
        self.settings = self.site.settings
        self.said: list[str] = []
        self._http = httpx.Client(timeout=30.0, trust_env=False)
        self.api = AirflowApi(self.settings.airflow_public_url, self._password)

    def start(self) -> Stack:
        """Start every service and wait until each is well by its own word and every DAG is parsed."""
        self.composition.start(_START_SECONDS)
        self.wait_for(lambda: len(self.api.list_dags()) >= 5 or None, 120, "5 DAGs to be parsed")
        return self

    def stop(self) -> None:
        """Stop every service."""
        self.api.close()
        self._http.close()
        self.composition.stop()

    def read_logs(self, lines: int = 15) -> str:
        """The end of what every service said."""
        return self.composition.read_logs()

    @property
    def login(self) -> tuple[str, str]:
        """User and password of Airflow's UI."""
        return ADMIN, self._password


def _place_stores(stores: Stores) -> dict[str, str]:
    """The stores' addresses in docker-compose.yaml, without who asks, to those of this run."""
    placed = {
        f"postgres/{owner}": f"{url.host}:{url.port or 5432}/{url.database}" for owner, url in stores.databases.items()
    }
    return {**placed, "redis:6379/0": f"{stores.redis.host}:{stores.redis.port}/{stores.redis.database}"}
