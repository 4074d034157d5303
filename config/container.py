"""``python -m config.container COMMAND …``: how every container of docker-compose.yaml starts.

It becomes the command with what all programs share, so that no setting is written down a second time.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from config.airflow_env import build_smtp_connection
from config.ports import read_ports
from config.shared_env import SHARED
from include.errors import SettingsError
from include.settings import load_settings


def build_container_environment(env: Mapping[str, str]) -> dict[str, str]:
    """What all programs share, below what the container was given; Airflow's mail connection where mails are sent from.

    Raises SettingsError for a value that cannot be used.
    """
    built = {**SHARED, **env}
    catcher = env.get("TOLLGATE_MAIL_CATCHER")
    if catcher:
        connection = build_smtp_connection(env, read_ports(env), load_settings(env).mail_from, catcher)
        built.setdefault("AIRFLOW_CONN_SMTP_DEFAULT", connection)
    return built


def main(command: list[str]) -> None:
    """Become ``command``; a setting that cannot be used ends the container with its message."""
    try:
        env = build_container_environment(os.environ)
    except SettingsError as error:
        sys.exit(str(error))
    os.execvpe(command[0], command, env)  # noqa: S606 - becoming it is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
