"""Configurations that can be gone back to: those that were live, as the ledger tells it."""

from __future__ import annotations

from include.deployment.sagemaker.endpoint import Seen
from include.deployment.sagemaker.names import read_version
from include.deployment.sagemaker.words import refuse_to_go_back
from include.deployment.served import rebuild_pointer
from include.pointer import list_pointers
from include.settings import Settings


def list_served(settings: Settings, pipeline_name: str) -> list[str]:
    """Configurations that were live, the newest first, without those that were left."""
    pointer = rebuild_pointer(settings, pipeline_name)
    return [each.model_dir for each in list_pointers(pointer) if read_version(each.model_dir) is not None]


def find_earlier(settings: Settings, pipeline_name: str, seen: Seen | None, version: str | None) -> str:
    """The configuration of ``version`` that was live before the present one; None: the newest such. Raises
    NothingToGoBackTo."""
    live = seen.config if seen is not None else None
    if live is None:
        raise refuse_to_go_back(pipeline_name, "serves nothing yet", version)
    served = list_served(settings, pipeline_name)
    # What lies before the live one; all of it when the ledger does not know the live one.
    before = served[served.index(live) + 1 :] if live in served else served
    for place in before if version is None else served:
        if place != live and version in (None, read_version(place)):
            return place
    wanted = f"served no version {version} before" if version else "has no earlier configuration to go back to"
    raise refuse_to_go_back(pipeline_name, wanted, version)
