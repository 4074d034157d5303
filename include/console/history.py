"""What happened to each refresh and why: the ledger's entries joined, oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from include.records import list_records
from include.settings import Settings


@dataclass(frozen=True)
class HistoryRow:
    """One content of one partition: its refresh, the training that used it, and what came of it.

    ``outcome`` is one of blocked, published, training, refused, blessed, too slow, rolled back, deployed,
    put back; ``why`` a sentence for a person and ``reasons`` what the blessing found. ``training`` and ``deployment``
    are runs as "DAG/run", ``run_url`` is the page of the task that gave the refresh its verdict, ``model_run_id`` the
    candidate's run in MLflow.
    """

    partition: str
    fingerprint: str
    at: str
    rows: int | None
    quarantined: int | None
    outcome: str
    why: str
    candidate: str = ""
    metrics: tuple[tuple[str, float], ...] = ()
    version: str = ""
    report_path: str = ""
    docs_path: str = ""
    run_url: str = ""
    reasons: tuple[str, ...] = ()
    training: str = ""
    deployment: str = ""
    model_run_id: str = ""


def _find_training(
    verdict: dict[str, Any], claims: list[tuple[str, dict[str, Any]]]
) -> tuple[str, dict[str, Any]] | None:
    """The first training that used this version of the partition."""
    for digest, claim in claims:
        if claim["partitions"].get(verdict["partition"]) == verdict.get("version"):
            return digest, claim
    return None


def _find_deployment(
    blessing: dict[str, Any], blessings: list[dict[str, Any]], deployments: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """The first deployment of the blessed model: of its partition, before the next model of that partition."""
    since, partition = blessing["recorded_at"], blessing["partition"]
    until = min(
        (b["recorded_at"] for b in blessings if b["partition"] == partition and b["recorded_at"] > since), default="~"
    )
    for deployment in deployments:
        if deployment["partition"] == partition and since < deployment["recorded_at"] < until:
            return deployment
    return None


def _describe_deployment(
    blessing: dict[str, Any],
    deployment: dict[str, Any] | None,
    deployments: list[dict[str, Any]],
    latency: dict[str, Any] | None,
    rollouts: dict[str, dict[str, Any]],
) -> tuple[str, str]:
    """Outcome and why of a blessed model; ``rollouts`` has the newest of each version."""
    if deployment is None and latency is not None:
        rollout = rollouts.get(str(latency["version"]))
        if not latency["passed"]:
            return "too slow", " ".join(latency["reasons"])
        if rollout is not None and rollout["outcome"] == "rolled back":
            return "rolled back", rollout["reason"]
    if deployment is None:
        return "blessed", "passed every check; not live yet"
    if "withdrawn_because" in deployment:
        return "put back", f"was live; it was withdrawn, with nothing before it: {deployment['withdrawn_because']}"
    left = None
    for later in deployments:
        if later["recorded_at"] > deployment["recorded_at"]:
            if later["rolled_back_from"] == deployment["version"]:
                left = later
            elif later["version"] == deployment["version"]:
                left = None  # it came back
    if left is not None:
        return "put back", f"was live; version {left['version']} took its place again: {left['reason']}"
    champion = blessing["champion_version"]
    return "deployed", f"replaced version {champion}" if champion else "the first champion"


def _describe_training(
    claim: dict[str, Any],
    partition: str,
    key: str,
    blessing: dict[str, Any] | None,
    blessings: list[dict[str, Any]],
    deployments: list[dict[str, Any]],
    latency: dict[str, Any] | None,
    rollouts: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """What became of a published partition: the fields of HistoryRow that its training decides."""
    facts: dict[str, Any] = {"training": str(claim["claimed_by"])}
    if blessing is None:
        return {**facts, "outcome": "training", "why": f"since {claim['recorded_at'][:19].replace('T', ' ')} UTC"}
    deployment = _find_deployment(blessing, blessings, deployments) if blessing["blessed"] else None
    if blessing["blessed"]:
        outcome, why = _describe_deployment(blessing, deployment, deployments, latency, rollouts)
    else:
        outcome, why = "refused", " ".join(blessing["reasons"])
    tried = latency if outcome in ("too slow", "rolled back") else deployment
    if claim["key"] != partition:
        why += f" (trained together with {claim['key']})"
    return {
        **facts,
        "outcome": outcome,
        "why": why,
        "version": str(tried["version"]) if tried else "",
        "deployment": str(deployment["by"]) if deployment else "",
        "candidate": str(blessing["candidate"]),
        "metrics": tuple((name, float(value)) for name, value in blessing["metrics"].items()),
        "reasons": tuple(blessing["reasons"]),
        "model_run_id": key,
    }


def read_history(settings: Settings, pipeline: str) -> list[HistoryRow]:
    """One row for each content that got a verdict, in the order of the verdicts."""
    claims = list(list_records(settings, pipeline, "training"))
    blessings = list(list_records(settings, pipeline, "blessing"))
    by_window = {record["window_digest"]: (key, record) for key, record in blessings}
    judged = [record for _, record in blessings]
    deployments = [record for _, record in list_records(settings, pipeline, "deployment")]
    # The newest one of each model.
    latencies = {record["candidate_run_id"]: record for _, record in list_records(settings, pipeline, "latency")}
    rollouts = {str(record["version"]): record for _, record in list_records(settings, pipeline, "rollout")}
    rows = []
    for _, verdict in list_records(settings, pipeline, "refresh"):
        facts: dict[str, Any] = {"outcome": str(verdict["status"]), "why": str(verdict.get("reason", ""))}
        training = _find_training(verdict, claims) if verdict["status"] == "published" else None
        if training is not None:
            digest, claim = training
            key, blessing = by_window.get(digest, ("", None))
            partition, latency = str(verdict["partition"]), latencies.get(key)
            facts = _describe_training(claim, partition, key, blessing, judged, deployments, latency, rollouts)
        rows.append(
            HistoryRow(
                partition=str(verdict["partition"]),
                fingerprint=str(verdict["fingerprint"]),
                at=str(verdict["recorded_at"]),
                rows=verdict.get("rows"),
                quarantined=verdict.get("quarantined"),
                report_path=str(verdict.get("report_path", "")),
                docs_path=str(verdict.get("docs_path", "")),
                run_url=str(verdict.get("run_url", "")),
                **facts,
            )
        )
    return rows
