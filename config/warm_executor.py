"""A LocalExecutor whose workers are born with everything loaded, so that no task waits for an import.

What the embedded system runs with unless ``TOLLGATE_EXECUTOR=stock``. Importing Great Expectations takes 4 CPU-seconds
and MLflow with scikit-learn as long again; a worker forked after the import, and each task it forks in turn, has them
at once and shares the memory.

What a fork may break, and what is done about it:

- *Threads.* A lock that another thread holds at that instant is held in the child for ever. The libraries are imported
  and never used before the fork, their thread pools are kept to one, and no worker is forked while a second thread is
  alive, whoever started it.
- *Our own code.* An edited file must count for the next task, not after the next restart. A process that finds a file
  of ours changed since it was loaded forgets all of them and imports them anew.
- *Random numbers.* NumPy seeds its global generator when it is imported; every task would draw the same numbers.
- *Open files and connections.* Importing opens none; what the scheduler itself has open, a stock worker inherits too.

It is the scheduler alone that imports all this: other programs read this file too, and pay nothing for it.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

from airflow.executors.local_executor import LocalExecutor

from include.errors import TerminalError

LIBRARIES = (
    # What a task's process loads before it comes to the task: the parser of DAG files, what @task and assets are.
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.execution_time.cache",
    "airflow.sdk.execution_time.task_mapping",
    "airflow.sdk.execution_time.timeout",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.definitions.retry_policy",
    "airflow.dag_processing.bundles.local",
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.python",
    "airflow.providers.amazon.aws.assets.s3",
    "airflow.providers.common.io.assets.file",
    "airflow.providers.postgres.assets.postgres",
    "airflow.providers.smtp.hooks.smtp",
    # What the steps use.
    "numpy",
    "pandas",
    "pyarrow.parquet",
    "duckdb",
    "duckdb_engine",
    "great_expectations",
    "great_expectations.expectations.core",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "skops.io",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "mlflow",
    "mlflow.sklearn",
    # What those load themselves when they are first used: a second in every fit.
    "pyarrow.dataset",
    "pandas.core.arrays.arrow.extension_types",
    "pandas.core.methods.to_dict",
    "narwhals._pandas_like.dataframe",
    "narwhals._pandas_like.namespace",
    "narwhals._interchange.dataframe",
    "narwhals.stable.v2._namespace",
    "jinja2.ext",
    "PIL.BmpImagePlugin",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PpmImagePlugin",
    "encodings.cp437",
    "mlflow.pyfunc",
    "mlflow.tracking.request_header.registry",
)
# The tasks' work. Whatever of include/ these import themselves is loaded with them.
STEPS = (
    "include.steps.refresh",
    "include.steps.train",
    "include.steps.runtime",
    "include.steps.ladder",
    "include.runtime.scaling",
    "include.steps.deploy",
    "include.steps.rollback",
    "include.steps.reconcile",
    "include.training.dataset",
    "include.data.claims",
    "include.data.window",
    "include.declaration.loader",
    "include.gates.dialect",
    "include.gates.expectations",
    "include.mail.compose",
    "include.scoring.compiled.build",
)
# Read by the libraries when they are imported; tasks may raise the number of threads for themselves.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_IO_THREADS")


def list_threads() -> set[int]:
    """Every thread of this process, also those that Python does not know."""
    return {int(entry.name) for entry in Path("/proc/self/task").iterdir()}


def load_libraries() -> None:
    """Import every library of ``LIBRARIES``. Raises TerminalError when that started a thread which stays."""
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    before = list_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in LIBRARIES:
            importlib.import_module(name)
            _check_threads(f"Importing {name}", list_threads() - before)
        # Which package brings which module: MLflow works it out in every process that stores a model, 0.4 s each time.
        importlib.import_module("mlflow.utils.requirements_utils")._init_packages_to_modules_map()


def _check_threads(who: str, started: set[int]) -> None:
    if started:
        names = sorted((Path("/proc/self/task") / str(thread) / "comm").read_text().strip() for thread in started)
        raise TerminalError(
            f"{who} started threads ({', '.join(names)}): workers forked now could hang.",
            next_step="Set TOLLGATE_EXECUTOR=stock and restart; then find the setting that keeps it from doing so.",
            threads=names,
            started_by=who,
        )


def _stamp_file(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _list_own() -> list[str]:
    """Names of the loaded modules of include/, plugins/ and declared pipelines."""
    return [name for name in sys.modules if name.partition(".")[0] == "include" or name.startswith("tollgate_")]


def _forget_changed(stamps: Mapping[str, tuple[int, int]]) -> None:
    """Forget all of our modules when a file is not as it was loaded: half old and half new would be neither."""
    if any(_stamp_file(path) != stamp for path, stamp in stamps.items()):
        for name in _list_own():
            del sys.modules[name]


def load_steps() -> None:
    """Import ``STEPS``; from now on a forked process forgets them when a file has changed, and has numbers of its own.

    Call it after ``load_libraries``.
    """
    import numpy as np

    for name in STEPS:
        importlib.import_module(name)
    paths = [sys.modules[name].__file__ for name in _list_own()]
    stamps = {path: _stamp_file(path) for path in paths if path}
    os.register_at_fork(after_in_child=lambda: _forget_changed(stamps))
    os.register_at_fork(after_in_child=np.random.seed)


def check_alone(who: str) -> None:
    """Raise TerminalError when this process, ``who``, has a second thread: what it forked now could hang."""
    _check_threads(who, list_threads() - {os.getpid()})


class WarmLocalExecutor(LocalExecutor):
    """LocalExecutor that imports libraries and steps before its workers are forked."""

    def start(self) -> None:
        """Import, then fork the workers."""
        load_libraries()
        load_steps()
        super().start()
        # What was loaded stays for ever; the scheduler need not look through it for garbage, 0.4 s each time.
        gc.freeze()

    def _spawn_worker(self) -> None:
        # Also the later ones, which take the place of a worker that died.
        check_alone("The scheduler")
        super()._spawn_worker()  # type: ignore[no-untyped-call]
