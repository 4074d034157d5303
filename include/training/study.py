"""What a search tries next. Optuna chooses; nothing of it leaves this module, and none of its state is stored.

A search is replayed instead: asked in the same batches and told the same results in the same order, it proposes the
same configurations. Optuna's own storages keep the trials and not the state of the random numbers, so that a search
that went on from one would go another way than one that was never killed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from include.declaration.search import Choices, FloatRange, IntRange, Search

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import Trial

# Optuna's own default; a search of fewer trials than twice that would learn nothing from them.
_MOST_RANDOM_FIRST = 10


class Study:
    """The configurations of one search, in batches: ``ask`` for some, ``tell`` what they came to, in that order."""

    def __init__(self, search: Search, seed: int, lower_is_better: bool, starts: Sequence[Mapping[str, Any]]) -> None:
        """``starts`` come first, each for those of its parameters that are in the space."""
        import optuna

        # A line for each trial is logged by whoever makes it.
        logging.getLogger("optuna").setLevel(logging.WARNING)
        if search.method == "random":
            sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
        else:
            first = min(_MOST_RANDOM_FIRST, max(1, search.trials // 2))
            sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=first)
        self._study = optuna.create_study(direction="minimize" if lower_is_better else "maximize", sampler=sampler)
        self._space = {name: _to_distribution(where) for name, where in search.space.items()}
        self._asked: list[Trial] = []
        for start in starts:
            self._study.enqueue_trial(dict(start))

    def ask(self, count: int) -> list[dict[str, Any]]:
        """The next ``count`` configurations."""
        self._asked = [self._study.ask(self._space) for _ in range(count)]
        return [dict(trial.params) for trial in self._asked]

    def tell(self, values: Sequence[float | None]) -> None:
        """What those came to, in the order in which they were given; None for one that failed."""
        from optuna.trial import TrialState

        for trial, value in zip(self._asked, values, strict=True):
            self._study.tell(trial, value, state=TrialState.FAIL if value is None else TrialState.COMPLETE)


def _to_distribution(where: FloatRange | IntRange | Choices) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(where, FloatRange):
        return FloatDistribution(where.low, where.high, log=where.log)
    if isinstance(where, IntRange):
        return IntDistribution(where.low, where.high, log=where.log, step=where.step)
    return CategoricalDistribution(where.values)
