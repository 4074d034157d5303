"""``make rollback``: an earlier version for customers, with or without Airflow and MLflow."""

from __future__ import annotations

import getpass
import time

from config.environment import Site
from config.post import send_waiting
from include.declaration.loader import get_pipeline
from include.mail.letters import advise_after_rollback
from include.steps.rollback import go_back


def roll_back(site: Site, pipeline_name: str, reason: str, version: str) -> str:
    """Roll back in the name of who is logged in, and say what happened and what to do next."""
    began = time.monotonic()
    pipeline = get_pipeline(site.settings, pipeline_name)
    rollback = go_back(
        site.settings, pipeline, by="make rollback", who=_find_user(), reason=reason or None, version=version or None
    )
    mails = send_waiting(site)
    lines = [
        f"Customers of {rollback.pipeline} get version {rollback.version} ({rollback.partition}) "
        f"since {rollback.served_at[11:19]} UTC.",
        f"  left: version {rollback.left}, by {rollback.who}: {rollback.reason}",
        f"  checked: {rollback.checked}",
        *(f"  still to be done: {problem}" for problem in rollback.problems),
        f"  mail: {mails}",
        f"Done in {time.monotonic() - began:.1f} s. Next: {advise_after_rollback(rollback)}",
    ]
    return "\n".join(lines)


def _find_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user need have no name
        return "somebody without a user name"
