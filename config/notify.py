"""``python -m config.notify``: call the notifiers that wait in the outbox, with Airflow loaded for as long as it takes.

Started by the watcher when there is something to tell, and ended again: Airflow takes seconds to load and a hundred
megabytes, which a watcher that runs always shall not have.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Mapping
from typing import Any

from include.mail.notices import deliver_notices
from include.settings import load_settings


def tell(notice: Mapping[str, Any]) -> None:
    """Call one notifier. Raises whatever it raises: its own ``__call__`` would log the error and forget it."""
    module, _, name = str(notice["notifier"]).partition(":")
    notifier = getattr(importlib.import_module(module), name)(**notice["arguments"])
    context = {"tollgate": dict(notice["context"])}
    notifier.render_template_fields(notifier._update_context(context))
    notifier.notify(context)


def main() -> int:
    """Tell what is due; 1 when something could not be told."""
    logging.basicConfig(level=logging.WARNING)
    # Connections are then looked up where a component of Airflow finds them: environment, secrets backend, database.
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    delivery = deliver_notices(load_settings(), tell)
    if delivery.error:
        sys.stderr.write(f"{delivery.error}\n")
    return 1 if delivery.error else 0


if __name__ == "__main__":
    sys.exit(main())
