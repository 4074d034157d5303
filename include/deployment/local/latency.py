"""The latency gate: candidate and champion, each in a process of its own, under the same load in one run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from include.contracts import Check, LatencyFigures, LatencyReport
from include.declaration.models import Pipeline
from include.deployment.local.aside import AsideServer, NotReady, run_aside, wait_until_ready
from include.deployment.local.client import ask
from include.deployment.local.contenders import (
    Contender,
    build_bodies,
    count_rows,
    list_changes,
    read_contender,
)
from include.deployment.local.latency_verdict import judge_objective, judge_regression, judge_samples
from include.deployment.local.load import Answers, Failed, Load, Target, replay_load
from include.deployment.local.quantiles import RESAMPLES, Blocks, measure_quantile
from include.deployment.local.replay import read_stored_rows
from include.errors import ChampionUnusable, EndpointUnavailable, LatencyUnmeasured, SandboxFailed, TerminalError
from include.settings import Settings

# Not counted: the first answers pay for what every process does once.
_WARM_UP = 40
# A process that was killed has ended by then, and one that hangs is told of without.
_ENDING_SECONDS = 2.0


@dataclass(frozen=True)
class Measurement:
    """The report, and every answer's milliseconds by version, the candidate's first."""

    report: LatencyReport
    times: dict[str, Blocks]


def measure_latency(
    settings: Settings,
    pipeline: Pipeline,
    version: str,
    model_dir: Path,
    champion: tuple[str, Path] | None,
    holdout_predictions: str,
) -> Measurement:
    """Ask ``version`` and the champion (its version and directory) the same stored rows, and judge what it took.

    Both servers are stopped whatever happens. Raises nothing for a slow candidate: the report says so. Raises
    SandboxFailed when the candidate refuses stored rows, ChampionUnusable when the champion cannot be asked, and
    LatencyUnmeasured when a server did not start, or died.
    """
    started = time.monotonic()
    gate = pipeline.deployment.latency
    candidate = read_contender(version, model_dir)
    rival = None if champion is None else read_contender(*champion)
    contenders = [candidate] if rival is None or gate.max_ratio is None else [candidate, rival]
    measured = _measure_contenders(settings, pipeline, contenders, holdout_predictions)
    figures = [each for each, _ in measured]
    blocks = [answers.blocks for _, answers in measured]

    checks: list[Check] = [judge_samples(gate, each) for each in figures]
    checks += judge_objective(gate, figures[0])
    if gate.max_ratio is not None and len(figures) > 1:
        seed = pipeline.training.seed
        checks.append(judge_regression(gate, blocks[0], blocks[1], figures[1].version, gate.max_ratio, seed))
    stopping = [check.detail for check in checks if check.status != "pass"]
    report = LatencyReport(
        pipeline=pipeline.name,
        version=version,
        partition=str(candidate.metadata.get("partition", "")),
        rows=gate.rows,
        concurrency=gate.concurrency,
        candidate=figures[0],
        champion=figures[1] if len(figures) > 1 else None,
        checks=tuple(checks),
        passed=not stopping,
        reasons=tuple(stopping or (check.detail for check in checks)),
        changed=list_changes(candidate, rival),
        blocks=len(blocks[0]),
        resamples=RESAMPLES if len(figures) > 1 else 0,
        seconds=time.monotonic() - started,
    )
    return Measurement(report, {each.version: times for each, times in zip(figures, blocks, strict=True)})


def _measure_contenders(
    settings: Settings, pipeline: Pipeline, contenders: Sequence[Contender], holdout_predictions: str
) -> list[tuple[LatencyFigures, Answers]]:
    gate = pipeline.deployment.latency
    stored = read_stored_rows(pipeline, holdout_predictions, count_rows(gate.rows)).requests
    if stored.empty:
        raise TerminalError(
            f"Version {contenders[0].version} has no stored holdout row to ask, so its latency cannot be measured.",
            next_step="Train again; a training without a holdout is refused, so look for who changed its predictions.",
            version=contenders[0].version,
        )
    bodies = [build_bodies(contender, stored, gate.rows) for contender in contenders]
    with ExitStack() as stack:
        servers = [
            stack.enter_context(run_aside(settings, pipeline, each.version, each.model_dir)) for each in contenders
        ]
        deadline = time.monotonic() + pipeline.deployment.sandbox_seconds
        targets = [
            _wait_for_target(settings, server, server is servers[0], asked, deadline)
            for server, asked in zip(servers, bodies, strict=True)
        ]
        deadline = time.monotonic() + gate.max_seconds
        try:
            replay_load(targets, Load(_WARM_UP, gate.concurrency, 0, deadline))
            before = [_read_cpu(server) for server in servers]
            answers = replay_load(targets, Load(gate.samples, gate.concurrency, pipeline.training.seed, deadline))
            used = [_subtract(_read_cpu(server), start) for server, start in zip(servers, before, strict=True)]
            paths = [str(ask(target.endpoint, "GET", "/version").body.get("scoring_path")) for target in targets]
        except Failed as error:
            failed = next(server for server in servers if server.version == error.version)
            raise _explain(failed, failed is servers[0], error) from error
        except EndpointUnavailable as error:
            gone = next((server for server in servers if server.process.poll() is not None), servers[0])
            raise _miss(gone, error.message) from error
    return [
        (_make_figures(server.version, each, cpu, path), each)
        for server, each, cpu, path in zip(servers, answers, used, paths, strict=True)
    ]


def _wait_for_target(
    settings: Settings, server: AsideServer, is_candidate: bool, bodies: Sequence[bytes], deadline: float
) -> Target:
    try:
        # A champion that refuses a prediction must not stand in the way of the version that would not.
        return Target(server.version, wait_until_ready(settings, server, deadline), bodies, not is_candidate)
    except NotReady as error:
        if error.broken and not is_candidate:
            raise _give_up(server, str(error)) from error
        raise _miss(server, str(error)) from error


def _make_figures(version: str, answers: Answers, cpu_seconds: float | None, path: str) -> LatencyFigures:
    count = answers.count
    return LatencyFigures(
        version=version,
        requests=count,
        p50_ms=measure_quantile(answers.blocks, 0.5),
        p95_ms=measure_quantile(answers.blocks, 0.95),
        p99_ms=measure_quantile(answers.blocks, 0.99),
        requests_per_second=count / answers.seconds if count else 0.0,
        cpu_ms=None if cpu_seconds is None or not count else 1000 * cpu_seconds / count,
        scoring_path=path,
    )


def _read_cpu(server: AsideServer) -> float | None:
    """Seconds that the process has computed; None where the system does not tell them this exactly."""
    try:
        tasks = list(Path(f"/proc/{server.process.pid}/task").iterdir())
        # stat counts in ticks of 10 ms, which is the work of a hundred small requests.
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def _subtract(end: float | None, start: float | None) -> float | None:
    return None if end is None or start is None else end - start


def _explain(server: AsideServer, is_candidate: bool, error: Failed) -> Exception:
    if error.gone:
        try:
            # Its connections are gone a moment before it has ended.
            code = server.process.wait(_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            return _miss(server, str(error))
        return _miss(server, f"its process ended with exit code {code}")
    if not is_candidate:
        return _give_up(server, str(error))
    return SandboxFailed(
        f"Version {server.version} failed under the latency gate's load: {error}",
        next_step="Nothing was deployed. Mend the cause and deploy again, or lower deployment.latency.concurrency.",
        version=server.version,
        reason=str(error),
        log=server.read_log(),
    )


def _miss(server: AsideServer, reason: str) -> LatencyUnmeasured:
    return LatencyUnmeasured(
        f"The latency of version {server.version} was not measured: {reason.rstrip('.')}.",
        next_step="Nothing was deployed, and what customers get is untouched; run this again.",
        version=server.version,
        reason=reason,
        log=server.read_log(),
    )


def _give_up(server: AsideServer, reason: str) -> ChampionUnusable:
    return ChampionUnusable(
        f"The champion, version {server.version}, cannot be measured beside the candidate: {reason.rstrip('.')}.",
        next_step="Mend it, or set deployment.latency.max_ratio to None once: the objective is still judged then.",
        version=server.version,
        reason=reason,
        log=server.read_log(),
    )
