"""What an endpoint served before, as the ledger tells it: enough to write a lost pointer anew, or to go back."""

from __future__ import annotations

from typing import Any

import msgspec

from include.pointer import Pointer
from include.records import list_records
from include.settings import Settings


def rebuild_pointer(settings: Settings, pipeline_name: str) -> Pointer | None:
    """The pointer as the last deployment left it, with the ones before it; None when there was none, or it was taken
    back and nothing was before it."""
    chain: list[Pointer] = []
    for _, record in list_records(settings, pipeline_name, "deployment"):
        if record.get("withdrawn_because"):
            chain.clear()
            continue
        made = _make_pointer(record)
        if record["rolled_back_from"] is not None:
            chain = _go_back(chain, made.version)
        chain.append(made)
    pointer: Pointer | None = None
    for each in chain:
        pointer = msgspec.structs.replace(each, previous=pointer)
    return pointer


def list_served(settings: Settings, pipeline_name: str) -> list[Pointer]:
    """Every version that was served and not taken back since, the last one first; none of them names another."""
    found: dict[str, Pointer] = {}
    for _, record in list_records(settings, pipeline_name, "deployment"):
        made = _make_pointer(record)
        found.pop(made.version, None)
        found.pop(str(record["rolled_back_from"]), None)
        if not record.get("withdrawn_because"):
            found[made.version] = made
    return list(found.values())[::-1]


def _make_pointer(record: dict[str, Any]) -> Pointer:
    version, model_dir, partition = (str(record[name]) for name in ("version", "model_dir", "partition"))
    return Pointer(version, model_dir, partition, str(record["deployed_at"]), str(record["by"]), str(record["reason"]))


def _go_back(chain: list[Pointer], version: str) -> list[Pointer]:
    """What lies before ``version``, which is about to be served again: what was left is not in the chain any more."""
    places = [place for place, each in enumerate(chain) if each.version == version]
    if places:
        return chain[: places[-1]]
    return [each for each in chain if int(each.version) < int(version)]
