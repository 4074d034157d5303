"""Warm Celery workers: what is loaded before they fork, what keeps them from forking, and who else pays for it.

Without a broker: Celery's own signals are sent as its worker sends them. ``tests/services`` starts the workers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from config.airflow_env import build_environment
from config.credentials import load_credentials
from config.environment import load_site
from include.settings import PROJECT_ROOT
from tests.unit.compose_file import list_required, read_compose

# As a worker does it: read the modules that the configuration names, begin, fork, and replace one that died.
WORKER = """
import os, sys, threading
from airflow.providers.celery.executors.celery_executor import app
from celery.signals import worker_before_create_process, worker_init, worker_ready

app.loader.init_worker()
assert "pandas" not in sys.modules, "reading the module is no reason to import"
worker_init.send(sender=None)
worker_before_create_process.send(sender=None)
child = os.fork()
if child == 0:
    warm = {"great_expectations", "mlflow", "sklearn.ensemble", "include.steps.train"} <= set(sys.modules)
    os._exit(0 if warm else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the process was not born warm"
worker_ready.send(sender=None)
import gc
assert gc.get_freeze_count() > 100_000, gc.get_freeze_count()

stop = threading.Event()
threading.Thread(target=stop.wait).start()
try:
    worker_before_create_process.send(sender=None)
except SystemExit as error:
    assert "The worker started threads" in str(error) and "could hang" in str(error), error
else:
    raise AssertionError("it would fork beside a living thread")
finally:
    stop.set()
print("all warm")
"""

STOCK = """
import sys
from airflow.providers.celery.executors.celery_executor import app
from celery.signals import worker_before_create_process, worker_init, worker_ready

app.loader.init_worker()
for signal in (worker_init, worker_before_create_process, worker_ready):
    signal.send(sender=None)
assert not {"pandas", "mlflow", "great_expectations", "sklearn"} & set(sys.modules)
print("all stock")
"""

# The scheduler and whoever asks a worker have the same configuration, and are no workers.
OTHERS = """
import sys
from airflow.providers.celery.executors.celery_executor import CeleryExecutor
executor = CeleryExecutor()
assert executor.celery_app.conf.imports == ["config.warm_celery"], executor.celery_app.conf.imports
assert "execute_workload" in executor.celery_app.tasks
assert not {"config.warm_celery", "pandas", "mlflow", "great_expectations", "sklearn"} & set(sys.modules)
print("nothing loaded")
"""


def _run(code: str, tmp_path: Path, **changed: str) -> subprocess.CompletedProcess[str]:
    site = load_site({"TOLLGATE_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"})
    worker = read_compose(list_required())["services"]["worker"]["environment"]
    celery = {name: value for name, value in worker.items() if name.startswith("AIRFLOW__CELERY")}
    env = {
        **build_environment(site, load_credentials(site.settings.home)),
        **celery,
        "AIRFLOW__CELERY__BROKER_URL": "memory://",
        "PYTHONPATH": str(PROJECT_ROOT),
        **changed,
    }
    assert json.loads(env["AIRFLOW__CELERY__EXTRA_CELERY_CONFIG"])
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=env, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=150, check=False)


def test_a_worker_loads_everything_before_it_forks_and_never_forks_beside_a_thread(tmp_path: Path) -> None:
    done = _run(WORKER, tmp_path)
    assert "all warm" in done.stdout, done.stderr[-3000:]


def test_a_thread_that_an_import_left_ends_the_worker_and_says_which(tmp_path: Path) -> None:
    done = _run(WORKER, tmp_path, JE_ARROW_MALLOC_CONF="background_thread:true")
    assert done.returncode != 0
    assert "jemalloc_bg_thd" in done.stderr
    assert "TOLLGATE_EXECUTOR=stock" in done.stderr


def test_stock_workers_load_nothing(tmp_path: Path) -> None:
    done = _run(STOCK, tmp_path, TOLLGATE_EXECUTOR="stock")
    assert "all stock" in done.stdout, done.stderr[-3000:]


def test_the_scheduler_pays_nothing_for_it(tmp_path: Path) -> None:
    done = _run(OTHERS, tmp_path)
    assert "nothing loaded" in done.stdout, done.stderr[-3000:]
