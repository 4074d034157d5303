"""Measure the endpoint beside its peers: ``python -m bench.endpoint [--seconds N] [--rounds N]``.

One run: all servers are up with the same model, the same real rows are sent to each, and they take turns under wrk's
load. CPU is that of a server's whole process tree divided by the requests answered (medians of the rounds).
"""

from __future__ import annotations

import argparse
import contextlib
import math
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from bench.endpoint.bodies import break_body, write_bodies
from bench.endpoint.figures import CAPTURE, FINISHED, MLFLOW, NO_COMPILER, NULL, OURS, PEERS, PIPELINE, STOCK, make_all
from bench.endpoint.measure import Case, Seen, take_turns
from bench.endpoint.model import BenchModel, make_model
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
from bench.peers import prepare_python
from bench.results import find_versions, read_load, write_results
from include.scoring.compiled.document import FILE_NAME
from include.settings import load_settings

_PARITY = 1e-9


def _plan_ours(model: BenchModel, folder: Path) -> list[Plan]:
    name = model.pipeline.name
    uncompiled = shutil.copytree(model.folder, folder / "uncompiled")
    (uncompiled / FILE_NAME).unlink()
    kinds = {**dict.fromkeys((*OURS, NO_COMPILER), model.folder), FINISHED: model.finished, PIPELINE: uncompiled}
    if _read_facts(model.folder) != _read_facts(model.captured):
        kinds[CAPTURE] = model.captured
    else:
        print("Models of this version say nothing of capture: it is not measured.", flush=True)
    plans = []
    for kind, served in kinds.items():
        deploy(folder / kind, name, served, "1")
        env = WITHOUT_COMPILER if kind == NO_COMPILER else {}
        plans.append(plan_tollgate(kind, name, folder / kind, workers=1 + (kind == OURS[1]), **env))
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


def _read_facts(model: Path) -> object:
    return yaml.safe_load((model / "MLmodel").read_text())["metadata"]["tollgate"]


def list_cases(running: Mapping[str, Running], seconds: int, rounds: int) -> list[Case]:
    """What is asked of whom."""
    ours = (*OURS, NO_COMPILER)
    small = (*ours, *((CAPTURE,) if CAPTURE in running else ()), FINISHED, NULL, *MLFLOW, *PEERS, STOCK)
    return [
        Case(1, 8, seconds, rounds, small),
        Case(100, 8, seconds, rounds, (*ours, *MLFLOW, *PEERS, STOCK)),
        Case(10_000, 1, 2 * seconds, max(1, rounds - 1), ("tollgate", NO_COMPILER, PIPELINE, "fastapi", "mlflow")),
    ]


def check_answers(running: Mapping[str, Running], body: str, expected: Sequence[float], seen: Seen) -> None:
    """Ends the bench when a server answers otherwise, or ours accepts what it should refuse; notes which peers do."""
    for name, server in running.items():
        if name in (NULL, FINISHED):
            continue
        status, content = ask(server.port, body)
        answers = read_predictions(content) if status == 200 else []
        if len(answers) != len(expected) or not all(map(_is_close, answers, expected)):
            raise SystemExit(f"{name} does not answer as the model does; the comparison would be unfair")
        accepted = [kind for kind, bad in break_body(body, "carrier").items() if ask(server.port, bad)[0] < 400]
        if accepted:
            seen.laxer[name] = f"laxer: takes a {' or a '.join(accepted)} required value"
    lax = [name for name in seen.laxer if name not in (*MLFLOW, STOCK, *PEERS)]
    if lax:
        raise SystemExit(f"{', '.join(lax)} of ours took a request that lacks a required value")


def _is_close(answer: float, expected: float) -> bool:
    return math.isclose(answer, expected, rel_tol=0.0, abs_tol=_PARITY)


def measure_all(seconds: int, rounds: int, folder: Path) -> Seen:
    """Train, start every server, measure, and stop them all."""
    program = prepare_wrk()
    model = make_model(load_settings({"TOLLGATE_HOME": str(folder / "home")}), folder / "models")
    bodies = {
        (kind, rows): write_bodies(frame, rows, folder / "bodies" / f"{kind}-{rows}.txt")
        for kind, frame in (("raw", model.requests), ("finished", model.features))
        for rows in (1, 100, 10_000)
    }

    def find_bodies(server: str, rows: int) -> Path:
        return bodies["finished" if server == FINISHED else "raw", rows]

    plans = [*_plan_ours(model, folder / "ours"), *_plan_peers(model.folder, folder / "peers")]
    seen = Seen()
    with contextlib.ExitStack() as stack:
        running = {plan.name: stack.enter_context(start(plan, folder / "logs")) for plan in plans}
        for name, server in running.items():
            wait_for_answer(server, find_bodies(name, 1).read_text().splitlines()[0])
        drawn = find_bodies("raw", 100).read_text().splitlines()[0]
        check_answers(running, drawn, model.predict(drawn), seen)
        for case in list_cases(running, seconds, rounds):
            take_turns(program, case, running, find_bodies, seen)
        seen.memory.update({name: measure_peak(server.pid) for name, server in running.items()})
        if CAPTURE in running and not any((folder / "ours" / CAPTURE).rglob("*.parquet")):
            raise SystemExit("The endpoint that captures has written nothing: its CPU would say nothing.")
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
