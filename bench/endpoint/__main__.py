"""Measure the endpoint beside its peers: ``python -m bench.endpoint [--seconds N] [--rounds N]``.

One run: all servers are up with the same model, the same real rows are sent to each, and they take turns under wrk's
load. CPU is that of a server's whole process tree divided by the requests answered (medians of the rounds).
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.endpoint.bodies import break_body, write_bodies
from bench.endpoint.figures import (
    FINISHED,
    MLFLOW,
    NO_COMPILER,
    NO_COMPILER_2,
    NULL,
    OURS,
    PEERS,
    PIPELINE,
    STOCK,
    UNCOMPILED,
    make_all,
)
from bench.endpoint.measure import Case, Seen, take_turns
from bench.endpoint.model import agree, package_model, take_features, train_model
from bench.endpoint.plans import (
    WITHOUT_COMPILER,
    deploy,
    plan_bentoml,
    plan_mlflow,
    plan_mlserver,
    plan_stock_mlflow,
    plan_tollgate,
    plan_uvicorn,
)
from bench.endpoint.servers import Plan, Running, ask, read_predictions, start, wait_for_answer
from bench.endpoint.spent import measure_peak
from bench.endpoint.wrk import prepare_wrk
from bench.results import find_versions, read_load, write_results
from config.side_environments import prepare_python
from include.scoring.compiled.document import FILE_NAME
from include.settings import load_settings


def _plan_ours(name: str, model: Path, finished: Path, folder: Path) -> list[Plan]:
    uncompiled = shutil.copytree(model, folder / "uncompiled")
    (uncompiled / FILE_NAME).unlink()
    plans = []
    kinds = {**dict.fromkeys((*OURS, *UNCOMPILED), model), FINISHED: finished, PIPELINE: uncompiled}
    for kind, served in kinds.items():
        deploy(folder / kind, name, {"1": served})
        env = WITHOUT_COMPILER if kind in UNCOMPILED else {}
        workers = 2 if kind in (OURS[1], NO_COMPILER_2) else 1
        plans.append(plan_tollgate(kind, name, folder / kind, workers=workers, **env))
    return plans


def _plan_peers(model: Path, folder: Path) -> list[Plan]:
    python = prepare_python("bench-servers")
    return [
        plan_uvicorn(NULL, "bench.endpoint.peers.null:app", model),
        *(plan_mlflow(name, model, workers) for workers, name in enumerate(MLFLOW, 1)),
        plan_stock_mlflow(STOCK, model),
        plan_mlserver("mlserver", python, model, folder / "mlserver"),
        plan_bentoml("bentoml", python, model),
        plan_uvicorn("fastapi", "bench.endpoint.peers.fastapi_server:app", model),
    ]


def list_cases(seconds: int, rounds: int) -> list[Case]:
    """What is asked of whom."""
    return [
        Case(1, 8, seconds, rounds, (*OURS, NO_COMPILER, FINISHED, NULL, *MLFLOW, *PEERS, STOCK)),
        Case(100, 8, seconds, rounds, (*OURS, *UNCOMPILED, *MLFLOW, *PEERS, STOCK)),
        Case(10_000, 1, 2 * seconds, max(1, rounds - 1), ("tollgate", NO_COMPILER, PIPELINE, "fastapi", "mlflow")),
    ]


def check_answers(
    running: Mapping[str, Running], find_case: Callable[[str], tuple[str, Sequence[float]]], seen: Seen
) -> None:
    """Ends the bench when a server answers otherwise than its model does, or ours takes what it should refuse; notes
    which peers do. ``find_case`` gives a request for the server of that name, and the answer to it."""
    for name, server in running.items():
        if name == NULL:
            continue
        body, expected = find_case(name)
        status, content = ask(server.port, body)
        if status != 200 or not agree(read_predictions(content), expected):
            raise SystemExit(f"{name} does not answer as the model does; the comparison would be unfair")
        broken = break_body(body, text="carrier", number="distance", required=name != FINISHED)
        accepted = [kind for kind, bad in broken.items() if ask(server.port, bad)[0] < 400]
        if accepted and name not in (*MLFLOW, STOCK, *PEERS):
            raise SystemExit(f"{name}, which is ours, takes {', '.join(accepted)}")
        if accepted:
            seen.laxer[name] = f"laxer: takes {', '.join(accepted)}"


def measure_all(seconds: int, rounds: int, folder: Path) -> Seen:
    """Train, start every server, measure, and stop them all."""
    program = prepare_wrk()
    raw = train_model(load_settings({"TOLLGATE_HOME": str(folder / "home")}))
    trained = {"raw": raw, "finished": take_features(raw)}
    models = {kind: package_model(each, folder / "models" / kind) for kind, each in trained.items()}
    bodies = {
        (kind, rows): write_bodies(each.requests, rows, folder / "bodies" / f"{kind}-{rows}.txt")
        for kind, each in trained.items()
        for rows in (1, 100, 10_000)
    }

    def find_kind(server: str) -> str:
        return "finished" if server == FINISHED else "raw"

    def find_bodies(server: str, rows: int) -> Path:
        return bodies[find_kind(server), rows]

    def find_case(server: str) -> tuple[str, Sequence[float]]:
        body = find_bodies(server, 100).read_text().splitlines()[0]
        return body, trained[find_kind(server)].predict(body)

    plans = _plan_ours(raw.pipeline.name, models["raw"], models["finished"], folder / "ours")
    plans += _plan_peers(models["raw"], folder / "peers")
    seen = Seen()
    with contextlib.ExitStack() as stack:
        running = {plan.name: stack.enter_context(start(plan, folder / "logs")) for plan in plans}
        for name, server in running.items():
            wait_for_answer(server, find_bodies(name, 1).read_text().splitlines()[0])
        check_answers(running, find_case, seen)
        for case in list_cases(seconds, rounds):
            take_turns(program, case, running, find_bodies, seen)
        seen.memory.update({name: measure_peak(server.pid) for name, server in running.items()})
    return seen


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write the results of every figure of this run."""
    parser = argparse.ArgumentParser(prog="python -m bench.endpoint", description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args(arguments)
    load = read_load()
    versions = find_versions("uvicorn", "mlflow", "scikit-learn", "fastapi")
    with tempfile.TemporaryDirectory(prefix="tollgate-bench-") as folder:
        seen = measure_all(chosen.seconds, chosen.rounds, Path(folder))
    for figure, rows in make_all(seen).items():
        write_results(figure, rows, load, versions)


if __name__ == "__main__":
    main()
