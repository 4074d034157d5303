"""The same work without Airflow: ``python -m bench.refresh.plain <pipeline>``, one process for all refreshes.

Reads a partition a line from standard input, whose file lies in the landing folder; takes it through every step that
the three DAGs take, one after the other, and answers with one JSON line: [step, second it began, seconds] in order. The
candidates alone are fitted side by side, each in a process of its own that stays for the next refresh, with as many
threads as Airflow's. Whatever it imports stays imported, so every refresh after the first one is warm.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from collections.abc import Callable
from multiprocessing.pool import Pool
from pathlib import Path
from typing import TypeVar

from include.contracts import Arrival, ModelVersion, PartitionRef, RunIdentity, TrainingSet, Window
from include.data.names import landing_folder
from include.data.window import Superseded, choose_window
from include.declaration import Pipeline
from include.declaration.loader import get_pipeline
from include.settings import Settings, load_settings
from include.steps import deploy, refresh, train
from include.training.dataset import prepare_training_set

T = TypeVar("T")


class Steps:
    """Runs functions and notes when each began and how long it took."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, float, float]] = []

    def run(self, name: str, function: Callable[..., T], *arguments: object) -> T:
        """Call ``function`` as the step ``name``."""
        began, clock = time.time(), time.monotonic()
        result = function(*arguments)
        self.taken.append((name, began, time.monotonic() - clock))
        return result


def _take_in(settings: Settings, pipeline: Pipeline, partition: str, run: RunIdentity, steps: Steps) -> PartitionRef:
    path = landing_folder(settings, pipeline) / f"{partition}.parquet"
    stat = path.stat()
    arrival = Arrival(pipeline.name, partition, str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
    taken = steps.run("take_in_arrival", refresh.take_in_arrival, settings, pipeline, arrival, run)
    if refresh.describe_known_content(settings, pipeline, taken, arrival, run):
        raise SystemExit(f"{partition} was judged before")
    report = steps.run("gate_refresh", refresh.gate_refresh, settings, pipeline, taken, arrival, run)
    published = steps.run("publish_partition", refresh.publish_refresh, settings, pipeline, taken, arrival, report, run)
    steps.run("record_published", refresh.record_published, settings, taken, arrival, published, run)
    return published


def _train(
    settings: Settings, pipeline: Pipeline, partition: str, run: RunIdentity, steps: Steps, fitters: Pool
) -> ModelVersion:
    chosen = steps.run("choose_window", choose_window, settings, pipeline, partition, run.run_id)
    if isinstance(chosen, Superseded):
        raise SystemExit(chosen.reason)
    window: Window = chosen
    parent = steps.run("open_run", train.open_training, settings, pipeline, window, run)
    prepared: TrainingSet = steps.run("prepare_training_set", prepare_training_set, settings, pipeline, window)
    steps.run("gate_features", train.gate_features, settings, pipeline, prepared, parent, run)
    fits = [(settings, pipeline, prepared, candidate.name, parent, run) for candidate in pipeline.training.candidates]
    trained = steps.run("fit_candidate", fitters.starmap, train.fit_one, fits, 1)
    blessing = steps.run("bless_best", train.bless_best, settings, pipeline, prepared, trained, parent, run)
    if not blessing.blessed:
        raise SystemExit(f"{partition} was not blessed: {' '.join(blessing.reasons)}")
    version = steps.run("register_model", train.register_blessed, settings, pipeline, blessing, prepared)
    steps.run("close_run", train.finish_training, settings, pipeline, parent, True)
    return version


def run_refresh(settings: Settings, pipeline: Pipeline, partition: str, fitters: Pool) -> Steps:
    """Take one landed file all the way to the endpoint."""
    steps = Steps()
    run = RunIdentity("plain", f"plain-{partition}", "plain", 1, -1, "")
    _take_in(settings, pipeline, partition, run, steps)
    version = _train(settings, pipeline, partition, run, steps, fitters)
    chosen = steps.run("choose_version", deploy.choose_version, settings, pipeline, None, [version])
    if isinstance(chosen, str):
        raise SystemExit(chosen)
    steps.run("try_in_sandbox", deploy.try_in_sandbox, settings, pipeline, chosen)
    steps.run("measure_latency", deploy.measure_latency, settings, pipeline, chosen, run)
    steps.run("shift_traffic", deploy.shift_traffic, settings, pipeline, chosen, run, "bench")
    steps.run("deploy_champion", deploy.deploy_champion, settings, pipeline, chosen, run, "bench")
    return steps


def main(name: str) -> None:
    """Answer every line of standard input."""
    settings = load_settings()
    pipeline = get_pipeline(settings, name)
    answers = sys.stdout
    # Libraries print; what is read on the other side is only ours.
    sys.stdout = sys.stderr
    # Forked before anything has run: no library has started a thread yet.
    with multiprocessing.get_context("fork").Pool(len(pipeline.training.candidates)) as fitters:
        for line in sys.stdin:
            taken = run_refresh(settings, pipeline, Path(line.strip()).name, fitters).taken
            answers.write(json.dumps(taken) + "\n")
            answers.flush()


if __name__ == "__main__":
    main(sys.argv[1])
