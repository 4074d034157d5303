"""The traffic of one rollout: stage by stage to the candidate, counted and judged, or back to the champion at once."""

from __future__ import annotations

import contextlib
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from include.declaration.models import Pipeline
from include.deployment.local.candidate import Candidate, CandidateBroken
from include.deployment.local.client import Endpoint, ask
from include.deployment.local.stages import Stage
from include.deployment.local.tally import Tally
from include.errors import EndpointUnavailable, RolledBack, RolloutInterrupted
from include.pointer import Pointer, read_pointer
from include.records import utc_now, write_record
from include.rollout import RolloutOrder, read_rollout, remove_rollout, renew_rollout, write_rollout
from include.settings import Settings

_LOOK_SECONDS = 0.1
_RENEW_SECONDS = 1.0
# A worker that is being started is waited for so long before a stage's time begins.
_FOLLOW_SECONDS = 10.0


@dataclass(frozen=True)
class RolloutReport:
    """How a rollout ended: "promoted", or "not needed", with the reason, when there is nobody to stand beside.

    ``counts`` holds what came of the requests that the candidate got, by who sent them.
    """

    version: str
    champion: str | None
    outcome: str
    reason: str
    requests: int = 0
    failed: int = 0
    seconds: float = 0.0
    counts: Mapping[str, Any] | None = None


