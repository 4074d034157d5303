"""A ladder's mistakes are named where it is declared."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from include.declaration import Ladder, Rung


def test_without_a_declaration_there_is_this_worker_alone() -> None:
    (rung,) = Ladder().rungs
    assert (rung.name, rung.kind, rung.cost_per_hour) == ("worker", "worker", 0.0)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"kind": "sagemaker", "instance_type": "ml.m5.4xlarge"}, "comes with the SageMaker target"),
        ({"kind": "queue"}, "names a queue, a pool or an executor"),
        ({"kind": "worker", "queue": "big"}, "kind worker has no queue"),
        ({"kind": "dask", "address": "scheduler:8786"}, "no address of a Dask scheduler"),
        ({"kind": "dask", "address": "tcp://scheduler:8786", "workers": 2}, "leave workers out"),
        ({"speeds_up": ("rows",)}, "a speed above 1"),
        ({"speeds_up": ("miracles",)}, "trials"),
    ],
)
def test_a_wrong_rung_is_refused(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Rung(name="big", **fields)


def test_rungs_have_names_of_their_own_and_are_good_for_something() -> None:
    with pytest.raises(ValidationError, match="same name"):
        Ladder(rungs=(Rung(name="a"), Rung(name="a", speeds_up=("memory",))))
    with pytest.raises(ValidationError, match="rung b speeds up nothing"):
        Ladder(rungs=(Rung(name="a"), Rung(name="b")))
    ladder = Ladder(rungs=(Rung(name="a"), Rung(name="b", speeds_up=("memory",))))
    assert ladder.find("b").speeds_up == ("memory",)
    assert [rung.name for rung in ladder.above("a")] == ["b"]
    with pytest.raises(KeyError):
        ladder.find("c")
