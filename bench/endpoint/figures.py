"""From the windows of one run to the rows of each figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bench.endpoint.measure import Seen, Window, get_cpu, get_p50, get_p99, get_rate
from bench.results import Measured

OURS, MLFLOW = ("tollgate", "tollgate_2"), ("mlflow", "mlflow_2")
FINISHED, PIPELINE = "finished", "pipeline"
UNCOMPILED = NO_COMPILER, NO_COMPILER_2 = "no_compiler", "no_compiler_2"
NULL, STOCK, PEERS = "null", "mlflow_stock", ("mlserver", "bentoml", "fastapi")
LABELS: Mapping[str, str] = {
    "tollgate": "one worker",
    "tollgate_2": "two workers",
    "no_compiler": "one worker",
    "no_compiler_2": "two workers",
    "mlflow": "mlflow models serve, OMP_NUM_THREADS=1, one worker",
    "mlflow_2": "mlflow models serve, OMP_NUM_THREADS=1, two workers",
    "mlflow_stock": "mlflow models serve as it comes",
    "mlserver": "MLServer with its MLflow runtime, one worker",
    "bentoml": "BentoML with the scikit-learn pipeline, one worker",
    "fastapi": "FastAPI with the scikit-learn pipeline, one worker",
    "pipeline": "the scikit-learn pipeline in our own server",
    "null": "a null ASGI app on uvicorn, httptools and uvloop",
}


def make_all(seen: Seen) -> dict[str, list[Measured]]:
    """Every figure of the run with its rows."""
    return {
        "endpoint_1row_cpu_vs_mlflow": _compare(seen, 1, "CPU of a one-row request", "CPU ms", get_cpu, "ratio ≥ 60"),
        "endpoint_1row_c8_rps_vs_mlflow": [
            *_compare(seen, 1, "one-row requests, 8 callers", "requests/s", get_rate, "ratio ≥ 60"),
            _compare_tail(seen),
        ],
        "endpoint_1row_cpu_vs_null": [
            _beside_null(seen, FINISHED, "CPU of a one-row request of finished columns", "ratio ≤ 4"),
            _beside_null(seen, "tollgate", "CPU of a raw one-row request", "ratio ≤ 6"),
        ],
        "endpoint_100row_c8_rps_vs_mlflow": _compare(
            seen, 100, "100-row requests, 8 callers", "requests/s", get_rate, "ratio ≥ 12"
        ),
        "endpoint_10000row_ms_vs_pipeline": _compare_large(seen),
        "endpoint_no_compiler": _compare_uncompiled(seen),
    }


def _name(seen: Seen, server: str) -> str:
    laxer = seen.laxer.get(server)
    return f"{LABELS[server]} ({laxer})" if laxer else LABELS[server]


def _compare(
    seen: Seen, rows: int, what: str, unit: str, get: Callable[[Window], float], target: str
) -> list[Measured]:
    """MLflow's server beside ours, of both the better of one and two workers; other peers have one, and so has ours."""
    highest = get is get_rate
    best = seen.choose(OURS, rows, get, highest), seen.choose(MLFLOW, rows, get, highest)
    made = []
    for ours, peer in (best, *((OURS[0], peer) for peer in (*PEERS, STOCK))):
        made.append(
            Measured(
                measure=f"{what}, {LABELS[ours]}",
                value=seen.find(ours, rows, get),
                unit=unit,
                peer=_name(seen, peer),
                peer_value=seen.find(peer, rows, get),
                ratio_is="ours ÷ peer" if highest else "peer ÷ ours",
                peak_mb=seen.memory.get(ours),
                peer_peak_mb=seen.memory.get(peer),
                target=target if peer in MLFLOW else "",
                footnote=peer == STOCK,
            )
        )
    return made


def _compare_tail(seen: Seen) -> Measured:
    ours, peer = seen.choose(OURS, 1, get_rate, highest=True), seen.choose(MLFLOW, 1, get_p50)
    return Measured(
        measure=f"99th percentile of one-row requests, 8 callers, {LABELS[ours]}",
        value=seen.find(ours, 1, get_p99),
        unit="ms",
        peer=f"the median of {LABELS[peer]}",
        peer_value=seen.find(peer, 1, get_p50),
        ratio_is="ours ÷ peer",
        target="ratio < 1",
    )


def _beside_null(seen: Seen, server: str, what: str, target: str) -> Measured:
    return Measured(
        measure=what,
        value=seen.find(server, 1, get_cpu),
        unit="CPU ms",
        peer=LABELS[NULL],
        peer_value=seen.find(NULL, 1, get_cpu),
        ratio_is="ours ÷ peer",
        peak_mb=seen.memory.get(server),
        peer_peak_mb=seen.memory.get(NULL),
        target=target,
    )


def _compare_large(seen: Seen) -> list[Measured]:
    made = []
    for server, how in (("tollgate", ""), (NO_COMPILER, ", without a compiler")):
        for peer in (PIPELINE, "fastapi", "mlflow"):
            made.append(
                Measured(
                    measure=f"a request of 10,000 rows, one caller{how}",
                    value=seen.find(server, 10_000, get_p50),
                    unit="ms",
                    peer=_name(seen, peer),
                    peer_value=seen.find(peer, 10_000, get_p50),
                    ratio_is="peer ÷ ours",
                    peak_mb=seen.memory.get(server),
                    peer_peak_mb=seen.memory.get(peer),
                    target="ratio ≥ 1" if peer == PIPELINE else "",
                )
            )
    return made


def _compare_uncompiled(seen: Seen) -> list[Measured]:
    ours, best = (seen.choose(servers, 100, get_rate, highest=True) for servers in (UNCOMPILED, MLFLOW))
    return [
        _beside_null(seen, NO_COMPILER, "CPU of a raw one-row request without a compiler", "ratio ≤ 8"),
        Measured(
            measure=f"100-row requests without a compiler, 8 callers, {LABELS[ours]}",
            value=seen.find(ours, 100, get_rate),
            unit="requests/s",
            peer=_name(seen, best),
            peer_value=seen.find(best, 100, get_rate),
            ratio_is="ours ÷ peer",
            peak_mb=seen.memory.get(ours),
            peer_peak_mb=seen.memory.get(best),
            target="ratio ≥ 5",
        ),
    ]
