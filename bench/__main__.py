"""``make bench``: run every bench, or ONLY=<figure>; each writes ``bench/results/<figure>.json``."""

from __future__ import annotations

import argparse
import importlib
import sys
import time

from bench.results import read_load
from bench.table import rewrite_readme

# Figure to the module whose ``main(argv)`` measures it; the short ones first. A module that several figures name
# measures them all in one run, whichever was asked for: they share what they are beside.
BENCHES = {
    "dag_parse_vs_empty": "bench.dag_parse",
    "idle_pss_mb": "bench.idle_memory",
    "forecast_median_error": "bench.forecast.__main__",
    **dict.fromkeys(("sla_mail_worst_delay", "sla_false_alerts", "sla_watch_cpu"), "bench.sla"),
    "endpoint_start_seconds": "bench.endpoint.start",
    "endpoint_swap_failed": "bench.endpoint.swaps",
    "endpoint_capture_cpu": "bench.endpoint.capture",
    **dict.fromkeys(
        (
            "endpoint_1row_cpu_vs_mlflow",
            "endpoint_1row_c8_rps_vs_mlflow",
            "endpoint_1row_cpu_vs_null",
            "endpoint_100row_c8_rps_vs_mlflow",
            "endpoint_10000row_ms_vs_pipeline",
            "endpoint_no_compiler",
        ),
        "bench.endpoint.__main__",
    ),
    **dict.fromkeys(("cluster_search_ratio", "cluster_fit_overhead"), "bench.cluster"),
    "celery_tasks_per_second": "bench.celery.__main__",
    "gate_10m_cpu_vs_gx_pandas": "bench.gate_10m.__main__",
    "refresh_orchestration": "bench.refresh.__main__",
}

_QUIET_LOAD = 0.3
# Two of the load average's own minutes.
_QUIET_SECONDS = 120.0


def _wait_until_quiet() -> None:
    """Let the load of the bench before fade, so that the noted load is that of others; not for ever."""
    deadline = time.monotonic() + _QUIET_SECONDS
    while read_load() > _QUIET_LOAD and time.monotonic() < deadline:
        time.sleep(1)


def list_modules(chosen: str | None) -> list[str]:
    """The modules that measure the figure ``chosen``, or all figures, each once."""
    return list(dict.fromkeys(module for figure, module in BENCHES.items() if chosen in (None, figure)))


def main() -> int:
    """Run what was asked for, rewrite the README's table and say where the figures are."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", choices=sorted(BENCHES))
    chosen = parser.parse_args().only
    for module in list_modules(chosen):
        _wait_until_quiet()
        print(f"=== {', '.join(figure for figure, of in BENCHES.items() if of == module)}", flush=True)
        importlib.import_module(module).main([])
    rewrite_readme()
    print("The figures are in bench/results/ and in README.md. Read them beside the load they ran under.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
