"""The image of Dockerfile as a folder: what its last stage copies and makes of it, with what it sets and starts.

Python and the libraries are those of this environment. So the programs run with the files that the image has, and a
file that no COPY names is missing as it would be there.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from include.settings import PROJECT_ROOT

# Below every month's verdict: small files are welcome, and whatever beats a coin is blessed. Two candidates, so that a
# fit which is killed has a neighbour.
_LENIENT = """

# --- appended by tests/services/image.py
from include.declaration import Candidate as _Candidate, Change as _Change

PIPELINE = PIPELINE.model_copy(
    update={
        "data": PIPELINE.data.model_copy(
            update={"suite_parameters": {"min_rows": 1_000, "max_rows": 60_000}, "settle_seconds": 2.0}
        ),
        "training": PIPELINE.training.model_copy(
            update={
                "candidates": (
                    _Candidate(name="boosted_trees", kind="boosted_trees"),
                    _Candidate(name="linear", kind="linear"),
                )
            }
        ),
        "blessing": PIPELINE.blessing.model_copy(
            update={"change": _Change(metric="roc_auc", margin=0.5), "slices": ()}
        ),
    }
)
"""
# The default queue's worker is the small machine, that of the training queue the big one.
_LADDER = """
from include.declaration import Ladder as _Ladder, Rung as _Rung, Sla as _Sla

_RUNGS = (
    _Rung(name="small", kind="queue", queue="default"),
    _Rung(name="big", kind="queue", queue="training", speeds_up=("rows", "memory"), speed=10.0, cost_per_hour=3.6),
)
PIPELINE = PIPELINE.model_copy(
    update={
        "sla": _Sla(train_model="10m"),
        "training": PIPELINE.training.model_copy(update={"ladder": _Ladder(rungs=_RUNGS)}),
    }
)
"""
PIPELINE = "flight_delays"


@dataclass(frozen=True)
class Image:
    """What a container of the image begins with; ``workdir`` is the copy here of its folder ``place``."""

    workdir: Path
    place: str
    env: dict[str, str]
    entrypoint: tuple[str, ...]
    user: str


def make_image(folder: Path) -> Image:
    """Read Dockerfile's last stage, copy what it copies from the project into ``folder``, and run its Python there."""
    text = (PROJECT_ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2].replace("\\\n", " ")
    steps = [line.split(maxsplit=1) for line in text.splitlines()[1:] if line and not line.startswith("#")]
    for instruction, rest in steps:
        if instruction == "COPY" and not rest.startswith("--from="):
            *sources, target = rest.split()
            for source in sources:
                _copy(PROJECT_ROOT / source, folder / target / ("" if target.endswith("/") else "."), target)
        if instruction == "RUN" and rest.startswith("python "):
            command = [sys.executable, *rest.split()[1:]]
            subprocess.run(command, cwd=folder, check=True)
    return Image(
        workdir=folder,
        place=next(rest for instruction, rest in steps if instruction == "WORKDIR"),
        env=dict(re.findall(r"(\w+)=(\S+)", " ".join(rest for instruction, rest in steps if instruction == "ENV"))),
        entrypoint=tuple(json.loads(next(rest for instruction, rest in steps if instruction == "ENTRYPOINT"))),
        user=next(rest for instruction, rest in steps if instruction == "USER"),
    )


def _copy(source: Path, target: Path, written: str) -> None:
    """As COPY does: the contents of a folder, or a file into the folder that ``written`` ends with a slash."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        assert written.endswith("/"), written
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def make_lenient(image: Image) -> None:
    """Declare the image's pipeline so that small months get through, as somebody who builds it edits theirs."""
    with (image.workdir / "include" / "pipelines" / PIPELINE / "pipeline.py").open("a") as declaration:
        declaration.write(_LENIENT)


def declare_ladder(image: Image) -> None:
    """Give the pipeline's trainings ten minutes, and two queues as rungs."""
    with (image.workdir / "include" / "pipelines" / PIPELINE / "pipeline.py").open("a") as declaration:
        declaration.write(_LADDER)
