"""The warm executor: one thread when it forks, nothing shared that must not be, and forks that work as tasks do."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from config.airflow_env import build_environment
from config.credentials import load_credentials
from config.environment import load_site
from include.settings import PROJECT_ROOT

# As the executor does it: import, fork workers, fork a task in each, and use every library there, with threads.
WORK = """
import os, sys, time
from config.warm_executor import LIBRARIES, list_threads, load_libraries

load_libraries()
assert len(list_threads()) == 1, list_threads()
assert not [name for name in sys.modules if name.startswith("include.steps")], "our own code must stay fresh"


def work(folder):
    began = time.process_time()
    import duckdb, great_expectations as gx, mlflow, numpy as np, pandas as pd
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    imported = time.process_time() - began
    frame = pd.DataFrame({"a": np.arange(20_000.0), "b": np.arange(20_000) % 7})
    frame.to_parquet(f"{folder}/rows.parquet")
    con = duckdb.connect(config={"threads": 2})
    assert con.sql(f"select count(*) from '{folder}/rows.parquet' where b = 0").fetchall() == [(2858,)]
    assert len(pd.read_parquet(f"{folder}/rows.parquet")) == 20_000
    with threadpool_limits(2):
        model = HistGradientBoostingClassifier(max_iter=5).fit(frame[["a"]], frame["b"] == 0)
        np.linalg.inv(np.eye(300) * 2)
    assert model.predict(frame[["a"]]).shape == (20_000,)
    context = gx.get_context(mode="ephemeral")
    batch = context.data_sources.add_pandas("p").add_dataframe_asset("f").add_batch_definition_whole_dataframe("b")
    suite = gx.ExpectationSuite("s", expectations=[gx.expectations.ExpectColumnValuesToNotBeNull(column="a")])
    assert batch.get_batch({"dataframe": frame}).validate(suite).success
    return imported


workers = []
for number in range(2):
    worker = os.fork()
    if worker == 0:
        code = 0
        for attempt in range(2):
            task = os.fork()
            if task == 0:
                folder = f"{sys.argv[1]}/{number}-{attempt}"
                os.mkdir(folder)
                try:
                    seconds = work(folder)
                    assert seconds < 0.5, f"importing took {seconds:.1f} s: it was not warm"
                except BaseException:
                    import traceback
                    traceback.print_exc()
                    os._exit(1)
                os._exit(0)
            code |= os.waitstatus_to_exitcode(os.waitpid(task, 0)[1])
        os._exit(code)
    workers.append(worker)
codes = [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
assert codes == [0, 0], codes
print("all worked")
"""

# The executor itself, as the scheduler starts it. Every fork of this process is watched by Python's own hook.
EXECUTOR = """
import os, sys, threading, time, traceback
from pathlib import Path
import psutil
from config.warm_executor import WarmLocalExecutor, list_threads
from include.errors import TerminalError

# Workers are waited for at exit: a failed assertion must not wait with them.
sys.excepthook = lambda *error: (traceback.print_exception(*error), sys.stderr.flush(), os._exit(1))
at_fork = []
os.register_at_fork(before=lambda: at_fork.append(len(list_threads())))
executor = WarmLocalExecutor(parallelism=2)
executor.start()
assert at_fork == [1, 1], f"threads at each fork: {at_fork}"
for pid in executor.workers:
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) == 1
assert psutil.Process().net_connections("all") == [], "a connection that every worker inherits"

# A worker that ends later is replaced, but never while a second thread is alive.
executor.activity_queue.put(None)
while all(worker.is_alive() for worker in executor.workers.values()):
    time.sleep(0.01)
stop = threading.Event()
threading.Thread(target=stop.wait).start()
try:
    executor._spawn_worker()
except TerminalError as error:
    assert "could hang" in error.message and error.facts["threads"]
else:
    raise AssertionError("it forked beside a living thread")
assert at_fork == [1, 1]
stop.set()
while threading.active_count() > 1:
    time.sleep(0.01)
executor._spawn_worker()
assert at_fork == [1, 1, 1]
executor.end()
print("all forked alone")
"""

# In a copy of the project: an edit of ours must count for the next task, and tasks must not draw the same numbers.
FRESH = """
import os, sys
from pathlib import Path
from config.warm_executor import load_libraries, load_steps

load_libraries()
load_steps()


def fork(look):
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, str(look()).encode())
        os._exit(0)
    os.wait()
    return os.read(read, 1000).decode()


def draw():
    import numpy as np
    return np.random.random()


def look():
    warm = "include.steps.deploy" in sys.modules
    import include.steps.deploy, include.steps.train
    return warm, getattr(include.steps.deploy, "EDITED", False)


assert len({fork(draw) for _ in range(3)}) == 3
assert fork(look) == "(True, False)", fork(look)
with Path(sys.argv[1], "project/include/steps/deploy.py").open("a") as source:
    print("EDITED = True", file=source)
assert fork(look) == "(False, True)", fork(look)
print("all fresh")
"""


def _run(code: str, tmp_path: Path, project: Path = PROJECT_ROOT, **changed: str) -> subprocess.CompletedProcess[str]:
    site = load_site({"TOLLGATE_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin"})
    env = {**build_environment(site, load_credentials(site.settings.home)), "PYTHONPATH": str(project), **changed}
    command = [sys.executable, "-c", code, str(tmp_path)]
    return subprocess.run(command, env=env, cwd=project, capture_output=True, text=True, timeout=150, check=False)


def test_forked_workers_and_their_tasks_use_every_library_without_hanging(tmp_path: Path) -> None:
    done = _run(WORK, tmp_path)
    assert "all worked" in done.stdout, done.stderr[-3000:]


def test_no_worker_is_ever_forked_while_a_second_thread_is_alive(tmp_path: Path) -> None:
    done = _run(EXECUTOR, tmp_path)
    assert "all forked alone" in done.stdout, done.stderr[-3000:]


def test_tasks_see_edited_code_and_draw_numbers_of_their_own(tmp_path: Path) -> None:
    for name in ("include", "config"):
        shutil.copytree(PROJECT_ROOT / name, tmp_path / "project" / name)
    done = _run(FRESH, tmp_path, tmp_path / "project")
    assert "all fresh" in done.stdout, done.stderr[-3000:]


def test_it_refuses_to_fork_when_a_library_left_a_thread(tmp_path: Path) -> None:
    """Without the setting that keeps Arrow's allocator from starting one."""
    code = "from config.warm_executor import load_libraries\nload_libraries()"
    done = _run(code, tmp_path, JE_ARROW_MALLOC_CONF="background_thread:true")
    assert done.returncode != 0
    assert "jemalloc_bg_thd" in done.stderr
    assert "TOLLGATE_EXECUTOR=stock" in done.stderr


def test_other_programs_that_read_the_executor_import_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
from airflow.executors.executor_loader import ExecutorLoader
assert ExecutorLoader.get_default_executor_name().module_path == "config.warm_executor.WarmLocalExecutor"
executor, _ = ExecutorLoader.import_default_executor_cls()
heavy = [name for name in ("pandas", "numpy", "mlflow", "great_expectations", "sklearn") if name in sys.modules]
assert not heavy, heavy
"""
    done = _run(code, tmp_path, AIRFLOW__CORE__EXECUTOR="config.warm_executor.WarmLocalExecutor")
    assert done.returncode == 0, done.stderr[-2000:]