class TrafficShift:
    """One rollout under way: its order, renewed and followed by the endpoint, and the counts that judge it."""

    def __init__(
        self, settings: Settings, pipeline: Pipeline, version: str, endpoint: Endpoint, folder: Path, champion: Pointer
    ) -> None:
        self.id = secrets.token_hex(16)
        self.report = RolloutReport(version, champion.version, "under way", "")
        self._settings = settings
        self._pipeline = pipeline
        self._declared = pipeline.deployment.rollout
        self._version = version
        self._endpoint = endpoint
        self._folder = folder
        self._champion = champion
        self._started_at = utc_now()
        self._began = time.monotonic()
        self._renewed = 0.0
        self._order: RolloutOrder | None = None
        self._stage = "start"
        self._tally: Tally | None = None

    @contextlib.contextmanager
    def record(self, candidate: Candidate) -> Iterator[None]:
        """Write down how it ends, and end it in any case."""
        try:
            yield
        except CandidateBroken as broken:
            lines = candidate.read_log()
            self._end("rolled back", f"candidate_ended: {broken}")
            shown = "\n".join(lines) or "(it wrote nothing)"
            self._roll_back("candidate_ended", f"{str(broken).rstrip('.')}. Its last lines:\n{shown}\n", broken)
        except BaseException as error:
            self._end("rolled back" if isinstance(error, RolledBack) else "not ended", str(error))
            raise
        finally:
            remove_rollout(self._folder, self.id)
        self._end("promoted", "every stage passed")

    def run_stage(self, stage: Stage, candidate: Candidate) -> None:
        """Give the candidate the stage's share for as long as it asks, and until there are enough requests to judge."""
        try:
            self._run_stage(stage, candidate)
        except BaseException:
            # At once: whatever else has to end may take its time.
            remove_rollout(self._folder, self.id)
            raise

    def _run_stage(self, stage: Stage, candidate: Candidate) -> None:
        self._stage = f"{stage.name} at {stage.share_percent:g} %"
        self._check_own()
        if self._tally is None:
            self._tally = Tally(self._declared.auto_rollback_configuration, self._read_counts(), time.monotonic())
        self._order = order = RolloutOrder(
            id=self.id,
            version=self._version,
            champion=self._champion.version,
            champion_dir=self._champion.model_dir,
            socket=candidate.socket,
            stage=stage.name,
            share_percent=stage.share_percent,
            deadline_ms=self._declared.candidate_deadline_ms,
            sticky_header=self._declared.sticky_header,
            started_at=self._started_at,
        )
        write_rollout(self._folder, order)
        written = self._renewed = time.monotonic()
        begins: float | None = None
        silent_since: float | None = None
        while True:
            time.sleep(_LOOK_SECONDS)
            self._check_own()
            self._renew()
            ended = candidate.describe_end()
            if ended:
                raise CandidateBroken(ended)
            now = time.monotonic()
            try:
                followed = self._look(self._tally, order, now)
                silent_since = None
            except EndpointUnavailable:
                # Its supervisor may be starting it anew; the order waits for it.
                silent_since = silent_since or now
                if now - silent_since > self._pipeline.deployment.swap_seconds:
                    raise
                continue
            problem = self._tally.find_problem()
            if problem is not None:
                self._roll_back(problem.statistic, problem.sentence)
            if begins is None and (followed or now - written > _FOLLOW_SECONDS):
                begins = now
            if begins is not None and now - begins >= stage.seconds and self._tally.has_enough_to_pass():
                return
            self._check_time(now)

    def _look(self, tally: Tally, order: RolloutOrder, now: float) -> bool:
        """Take in the counts; whether every worker follows the present order. Raises RolledBack when one cannot."""
        body = self._ask_rollout()
        for worker in body["workers"]:
            refused = worker.get("rollout_error")
            if refused and refused["id"] == self.id:
                self._roll_back("endpoint_refused", f"the endpoint does not follow it: {refused['message']}")
        tally.add(body["candidates"].get(self._version, {}), now)
        wanted = {"id": self.id, "share_percent": order.share_percent}
        return bool(body["workers"]) and all(worker["rollout"] == wanted for worker in body["workers"])

    def _ask_rollout(self) -> dict[str, Any]:
        reply = ask(self._endpoint, "GET", "/rollout", seconds=2.0)
        if reply.status != 200 or not isinstance(reply.body, dict):
            raise EndpointUnavailable(
                f"The endpoint {self._endpoint.url} tells nothing of rollouts (GET /rollout gave {reply.status}).",
                next_step="Start it anew with this version of Tollgate (make stop, make run), then deploy again.",
                url=self._endpoint.url,
                version=self._version,
            )
        return reply.body

    def _read_counts(self) -> Mapping[str, Any]:
        counts: Mapping[str, Any] = self._ask_rollout()["candidates"].get(self._version, {})
        return counts

    def _check_own(self) -> None:
        """Raises RolloutInterrupted when the order or the pointer is not the one that we know."""
        order = read_rollout(self._folder)
        gone = self._order is not None and (order is None or order.id != self.id)
        if gone or read_pointer(self._folder) != self._champion:
            raise RolloutInterrupted(
                f"The rollout of version {self._version} was ended by somebody else ({self._stage}): its order or the "
                "endpoint's pointer was replaced.",
                next_step="If that was no rollback by hand, deploy the version again.",
                version=self._version,
                champion=self._champion.version,
                stage=self._stage,
            )

    def _renew(self) -> None:
        now = time.monotonic()
        if now - self._renewed >= _RENEW_SECONDS:
            self._renewed = now
            renew_rollout(self._folder)  # gone: noticed at the next look

    @contextlib.contextmanager
    def keep_renewed(self) -> Iterator[None]:
        """Let the order hold while the version is swapped in, so that no request goes back in between; not for longer
        than a swap may take."""
        stop = threading.Event()

        def renew() -> None:
            until = time.monotonic() + 2 * self._pipeline.deployment.swap_seconds
            while time.monotonic() < until and not stop.wait(_RENEW_SECONDS):
                renew_rollout(self._folder)

        self._stage = "promotion"
        self._check_own()
        thread = threading.Thread(target=renew, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _check_time(self, now: float) -> None:
        limit = self._declared.maximum_execution_timeout_in_seconds
        if now - self._began <= limit:
            return
        enough = self._tally is not None and self._tally.has_enough_to_pass()
        minimum = self._declared.auto_rollback_configuration.minimum_requests
        why = "" if enough else f": fewer than the {minimum} requests came that it takes to judge"
        self._roll_back("maximum_execution_timeout_in_seconds", f"it was not over after {limit:g} s{why}")

    def _roll_back(self, statistic: str, sentence: str, cause: BaseException | None = None) -> NoReturn:
        tally = self._tally
        requests, failed = (tally.requests, tally.failed) if tally is not None else (0, 0)
        raise RolledBack(
            f"Version {self._version} was taken back ({self._stage}): {sentence.rstrip('.')}. "
            f"Version {self._champion.version} answers every request again.",
            next_step="It cost no customer an answer. Mend the cause and deploy again.",
            version=self._version,
            champion=self._champion.version,
            stage=self._stage,
            statistic=statistic,
            requests=requests,
            failed=failed,
            seconds=round(time.monotonic() - self._began, 2),
        ) from cause

    def _end(self, outcome: str, reason: str) -> None:
        tally = self._tally
        self.report = RolloutReport(
            self._version,
            self._champion.version,
            outcome,
            reason,
            tally.requests if tally is not None else 0,
            tally.failed if tally is not None else 0,
            round(time.monotonic() - self._began, 2),
            tally.describe() if tally is not None else None,
        )
        name = f"{self._started_at.replace(':', '')}@{self._version}"
        facts = {**asdict(self.report), "stage": self._stage, "started_at": self._started_at}
        write_record(self._settings, self._pipeline.name, "rollout", name, facts)
