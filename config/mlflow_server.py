"""MLflow's server without its launcher: ``mlflow server`` imports all of MLflow (over 200 MB) only to start uvicorn and
wait for it. Here the launcher becomes uvicorn, so that memory is given back and a stop reaches the server itself.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn


def _become(command: Sequence[str], extra_env: Mapping[str, str], **options: Any) -> NoReturn:
    os.execvpe(command[0], list(command), {**os.environ, **extra_env})  # noqa: S606 - becoming it is the purpose


def main() -> None:
    """Take the arguments of ``mlflow server`` and become the server."""
    import mlflow.server
    from mlflow.cli import cli

    # Where the launcher would start the server as a child. Should a later MLflow start it in another way, this
    # changes nothing and the launcher stays.
    vars(mlflow.server)["_exec_cmd"] = _become
    cli(prog_name="mlflow")


if __name__ == "__main__":
    main()
