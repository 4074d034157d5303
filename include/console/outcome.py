"""What became of a published content, by the records of its pipeline: its training, and the deployment of its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.data.trainings import judged_by, read_claims
from include.records import list_records
from include.settings import Settings

Record = dict[str, Any]


@dataclass(frozen=True)
class Ledger:
    """The records of a pipeline's trainings and deployments, oldest first. ``latencies`` and ``not_deployed`` hold the
    newest of each model by its run in MLflow, as ``blessings`` are named, ``rollouts`` the newest of each version."""

    claims: list[Record]
    blessings: dict[str, Record]
    latencies: dict[str, Record]
    not_deployed: dict[str, Record]
    rollouts: dict[str, Record]
    deployments: list[Record]


def read_ledger(settings: Settings, pipeline: str) -> Ledger:
    """Everything at once: each row of the history needs it."""

    def read(kind: str) -> list[Record]:
        return [record for _, record in list_records(settings, pipeline, kind)]

    return Ledger(
        claims=list(read_claims(settings, pipeline).values()),
        blessings=dict(list_records(settings, pipeline, "blessing")),
        latencies={record["candidate_run_id"]: record for record in read("latency")},
        not_deployed={record["candidate_run_id"]: record for record in read("not_deployed")},
        rollouts={str(record["version"]): record for record in read("rollout")},
        deployments=read("deployment"),
    )


def find_blessing(ledger: Ledger, claim: Record) -> tuple[str, Record | None]:
    """The verdict of the claim's run, with its name; "" and None before there is one."""
    found = [(key, record) for key, record in ledger.blessings.items() if judged_by(record, claim)]
    return found[-1] if found else ("", None)


def find_training(ledger: Ledger, partition: str, version: str) -> Record | None:
    """The claim of the training that decides about this version of the partition; None before there is one.

    That is the first one that used it since it came in: those of later windows use it too and decide about what came
    after it. A version that was gone back to came in anew. Of several trainings of that very window the newest that
    was not stopped before its end decides: one that was takes nothing from a model that is live.
    """
    used: list[Record] = []
    before = None
    for claim in ledger.claims:
        now = claim["partitions"].get(partition)
        if now == version:
            used = [*(used if before == version else ()), claim]
        before = now or before
    if not used:
        return None
    # A training by hand that ended at an older partition stands for no other.
    first = next((claim for claim in used if not claim.get("ended_early")), used[0])
    same = [claim for claim in used if claim["digest"] == first["digest"]]
    judged = [claim for claim in same if claim["stop"] is None and find_blessing(ledger, claim)[1] is not None]
    return (judged or same)[-1]


def _find_deployment(ledger: Ledger, blessing: Record, version: str) -> Record | None:
    """The first deployment of the blessed model: of its version or, where no record names that, of its partition before
    the next model of that partition."""
    if version:
        return next((record for record in ledger.deployments if record["version"] == version), None)
    since, partition = blessing["recorded_at"], blessing["partition"]
    later = [record["recorded_at"] for record in ledger.blessings.values() if record["partition"] == partition]
    until = min((at for at in later if at > since), default="~")
    for record in ledger.deployments:
        if record["partition"] == partition and since < record["recorded_at"] < until:
            return record
    return None


def _describe_deployment(ledger: Ledger, blessing: Record, deployment: Record) -> tuple[str, str]:
    if "withdrawn_because" in deployment:
        return "put back", f"was live; it was withdrawn, with nothing before it: {deployment['withdrawn_because']}"
    left = None
    for later in ledger.deployments:
        if later["recorded_at"] > deployment["recorded_at"]:
            if later["rolled_back_from"] == deployment["version"]:
                left = later
            elif later["version"] == deployment["version"]:
                left = None  # it came back
    if left is not None:
        return "put back", f"was live; version {left['version']} took its place again: {left['reason']}"
    champion = blessing["champion_version"]
    return "deployed", f"replaced version {champion}" if champion else "the first champion"


def _find_obstacle(ledger: Ledger, key: str, version: str) -> tuple[str, str] | None:
    """Outcome and why of the newest of what kept a blessed model from customers; None when nothing did."""
    found = []
    latency, refused, rollout = ledger.latencies.get(key), ledger.not_deployed.get(key), ledger.rollouts.get(version)
    if latency is not None and not latency["passed"]:
        found.append((latency["recorded_at"], "too slow", " ".join(latency["reasons"])))
    if rollout is not None and rollout["outcome"] == "rolled back":
        found.append((rollout["recorded_at"], "rolled back", str(rollout["reason"])))
    if refused is not None:
        found.append((refused["recorded_at"], "not deployed", str(refused["reason"])))
    return max(found)[1:] if found else None


def _describe_blessed(ledger: Ledger, claim: Record, key: str, blessing: Record) -> dict[str, Any]:
    """Outcome, why, version and deployment of a blessed model."""
    tried = [table[key] for table in (ledger.latencies, ledger.not_deployed) if key in table]
    version = str(tried[0]["version"]) if tried else ""
    deployment = _find_deployment(ledger, blessing, version)
    obstacle = _find_obstacle(ledger, key, version)
    if deployment is not None:
        outcome, why = _describe_deployment(ledger, blessing, deployment)
        facts = {"version": str(deployment["version"]), "deployment": str(deployment["by"])}
    elif obstacle is not None:
        outcome, why = obstacle
        newest = max(tried, key=lambda record: str(record["recorded_at"]))
        facts = {"version": version, "deployment": str(newest.get("by", ""))}
    elif claim["stop"] is not None:
        # Blessed, and then not registered.
        outcome, why, facts = "stopped", str(claim["stop"]["reason"]), {}
    else:
        outcome, why, facts = "blessed", "passed every check; not live yet", {}
    return {"outcome": outcome, "why": why, **facts}


def describe_training(ledger: Ledger, claim: Record, partition: str) -> dict[str, Any]:
    """What became of a published partition: the fields of HistoryRow that its training decides."""
    facts: dict[str, Any] = {"training": str(claim["claimed_by"])}
    key, blessing = find_blessing(ledger, claim)
    if blessing is None:
        if claim["stop"] is not None:
            return {**facts, "outcome": "stopped", "why": str(claim["stop"]["reason"])}
        return {**facts, "outcome": "training", "why": f"since {claim['recorded_at'][:19].replace('T', ' ')} UTC"}
    if blessing["blessed"]:
        facts |= _describe_blessed(ledger, claim, key, blessing)
    else:
        facts |= {"outcome": "refused", "why": " ".join(blessing["reasons"])}
    if claim["key"] != partition:
        facts["why"] += f" (trained together with {claim['key']})"
    return {
        **facts,
        "candidate": str(blessing["candidate"]),
        "metrics": tuple((name, float(value)) for name, value in blessing["metrics"].items()),
        "reasons": tuple(blessing["reasons"]),
        "model_run_id": key,
    }
