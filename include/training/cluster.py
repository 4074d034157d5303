"""Where an estimator is fitted: in this process, or on a Dask cluster, embedded or at an address.

On a cluster the whole fit runs in one of its workers, so that its memory is used and not this process's; what the
estimator runs side by side through joblib (the trials of a search, the trees of a forest) goes to all of them. A worker
that dies loses the parts that it held, and Dask gives those to another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from include.declaration.ladder import Rung
from include.errors import ClusterUnavailable, TransientError
from include.runtime.measure import Meter
from include.scoring.scorer import Scorer

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

    from include.metrics import Floats

# Scorer, features, labels, threads, meter → the fitted scorer. A meter is told what was spent where it cannot look.
Engine = Callable[[Scorer, "pd.DataFrame", "Floats", int, Meter], Scorer]
_PATIENCE_SECONDS = 30
# A part that took so many workers down with it does so on any.
_ALLOWED_FAILURES = 2


def fit_here(scorer: Scorer, features: pd.DataFrame, labels: Floats, threads: int, meter: Meter) -> Scorer:
    """Fit in this process."""
    del threads, meter  # the caller has limited and measures this process
    return scorer.fit_features(features, labels)


def choose_engine(rung: Rung, cores: int) -> Engine:
    """How fits are made on the rung; ``cores`` are this machine's, of an embedded cluster that declares no workers."""
    if rung.kind != "dask":
        return fit_here

    def fit_there(scorer: Scorer, features: pd.DataFrame, labels: Floats, threads: int, meter: Meter) -> Scorer:
        with open_cluster(rung, cores) as client:
            introduce_pipelines(client)
            spent = _read_cluster_cpu(client) if rung.address else 0.0
            # Pure functions of the same arguments are not made twice; this one is timed, so it is never taken over.
            (fitted,) = SharedData(client, features).compute(
                lambda given: [client.submit(_fit_in_worker, scorer, given, labels, threads, pure=False)]
            )
            if rung.address:
                # Processes on other machines, of which the meter sees nothing.
                meter.add("fit", 0.0, _read_cluster_cpu(client) - spent)
        result: Scorer = fitted
        return result

    return fit_there


class SharedData:
    """Data that lies on every worker of a cluster. What a worker alone has is lost with it; Dask then gives up whatever
    was made of it, and here that is made again."""

    def __init__(self, client: Client, data: Any) -> None:
        self._client, self._data = client, data
        self._sent: Any = None

    def compute(self, submit: Callable[[Any], Sequence[Any]]) -> list[Any]:
        """The results of the futures that ``submit`` makes when it is given the data, in their order."""
        from distributed.client import FutureCancelledError

        for left in reversed(range(_ALLOWED_FAILURES + 1)):
            if self._sent is None:
                self._sent = self._client.scatter(self._data, broadcast=True)
            try:
                return list(self._client.gather(list(submit(self._sent))))
            except FutureCancelledError:
                self._sent = None
                if not left:
                    raise
        raise AssertionError("unreachable")


def _fit_in_worker(scorer: Scorer, features: pd.DataFrame, labels: Floats, threads: int) -> Scorer:
    import joblib
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with joblib.parallel_config(backend="dask"), threadpool_limits(limits=threads):
        return scorer.fit_features(features, labels)


def introduce_pipelines(client: Client) -> None:
    """Let every worker, also one that comes later, know the declared pipelines, whose own classes it may be sent."""
    from distributed import WorkerPlugin

    class KnowPipelines(WorkerPlugin):  # type: ignore[misc]
        name = "tollgate-pipelines"

        def setup(self, worker: Any) -> None:
            from include.declaration.loader import load_pipelines
            from include.settings import load_settings

            load_pipelines(load_settings())

    client.register_plugin(KnowPipelines())


def _read_cluster_cpu(client: Client) -> float:
    """Seconds of processor time that the cluster's workers have spent so far."""
    return float(sum(client.run(time.process_time).values()))


@contextmanager
def open_cluster(rung: Rung, cores: int) -> Iterator[Client]:
    """A client of the rung's cluster, which ends with the block when it is embedded; ``cores`` as in choose_engine.

    Raises ClusterUnavailable.
    """
    import dask
    from distributed import Client, LocalCluster

    workers = rung.workers or cores
    memory = f"{rung.memory_mb / workers:.0f}MB" if rung.memory_mb else 0
    # Nothing to look at is served: the embedded cluster lives for one fit.
    settings: dict[str, Any] = {"distributed.scheduler.allowed-failures": _ALLOWED_FAILURES}
    with dask.config.set(settings):
        if rung.address:
            with _connect(rung.address) as client:
                yield client
            return
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                memory_limit=memory,
                dashboard_address=None,
                host="127.0.0.1",
                silence_logs=40,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


@contextmanager
def _connect(address: str) -> Iterator[Client]:
    from distributed import Client

    def refuse(problem: str) -> TransientError:
        return ClusterUnavailable(
            f"The Dask cluster at {address} {problem}.",
            next_step="Start its scheduler and at least one worker; the fit is tried again.",
            address=address,
        )

    try:
        client = Client(address, timeout=_PATIENCE_SECONDS)
    except (OSError, TimeoutError) as error:
        raise refuse("did not answer") from error
    with client:
        try:
            client.wait_for_workers(1, timeout=_PATIENCE_SECONDS)
        except TimeoutError as error:
            raise refuse("has no workers") from error
        yield client
