"""The errors Tollgate raises: each keeps its facts, says what to do next and knows whether a retry can help."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar


class TollgateError(Exception):
    """Base of every error raised on purpose.

    ``message`` says what happened, ``next_step`` what a person should do; ``facts`` are kept as a mapping and are
    readable as attributes (``error.partition``). ``retryable`` tells the orchestrator whether the same call may
    succeed later.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, next_step: str, **facts: Any) -> None:
        super().__init__(f"{message} {next_step}")
        self.message = message
        self.next_step = next_step
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception's own way calls the class with the text alone, which fails in whoever waits for a worker process.
        return partial(type(self), self.message, next_step=self.next_step, **self.facts), ()

    def __getattr__(self, name: str) -> Any:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(f"{type(self).__name__} has no fact {name!r}")


class TerminalError(TollgateError):
    """The same input fails again: a retry only delays the message."""


class TransientError(TollgateError):
    """Something outside was not there: a retry may help."""

    retryable = True


class SettingsError(TerminalError):
    """An environment variable has a value that cannot be used."""


class DeclarationError(TerminalError):
    """A pipeline's declaration is wrong; facts: ``pipeline``, ``place``, ``source``."""


class PartitionNameError(TerminalError):
    """A partition name does not fit the declared format, or tries to leave its folder; facts: ``partition``."""


class RefreshUnreadable(TerminalError):
    """A complete file cannot be read as what it claims to be; facts: ``path``, ``format``, ``reason``."""


class RefreshMissing(TransientError):
    """A named refresh is not in the landing folder (yet); facts: ``pipeline``, ``partition``, ``landing``."""


class RefreshChanged(TerminalError):
    """A file is not the one any more that was noticed, so it is another arrival; facts: as of RefreshMissing."""


class GateBlocked(TerminalError):
    """A gate stopped its subject; facts: ``report`` (a GateReport), ``rules`` (names of what failed)."""


class SuiteInvalid(TerminalError):
    """A stored suite cannot be evaluated whole; facts: ``suite``, ``rule``, ``reason``, ``suite_version`` of one that
    cannot even be read."""


class LeakageFound(TerminalError):
    """A request column depends on something only known afterwards; facts: ``columns``."""


class TrainingDataInvalid(TerminalError):
    """Labels or features are unusable (missing labels, base rate, too few rows); facts name the measure."""


class RungFailed(TerminalError):
    """A fit failed on a rung of the compute ladder in a way that a higher one may mend; facts: ``candidate``, ``rung``,
    ``failure`` (memory, time or lost)."""


class ClusterUnavailable(TransientError):
    """A declared cluster did not answer, or has no workers; facts: ``address``."""


class TrackingUnavailable(TransientError):
    """The MLflow server did not answer; facts: ``uri``."""


class TrackingConflict(TerminalError):
    """MLflow holds something else under the same key (other parameters, another source); facts name both."""


class UnsafeModel(TerminalError):
    """A model file asks for types that Tollgate does not trust; facts: ``types``, ``path``."""


class NotBlessed(TerminalError):
    """A model that was not blessed was to be registered or promoted; facts: ``pipeline``, ``version`` or ``run_id``."""


class PointerInvalid(TerminalError):
    """An endpoint's pointer file does not hold a pointer; facts: ``path``, ``reason``."""


class ModelUnusable(TerminalError):
    """A model directory cannot be served; facts: ``path``, ``reason``."""


class CompiledFormRefused(TerminalError):
    """A model has no compiled form, the form gives other answers, or its file is not one; facts: ``reason``."""


class AnswersDiffer(TerminalError):
    """An endpoint does not give a stored row the score it had; facts: ``version``, ``difference``, ``reason``."""


class SandboxFailed(TerminalError):
    """A candidate did not answer as expected in the sandbox; facts: ``version``, ``reason``."""


class LatencyUnmeasured(TransientError):
    """A server did not last under the latency gate's load, or gave too few answers; facts: ``version``, ``reason``."""


class ChampionUnusable(TerminalError):
    """The champion cannot be measured beside a candidate; facts: ``version``, ``reason``, ``log``."""


class TooSlow(TerminalError):
    """A candidate's answers take longer than declared, or a figure is missing; facts: ``version`` and the figures."""


class EndpointUnavailable(TransientError):
    """The endpoint did not answer, or did not take up a version in time; facts: ``url``, ``version``."""


class TargetUnavailable(TransientError):
    """A deployment target did not answer, or could not just now; facts: ``target``, ``call``, ``code``."""


class TargetBusy(TransientError):
    """A deployment target is in the middle of another change; facts: ``target``, ``endpoint``, ``state``."""


class TargetRefused(TerminalError):
    """A deployment target refused a request that it will refuse again; facts: ``target``, ``call``, ``code``."""


class VersionLeft(TerminalError):
    """A version that was rolled back from was to be served again unasked; facts: ``pipeline``, ``version``."""


class DeploymentStopped(TerminalError):
    """A deployment gave way to a rollback by hand; facts: ``pipeline``, ``version``."""


class NothingToGoBackTo(TerminalError):
    """No earlier version can be served; facts: ``pipeline``, and ``version`` when one was named."""


class PortTaken(TerminalError):
    """A port that the embedded system needs is in use; facts: ``port``, ``setting``, ``program``."""


class RolledBack(TerminalError):
    """A rollout was taken back by itself; facts: ``version``, ``champion``, ``stage``, ``statistic``, figures."""


class RolloutInterrupted(TerminalError):
    """Somebody else ended a rollout under way; facts: ``version``, ``stage``."""
