"""DAGs of the bench, put beside the image's own: many tasks that do nothing, and many that use the heavy libraries."""

from __future__ import annotations

from airflow.sdk import dag, task

COUNT = 100


@task
def do_nothing(number: int) -> int:
    """As short as a task can be."""
    return number


@task
def use_libraries(number: int) -> int:
    """Imports what the steps of Tollgate import, and does no work with it."""
    import mlflow.sklearn
    import sklearn.ensemble

    import great_expectations

    return number * len({great_expectations, mlflow.sklearn, sklearn.ensemble})


@dag(dag_id="bench.nothing", schedule=None, max_active_tasks=64, tags=["bench"])
def many_of_nothing() -> None:
    """COUNT tasks at once."""
    do_nothing.expand(number=list(range(COUNT)))


@dag(dag_id="bench.libraries", schedule=None, max_active_tasks=64, tags=["bench"])
def many_with_libraries() -> None:
    """COUNT tasks at once."""
    use_libraries.expand(number=list(range(COUNT)))


many_of_nothing()
many_with_libraries()
