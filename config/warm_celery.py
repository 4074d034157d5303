"""Celery workers whose processes are born with everything loaded, as those of the warm LocalExecutor are.

``[celery] extra_celery_config = {"imports": ["config.warm_celery"]}`` has a worker, and nobody else, read this module
before it forks. What a fork may break, and what is done about it, says ``config.warm_executor``; here as well no
process is forked while the worker has a second thread, be it one of the first or one that replaces a dead one.
``TOLLGATE_EXECUTOR=stock`` leaves the imports to the tasks.
"""

from __future__ import annotations

import gc
import os
from typing import Any

from celery.signals import worker_before_create_process, worker_init, worker_ready

from config.warm_executor import check_alone, load_libraries, load_steps
from include.errors import TerminalError


def is_wanted() -> bool:
    """Whether TOLLGATE_EXECUTOR asks for warm workers, as it does unset."""
    return (os.environ.get("TOLLGATE_EXECUTOR") or "warm") != "stock"


@worker_init.connect
def load(**_: Any) -> None:
    """Import libraries and steps. Ends the worker with a message when that started a thread which stays."""
    if not is_wanted():
        return
    try:
        load_libraries()
        load_steps()
    except TerminalError as error:
        raise SystemExit(str(error)) from error
    gc.freeze()


@worker_before_create_process.connect
def check(**_: Any) -> None:
    """End the worker, whose container starts it again, rather than fork beside a living thread.

    Celery logs what a receiver raises and goes on; only an exit is let through.
    """
    if not is_wanted():
        return
    try:
        check_alone("The worker")
    except TerminalError as error:
        raise SystemExit(str(error)) from error


@worker_ready.connect
def keep_frozen(**_: Any) -> None:
    """Airflow takes back its own freeze when the worker is ready; what was loaded here stays for ever."""
    if is_wanted():
        gc.freeze()
