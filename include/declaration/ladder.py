"""The part of a declaration that says on which machines a training may be done, in order, and what that may cost."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from include.declaration.parts import Name, Part

DEFAULT_RUNG = "worker"
# Which of a rung's fields only mean something to some kinds.
_OWN_FIELDS: dict[str, tuple[str, ...]] = {
    "worker": ("pool",),
    "queue": ("queue", "pool", "executor"),
    "dask": ("address", "workers", "queue", "pool", "executor"),
    "sagemaker": ("instance_type", "instance_count", "spot"),
}
_EVERY_OWN = sorted({field for fields in _OWN_FIELDS.values() for field in fields})


class Rung(Part):
    """One place to train at. The first is the lowest and the one that is taken unless another is needed.

    ``kind``: "worker" is the worker that runs every task; "queue" another Airflow ``queue``, ``pool`` or ``executor``,
    such as that of a bigger machine; "dask" a Dask cluster, embedded with ``workers`` processes on the worker, or at
    ``address`` (its workers need the project's packages and the pipeline's code; the data is sent to them).

    ``speeds_up`` is what the rung is good for: "trials" (fits, or parts of one, side by side on its ``cores``), "rows"
    (one fit is ``speed`` times as fast as on the first rung, until it has been measured there), "memory". ``memory_mb``
    is what all fits on it have together, None for not known. ``cost_per_hour`` is in the ladder's currency.
    ``max_minutes`` is a fit's limit here; None for the training's.
    """

    name: Name
    kind: Literal["worker", "queue", "dask", "sagemaker"] = "worker"
    speeds_up: tuple[Literal["trials", "rows", "memory"], ...] = ()
    speed: float = Field(1.0, gt=0)
    memory_mb: float | None = Field(None, gt=0)
    cores: int | None = Field(None, ge=1)
    cost_per_hour: float = Field(0.0, ge=0)
    max_minutes: float | None = Field(None, gt=0)
    queue: str | None = None
    pool: str | None = None
    executor: str | None = None
    address: str | None = None
    workers: int | None = Field(None, ge=1)
    instance_type: str | None = None
    instance_count: int | None = Field(None, ge=1)
    spot: bool | None = None

    @model_validator(mode="after")
    def _check_kind(self) -> Rung:
        foreign = [f for f in _EVERY_OWN if getattr(self, f) is not None and f not in _OWN_FIELDS[self.kind]]
        if foreign:
            raise ValueError(f"a rung of kind {self.kind} has no {', '.join(foreign)}")
        if self.kind == "sagemaker":
            raise ValueError(
                "training on SageMaker comes with the SageMaker target, which is not there yet; "
                "declare a queue or dask rung, or leave this one out"
            )
        if self.kind == "queue" and not (self.queue or self.pool or self.executor):
            raise ValueError("a rung of kind queue names a queue, a pool or an executor")
        if self.address is not None and self.address.partition("://")[0] not in ("tcp", "tls", "ws", "wss"):
            raise ValueError(f"{self.address!r} is no address of a Dask scheduler, such as tcp://scheduler:8786")
        if self.address is not None and self.workers is not None:
            raise ValueError("a cluster at an address has the workers that it has; leave workers out")
        if "rows" in self.speeds_up and self.speed <= 1:
            raise ValueError("a rung that speeds up rows says by how much: a speed above 1")
        return self


class Ladder(Part):
    """Rungs in the order in which they are taken, and the budget that caps them: a rung whose expected cost would pass
    ``budget_per_training``, or with what the last 30 days cost ``budget_per_month``, is not taken."""

    rungs: tuple[Rung, ...] = Field((Rung(name=DEFAULT_RUNG),), min_length=1)
    budget_per_training: float | None = Field(None, ge=0)
    budget_per_month: float | None = Field(None, ge=0)
    currency: str = "USD"

    @model_validator(mode="after")
    def _check_rungs(self) -> Ladder:
        names = [rung.name for rung in self.rungs]
        if len(set(names)) != len(names):
            raise ValueError("two rungs have the same name")
        useless = [rung.name for rung in self.rungs[1:] if not rung.speeds_up]
        if useless:
            raise ValueError(f"rung {useless[0]} speeds up nothing; say trials, rows or memory")
        return self

    def find(self, name: str) -> Rung:
        """The rung of that name. Raises KeyError."""
        return {rung.name: rung for rung in self.rungs}[name]

    def above(self, name: str) -> tuple[Rung, ...]:
        """The rungs above that one, the next one first."""
        names = [rung.name for rung in self.rungs]
        return self.rungs[names.index(name) + 1 :]
