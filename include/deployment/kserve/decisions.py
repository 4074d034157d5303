"""What to do next about a change, from one look: pure functions of what is seen, what was asked and the time.

A new revision is always brought up at 0 %. With any more the *latest ready* revision would get that share until the
new one is ready, and that may be one that was taken back.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from include.declaration.delivery import Rollout
from include.deployment.kserve.changes import Change, name_percent
from include.deployment.kserve.observed import Seen
from include.deployment.kserve.steps import ALL, find_next, find_wait, list_percents

Action = Literal["wait", "share", "live", "fail", "restore", "withdraw", "done"]


@dataclass(frozen=True)
class Decision:
    """``action``: "share" asks for ``percent`` (None: no canary any more), "fail" takes the version back for the reason
    ``detail``, "restore" puts back what served before, "withdraw" deletes a service that never served, "done" ends a
    taking back. ``change`` is what to remember."""

    action: Action
    change: Change
    detail: str
    percent: int | None = None


def decide_forward(seen: Seen, change: Change, rollout: Rollout, grace: float, now: float) -> Decision:
    """The next step towards customers. ``grace`` is for how many seconds KServe may call something failed while it is
    being brought up: a first try of a container that is repeated is no failure yet."""
    failure = seen.find_failure(change.release)
    limit = rollout.maximum_execution_timeout_in_seconds
    if seen.percent is None and _was_whole(change):
        return _decide_end(seen, change, failure)
    if now - change.began_at > limit:
        return Decision("fail", change, f"it was not over after {limit:g} s: {failure or seen.describe()}")
    if not seen.percent:
        return _decide_start(seen, change, rollout, failure, grace, now)
    return _decide_share(seen, change, rollout, failure, now)


def _list_percents(change: Change, rollout: Rollout) -> tuple[int, ...]:
    # What was live before has been a canary already: going back to it is in a hurry, and bakes all the same.
    return (ALL,) if change.kind == "rollback" else list_percents(rollout)


def _was_whole(change: Change) -> bool:
    return name_percent(ALL) in change.reached


def _is_shown(seen: Seen, change: Change) -> bool:
    """Whether KServe's status is of after what was asked for last. See ``observed``: only growth can be told."""
    return seen.observed_generation > change.observed.get(name_percent(seen.percent), -1)


def _decide_start(seen: Seen, change: Change, rollout: Rollout, failure: str, grace: float, now: float) -> Decision:
    if failure:
        since = change.unhealthy_since if change.unhealthy_since is not None else now
        unhealthy = replace(change, unhealthy_since=since)
        if now - since >= grace:
            return Decision("fail", unhealthy, failure)
        return Decision("wait", unhealthy, f"its revision is not ready: {failure}")
    change = replace(change, unhealthy_since=None)
    if not _is_shown(seen, change):
        return Decision("wait", change, "KServe has not taken up what was asked for yet")
    if seen.percent is None:
        if seen.carries_all(change.release):
            return Decision("live", change, "its revision is ready and gets every request")
        return Decision("wait", change, f"its revision is being brought up: {seen.describe()}")
    if seen.is_up(change.release):
        first = _list_percents(change, rollout)[0]
        return Decision("share", change, f"its revision is ready: {first} % of the requests next", first)
    return Decision("wait", change, f"its revision is being brought up without requests: {seen.describe()}")


def _decide_share(seen: Seen, change: Change, rollout: Rollout, failure: str, now: float) -> Decision:
    percent = seen.percent or 0
    name = name_percent(percent)
    if failure:
        return Decision("fail", change, failure)
    if not _is_shown(seen, change):
        return Decision("wait", change, f"KServe has not taken up the share of {percent} % yet")
    if seen.ready != change.release:
        return Decision("fail", change, f"its revision is not the latest ready one any more: {seen.describe()}")
    share = seen.traffic.get(change.release, 0)
    if share != percent:
        if name in change.reached:
            return Decision("fail", change, f"KServe gives it {share} % of the requests, not {percent} % as before")
        return Decision("wait", change, f"it gets {share} % of the requests, {percent} % are asked for")
    if not seen.is_ready:
        return Decision("wait", change, f"the routes are not ready: {seen.describe()}")
    change = replace(change, reached={name: now, **change.reached})
    left = change.reached[name] + find_wait(rollout, percent) - now
    if left > 0:
        word = "bakes" if percent == ALL else "is held"
        return Decision("wait", change, f"{percent} % of the requests {word} for another {left:.0f} s")
    following = find_next(_list_percents(change, rollout), percent)
    return Decision("share", change, f"{percent} % of the requests went well", following)


def _decide_end(seen: Seen, change: Change, failure: str) -> Decision:
    """After the bake, with the canary removed: it had every request before, and must have it now."""
    if seen.carries_all(change.release):
        return Decision("live", change, "every request goes to it, and KServe is ready")
    share = seen.traffic.get(change.release, 0)
    if failure or share != ALL:
        return Decision("fail", change, failure or f"KServe gives it {share} % of the requests again, not all")
    return Decision("wait", change, f"it gets every request; KServe is not ready: {seen.describe()}")


def decide_back(seen: Seen | None, change: Change, limit: float, now: float) -> Decision:
    """The next step of taking a version back: first the requests, then what the service is told to serve.

    After ``limit`` seconds it is left as it is: whoever reads the error knows what is not restored.
    """
    if seen is None:
        return Decision("done", change, "Nothing is served")
    before = change.previous_release
    if before is None:
        return Decision("withdraw", change, "there is no version before it")
    late = now - (change.failed_at or now) > limit
    if seen.release == change.release:
        if seen.percent != 0:
            return Decision("share", change, "every request to the version before", 0)
        if seen.traffic.get(before, 0) != ALL:
            told = f"Requests are not back at version {change.previous_version}: {seen.describe()}"
            return Decision("done" if late else "wait", change, told)
        if change.restore is None:
            told = (
                f"Version {change.previous_version} gets every request; the service still names {change.version} at 0 %"
            )
            return Decision("done", change, told)
        return Decision("restore", change, f"version {change.previous_version} is what the service names again")
    if seen.release != before:
        return Decision("done", change, f"Somebody has had the service name version {seen.version} meanwhile")
    if seen.is_settled:
        return Decision("done", change, f"Version {change.previous_version} gets every request")
    if late:
        told = f"Version {change.previous_version} gets every request; restoring its service is not over"
        return Decision("done", change, f"{told}: {seen.describe()}")
    if seen.percent is not None and seen.is_up(before) and _is_shown(seen, change):
        return Decision("share", change, "the service's own revision of it is ready", None)
    return Decision("wait", change, f"the version before is being restored: {seen.describe()}")
