"""Who rolled back, when and why, written on both versions in the registry."""

from __future__ import annotations

from include.errors import TrackingConflict
from include.records import utc_now
from include.settings import Settings
from include.tracking.client import open_client
from include.tracking.registry import CHALLENGER, get_by_alias, get_entry


def note_rollback(settings: Settings, pipeline_name: str, left: str, version: str, who: str, reason: str) -> None:
    """Write on the version that was left and on the one that took its place who rolled back, when and why.

    A repeat changes nothing. A version that is left is no challenger any more; one that was deleted is passed over.
    """
    facts = {"tollgate.rolled_back_by": who, "tollgate.rolled_back_because": reason}
    with open_client(settings) as client:
        for number, pointing in (
            (left, {"tollgate.rolled_back_to": version}),
            (version, {"tollgate.rolled_back_from": left}),
        ):
            try:
                entry = get_entry(client, pipeline_name, number)
            except TrackingConflict:
                continue
            wanted = {**pointing, **facts}
            if any(entry.tags.get(name) != value for name, value in wanted.items()):
                for name, value in {**wanted, "tollgate.rolled_back_at": utc_now()}.items():
                    client.set_model_version_tag(pipeline_name, number, name, value)
        challenger = get_by_alias(client, pipeline_name, CHALLENGER)
        if challenger is not None and str(challenger.version) == left:
            client.delete_registered_model_alias(pipeline_name, CHALLENGER)
