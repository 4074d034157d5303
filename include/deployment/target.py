"""The one door to whatever serves a pipeline: what every target can do, and the facts that cross it.

A target is made for one pipeline by ``door.open_target`` and keeps no state of its own: all it knows it asks the
service, the ledger or the pointer, so that any process can go on where another was killed. No method waits longer than
the answers to its own requests take, but for the local target, whose ``deploy`` is the rollout's controller.

What a target raises: TransientError (TargetUnavailable) where the same call may succeed later, RolledBack when the
service or a criterion took the version back, TerminalError for the rest. Nothing secret is in a message or a fact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from include.contracts import ModelVersion

State = Literal["under_way", "live"]


@dataclass(frozen=True)
class Release:
    """A blessed version to be served. ``model_dir`` holds its downloaded files, ``holdout_predictions`` is the Parquet
    file of its own stored rows and scores; ``by`` is the run ("DAG/run") or program that asks, ``reason`` why."""

    version: ModelVersion
    model_dir: Path
    holdout_predictions: str
    by: str
    reason: str


@dataclass(frozen=True)
class Progress:
    """How far a change is: "live" is said only when the target itself reports that what was asked for is what it
    serves. ``previous_version`` is what was served before, ``detail`` a sentence for a log, ``facts`` figures.
    ``place`` is the target's own name for what serves (SageMaker: the EndpointConfig; KServe: the storage URI); the
    ledger keeps it with the deployment, as the place to go back to."""

    version: str
    state: State
    detail: str = ""
    previous_version: str | None = None
    place: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TargetStatus:
    """What a target serves, by its own account. It is never raised instead: what cannot be reached is said.

    ``state``: "ready", "changing", "no model deployed yet", "broken", or "down" for one that does not answer.
    ``declared_version`` is what it is told to serve, ``served_version`` what it serves, ``agree`` whether these are the
    same and no change is under way. ``since`` is ISO 8601 in UTC; ``problem`` says what is wrong, if anything;
    ``notes`` are sentences for ``make status`` and the page.
    """

    pipeline: str
    url: str
    state: str
    declared_version: str | None
    served_version: str | None
    agree: bool
    since: str | None = None
    problem: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a model answered: ``body`` as it was sent, of ``content_type``; ``version`` where the target says it."""

    status: int
    body: bytes
    content_type: str
    version: str | None = None


class DeploymentTarget(Protocol):
    """What a pipeline is served by. Every method may be called again after a kill: what exists is adopted, and nothing
    is made twice."""

    kind: str

    def deploy(self, release: Release) -> Progress:
        """Ask for ``release`` and return at once: "under_way", or "live" when it is served already.

        Names of what is made follow from the version's number and content alone. While another change is under way
        nothing is asked for: TargetBusy, which is transient. What is served stays until the new version is.
        """

    def check(self, version: str) -> Progress:
        """How far the change to ``version`` is, in one quick look. Compares what is live with what was asked for.

        Once it is live, what only earlier versions needed is cleared away, but for what rolling back takes. Raises
        RolledBack, with the service's own reason, when another version is live and no change is under way.
        """

    def status(self) -> TargetStatus:
        """What is served, since when, and what is wrong; raises nothing for a target that does not answer."""

    def find_declared(self) -> str | None:
        """The version that the target is told to serve, cheaply; None when there is none or it cannot be said."""

    def predict(self, body: bytes, content_type: str) -> Answer:
        """Ask the live endpoint as a customer would. An answer of the model's own, also an error, is an Answer;
        raises TargetUnavailable when there was none."""

    def roll_back(self, version: str | None, by: str, reason: str) -> Progress:
        """Ask for an earlier version, the previous one when ``version`` is None, and return at once as ``deploy`` does.

        One change back to what was served, guarded as the declaration says; ``check`` follows it. Raises
        NothingToGoBackTo when there is none.
        """

    def retire(self) -> None:
        """Serve nothing any more, and clear away all that was made for this pipeline's endpoint. Called again it does
        the rest. Stored artifacts and the registry stay."""
