"""The shape of every mail to a pipeline's owner, and what those about rollbacks and about mending say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from include.contracts import Rollback
from include.links import link_mlflow_version
from include.mail.compose import Mail
from include.settings import Settings


def write_mail(
    pipeline: str, owner: tuple[str, ...], *, subject: str, links: Iterable[tuple[str, str]], **parts: Any
) -> Mail:
    """A mail to a pipeline's owner; a link without an address, such as one to a page that was pruned, is left out."""
    given = tuple((label, url) for label, url in links if url)
    return Mail(pipeline=pipeline, to=owner, subject=f"[Tollgate] {pipeline}: {subject}", links=given, **parts)


def advise_after_rollback(rollback: Rollback) -> str:
    """What a person does after a rollback."""
    name, left = rollback.pipeline, rollback.left
    return (
        f"Find out what is wrong with version {left}; it comes back only when {name}.deploy_model is triggered with "
        f"version={left}. The next refresh is compared with version {rollback.version}, and deployed if blessed."
    )


def describe_rollback(settings: Settings, owner: tuple[str, ...], rollback: Rollback) -> Mail:
    """A person rolled back."""
    left, version = rollback.left, rollback.version
    return write_mail(
        rollback.pipeline,
        owner,
        key=f"rolled-back/{left}/{version}/{rollback.served_at}",
        tone="warn",
        subject=f"{rollback.who} rolled back from version {left} to {version}",
        headline=f"{rollback.who} rolled back: customers get version {version} again",
        lines=(f"Version {left} was left: {rollback.reason}", *rollback.problems),
        facts=(
            ("Who", f"{rollback.who} ({rollback.by})"),
            ("Why", rollback.reason),
            ("Served since", rollback.served_at),
            ("Trained for", rollback.partition),
            ("Checked", rollback.checked),
        ),
        next_step=advise_after_rollback(rollback),
        links=[
            (f"Version {left} in MLflow", link_mlflow_version(settings, rollback.pipeline, left)),
            (f"Version {version} in MLflow", link_mlflow_version(settings, rollback.pipeline, version)),
            ("What is served and why", f"{settings.airflow_public_url}/tollgate/"),
        ],
    )


def describe_mending(settings: Settings, pipeline: str, owner: tuple[str, ...], at: str, done: str) -> Mail:
    """Registry, pointer and endpoint were not of one mind, and are again."""
    return write_mail(
        pipeline,
        owner,
        key=f"mended/{at}",
        tone="warn",
        subject="what is served was put in order",
        headline="Registry, pointer and endpoint did not agree; they do again",
        lines=(done,),
        next_step="Nothing, if this is the version that customers should get; otherwise make rollback.",
        links=[("What is served and why", f"{settings.airflow_public_url}/tollgate/")],
    )


def describe_disagreement(
    settings: Settings, pipeline: str, owner: tuple[str, ...], since: str, problem: str, next_step: str
) -> Mail:
    """They do not agree, and it takes a person."""
    return write_mail(
        pipeline,
        owner,
        key=f"disagreement/{since}",
        tone="bad",
        subject="registry, pointer and endpoint do not agree",
        headline="Registry, pointer and endpoint do not agree",
        lines=(problem, "This is said once; it is tried again every five minutes."),
        facts=(("Since", since),),
        next_step=next_step,
        links=[("What is served and why", f"{settings.airflow_public_url}/tollgate/")],
    )
