"""``python -m config.endpoints``: the endpoints of all declared pipelines in one container, each restarted by itself.

``--check`` asks each instead whether it answers. A pipeline that is declared later gets its endpoint at the next start.
"""

from __future__ import annotations

import os
import sys

from config.environment import load_site
from config.health import HealthProbe
from config.programs import list_endpoints
from config.supervise import write_configuration


def name_silent() -> list[str]:
    """Names of the endpoints that do not answer."""
    probe = HealthProbe()
    silent = [program.name for program in list_endpoints(load_site()) if not probe.is_well(program)]
    probe.close()
    return silent


def main(arguments: list[str]) -> None:
    """Become the supervisor of the endpoints, or with ``--check`` end with a message when one does not answer."""
    if arguments == ["--check"]:
        silent = name_silent()
        sys.exit(f"no answer from {', '.join(silent)}" if silent else 0)
    site = load_site()
    configuration = write_configuration(site, list_endpoints(site))
    supervisor = [sys.executable, "-m", "supervisor.supervisord", "--nodaemon", "-c", str(configuration)]
    os.execv(supervisor[0], supervisor)  # noqa: S606 - becoming it is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
