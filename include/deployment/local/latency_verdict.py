"""The latency gate's verdict: enough answers, the declared objective, no regression against the champion."""

from __future__ import annotations

import math

from include.contracts import Check, CheckStatus, LatencyFigures, LatencyReport
from include.declaration.delivery import LatencyGate
from include.deployment.local.quantiles import Blocks, bootstrap_ratio, measure_quantile
from include.errors import LatencyUnmeasured, TooSlow


def judge_samples(gate: LatencyGate, figures: LatencyFigures) -> Check:
    """Whether a version gave as many answers as the figures need; fewer are no verdict, and never pass."""
    enough = figures.requests >= gate.samples
    detail = f"Version {figures.version} gave {figures.requests} of {gate.samples} answers"
    detail += "." if enough else f" in {gate.max_seconds:g} s: too few for a verdict."
    name = f"answers of version {figures.version}"
    status: CheckStatus = "pass" if enough else "not_evaluated"
    return Check(name, "value", status, figures.requests, gate.samples, detail=detail)


def judge_objective(gate: LatencyGate, candidate: LatencyFigures) -> list[Check]:
    """A check of each declared quantile."""
    asked = (("p50", candidate.p50_ms, gate.p50_ms), ("p95", candidate.p95_ms, gate.p95_ms))
    checks = []
    for name, observed, bound in (*asked, ("p99", candidate.p99_ms, gate.p99_ms)):
        if bound is None:
            continue
        label = f"{name} ≤ {bound:g} ms"
        if not math.isfinite(observed):
            checks.append(Check(label, "value", "error", observed, bound, detail=f"{name} could not be measured."))
        elif observed > bound:
            detail = f"{name} is {observed:.2f} ms, above the objective of {bound:g} ms."
            checks.append(Check(label, "value", "fail", observed, bound, detail=detail))
        else:
            detail = f"{name} is {observed:.2f} ms, within the objective of {bound:g} ms."
            checks.append(Check(label, "value", "pass", observed, bound, detail=detail))
    return checks


def judge_regression(
    gate: LatencyGate, candidate: Blocks, champion: Blocks, champion_version: str, max_ratio: float, seed: int
) -> Check:
    """Whether the candidate is slower than the champion beyond what is declared, and beyond doubt."""
    ratio = bootstrap_ratio(candidate, champion, gate.quantile, gate.confidence, seed)
    name = f"p{gate.quantile * 100:g} ÷ version {champion_version}'s"
    if not all(map(math.isfinite, ratio)):
        detail = f"{name} could not be computed."
        return Check(name, "change", "error", ratio.observed, max_ratio, ratio.low, ratio.high, detail)
    mine, theirs = measure_quantile(candidate, gate.quantile), measure_quantile(champion, gate.quantile)
    slower = ratio.low > max_ratio
    noticed = mine - theirs > gate.tolerance_ms
    detail = (
        f"p{gate.quantile * 100:g} is {mine:.2f} ms, {ratio.observed:.2f} times version {champion_version}'s"
        f" {theirs:.2f} ms ({ratio.low:.2f} to {ratio.high:.2f} with {gate.confidence * 100:g} %)"
    )
    if slower and noticed:
        detail += f": beyond doubt more than {max_ratio:g} times, and by more than {gate.tolerance_ms:g} ms."
    elif slower:
        detail += f": slower, by less than the {gate.tolerance_ms:g} ms that are tolerated."
    else:
        detail += f": not beyond doubt more than {max_ratio:g} times."
    status: CheckStatus = "fail" if slower and noticed else "pass"
    return Check(name, "change", status, ratio.observed, max_ratio, ratio.low, ratio.high, detail)


def raise_if_slow(report: LatencyReport, evidence: str) -> None:
    """Raise TooSlow with the figures for a refused candidate; ``evidence`` is where they all are.

    Where nothing but answers is missing the machine may have been busy: that is LatencyUnmeasured, worth another try.
    """
    if report.passed:
        return
    reasons = " ".join(report.reasons)
    if all(check.status in ("pass", "not_evaluated") for check in report.checks):
        raise LatencyUnmeasured(
            f"Version {report.version} of {report.pipeline} was not judged by the latency gate: {reasons}",
            next_step="Nothing was deployed, and what customers get is untouched. Run this again when the machine is"
            f" less busy, or raise deployment.latency.max_seconds; the figures are at {evidence}",
            version=report.version,
            reason=reasons,
        )
    champion = report.champion
    raise TooSlow(
        f"Version {report.version} of {report.pipeline} was stopped by the latency gate: {reasons}",
        next_step="Nothing was deployed, and what customers get is untouched. Train a faster model, or declare in"
        f" deployment.latency what may be asked of them; the figures are at {evidence}",
        version=report.version,
        latency=_tell(report.candidate),
        champion=f"version {champion.version}: {_tell(champion)}" if champion else "none to compare with",
        changed=" ".join(report.changed),
    )


def _tell(figures: LatencyFigures) -> str:
    cpu = "" if figures.cpu_ms is None else f", {figures.cpu_ms:.2f} ms of CPU a request"
    return (
        f"p50 {figures.p50_ms:.2f} ms, p95 {figures.p95_ms:.2f} ms, p99 {figures.p99_ms:.2f} ms,"
        f" {figures.requests_per_second:.0f} requests/s{cpu} ({figures.scoring_path})"
    )
