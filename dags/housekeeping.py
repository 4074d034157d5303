"""housekeeping: what no pipeline's run does, for the whole system, every five minutes.

Sends the mails that wait, closes the MLflow runs of DAG runs that are over, frees what such runs had claimed, removes
work files that were not used for a week, and makes registry, pointer and endpoint agree again where they do not. Every
task says what it did in its log. The tasks do not wait for each other, and what one could not do is done by the next
run.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from include.settings import load_settings
from tollgate_alerts import send_pending
from tollgate_defaults import task
from tollgate_runs import is_alive
from tollgate_targets import connect_target


@task
def send_mails() -> str:
    """Mails that the mail server did not take before."""
    return send_pending()


@task
def close_runs() -> str:
    """MLflow runs of DAG runs that are over."""
    from include.steps.housekeeping import close_abandoned_runs

    return close_abandoned_runs(load_settings(), is_alive)


@task
def lift_claims() -> str:
    """Arrivals, and windows to train on, that were claimed by DAG runs that are over."""
    from include.steps.housekeeping import lift_stale_claims, note_dead_trainings

    settings = load_settings()
    told = [lift_stale_claims(settings, is_alive), note_dead_trainings(settings, is_alive)]
    return " ".join(dict.fromkeys(told))  # nothing to do is said once


@task
def prune() -> str:
    """Work files that nothing needs any more."""
    from include.steps.housekeeping import prune_files

    return prune_files(load_settings(), is_alive)


@task
def reconcile() -> str:
    """Registry, pointer and endpoint of every pipeline name the same version."""
    from include.steps.reconcile import reconcile_endpoints

    told = reconcile_endpoints(load_settings(), is_alive, connect_target)
    send_pending()
    return told


with DAG(
    "tollgate.housekeeping",
    schedule="*/5 * * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    # Claims and runs are judged by one at a time.
    max_active_runs=1,
    default_args={
        "owner": "tollgate",
        # Two tries more outlast a start of the system, when a scheduler is up before the API server that tasks need.
        # Beyond that the next run is the retry: a mail for each failure would be one every five minutes. It shows in
        # the UI.
        "retries": 2,
        "retry_delay": timedelta(seconds=20),
        # Seconds of work; what takes longer than the time to the next run hangs.
        "execution_timeout": timedelta(minutes=5),
    },
    description="Mails that wait, runs and claims of the dead, files that nothing needs, endpoints that disagree",
    doc_md=__doc__,
    tags=["tollgate"],
):
    send_mails()
    close_runs()
    lift_claims()
    prune()
    reconcile()
