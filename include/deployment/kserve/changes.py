"""What was asked of KServe, in the ledger: kept before the cluster is asked, so that a try after a kill goes on.

Nothing of it is kept in the cluster: KServe hands a service's annotations on to its revisions, and would make another
revision for every note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from include.contracts import pack, unpack
from include.deployment.kserve.manifest import RELEASE_LABEL, VERSION_LABEL
from include.deployment.kserve.observed import Seen
from include.deployment.kserve.schema import find_problems
from include.records import list_records, read_record, write_record
from include.settings import Settings

_KIND = "kserve"

Kind = Literal["deploy", "rollback"]


@dataclass(frozen=True)
class Change:
    """One version's way to customers. Times are seconds since the epoch.

    ``manifest`` is what serves it, ``restore`` what serves ``previous_version``, whose release had the requests (None:
    it is not known); ``earlier_version`` is what rolling back from it goes to. ``observed`` gives, for each percentage
    asked for ("none": no canary), KServe's observed generation before it was; ``reached`` when KServe first showed it.
    ``unhealthy_since`` is of the version while it is being brought up. ``failed`` is why it is taken back, at
    ``stage``; ``outcome`` what came of that.
    """

    version: str
    release: str
    manifest: Mapping[str, Any]
    previous_version: str | None
    previous_release: str | None
    restore: Mapping[str, Any] | None
    earlier_version: str | None
    kind: Kind
    by: str
    reason: str
    began_at: float
    observed: Mapping[str, int] = field(default_factory=dict)
    reached: Mapping[str, float] = field(default_factory=dict)
    unhealthy_since: float | None = None
    failed: str = ""
    failed_at: float | None = None
    stage: str = ""
    ended: Literal["", "live", "taken back"] = ""
    outcome: str = ""

    @property
    def is_leaving(self) -> bool:
        """Whether it is being taken back."""
        return bool(self.failed) and not self.ended

    @property
    def last_at(self) -> float:
        """When it was asked for, or began to be taken back."""
        return self.began_at if self.failed_at is None else self.failed_at


def name_percent(percent: int | None) -> str:
    """How a percentage is written in ``observed`` and ``reached``."""
    return "none" if percent is None else str(percent)


def note_change(settings: Settings, pipeline: str, change: Change) -> None:
    """Keep it, in the place of what was known of the same version."""
    write_record(settings, pipeline, _KIND, change.version, pack(change))


def read_change(settings: Settings, pipeline: str, version: str | None) -> Change | None:
    """The last change to ``version``; None when there was none."""
    record = read_record(settings, pipeline, _KIND, version) if version is not None else None
    return unpack(Change, record) if record is not None else None


def find_leaving(settings: Settings, pipeline: str) -> Change | None:
    """The change that is being taken back, if one is."""
    changes = [unpack(Change, record) for _, record in list_records(settings, pipeline, _KIND)]
    return next((change for change in reversed(changes) if change.is_leaving), None)


def plan_change(
    settings: Settings, pipeline: str, manifest: Mapping[str, Any], seen: Seen | None, kind: Kind, by: str, reason: str
) -> Change:
    """The change from what is seen to ``manifest``, with what it takes to go back; ``began_at`` is still to be set."""
    labels = manifest["spec"]["predictor"]["labels"]
    version, release = labels[VERSION_LABEL], labels[RELEASE_LABEL]
    before = seen.served_release if seen is not None else None
    if before == release:
        before = None
    served = seen.versions.get(before) if seen is not None and before is not None else None
    known = read_change(settings, pipeline, version)
    return Change(
        version=version,
        release=release,
        manifest=manifest,
        previous_version=served,
        previous_release=before,
        restore=_find_restore(settings, pipeline, manifest, seen, before, served),
        # Going back twice goes back two versions, not to where it began.
        earlier_version=known.earlier_version if known is not None and kind == "rollback" else served,
        kind=kind,
        by=by,
        reason=reason,
        began_at=0.0,
    )


def _find_restore(
    settings: Settings,
    pipeline: str,
    manifest: Mapping[str, Any],
    seen: Seen | None,
    before: str | None,
    served: str | None,
) -> Mapping[str, Any] | None:
    earlier = read_change(settings, pipeline, served)
    if earlier is not None and earlier.release == before:
        return earlier.manifest
    if seen is None or before is None or seen.release != before:
        return None
    there = {**manifest, "spec": seen.document["spec"]}
    # What this schema does not know cannot be written again; the requests go back all the same.
    return None if find_problems(there) else there
