"""What every program of Tollgate runs with wherever it is started: by ``make run`` or in a container."""

from __future__ import annotations

from typing import Final

from config.credentials import ADMIN
from config.ports import LOOPBACK

SHARED: Final[dict[str, str]] = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
    # --- one person, with a password
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{ADMIN}:admin",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "120",
    "AIRFLOW__LOGGING__COLORED_CONSOLE_LOG": "False",
    # Two hundred lines about its own functions whenever it is imported.
    "AIRFLOW__LOGGING__NAMESPACE_LEVELS": "great_expectations=WARNING",
    # --- a loop that answers within a second, and notices a new DAG file soon
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
    # --- a killed component's tasks are found in seconds; the defaults take five minutes
    "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "True",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": LOOPBACK,
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    # On a busy machine the API server may wait for its database longer than the usual 5 s. A task whose start is not
    # answered in time is killed, and that counts as a try.
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "30",
    # A task's supervisor sleeps between two heartbeats, and often through the end of its process: the worker was free
    # again 5 s late, and with a few such the next task waited 3 s. Now a second, and as long as before until it gives
    # up.
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    "AIRFLOW__WORKERS__MAX_FAILED_HEARTBEATS": "15",
    "PYTHONUNBUFFERED": "1",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "GIT_PYTHON_REFRESH": "quiet",
    # Nobody is told that this runs.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "true",
    "SCARF_ANALYTICS": "false",
    # One thread per library unless a step asks for more: parallel fits that each take every core cost 10×.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    # Threads that wait for each other sleep: on busy cores they would use up what the others need to finish.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Arrow's allocator would start a thread when pandas is imported, before the warm executor forks.
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
    # When skops is imported it looks at every name of every loaded module; Airflow's old names answer with over a
    # thousand warnings, 600 KB in the log of a task.
    "PYTHONWARNINGS": "ignore::FutureWarning:skops.io._utils",
}
