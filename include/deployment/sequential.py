"""Two tests that may be looked at all the time: does a candidate fail too often, and do its predictions lie elsewhere?

Each is an e-process: a product of bets against "this candidate is as good as asked for" which, where that is true, is
expected never to grow. By Ville's inequality it ever reaches 1/α with a chance of at most α, however often and whenever
one looks (Ramdas, Grünwald, Vovk and Shafer, "Game-theoretic statistics and safe anytime-valid inference", 2023).

*Failures* are bet on with the likelihood ratio of Wald's sequential test (1945): a rate of five times the allowed one
against the allowed one. *Predictions* are compared on the same requests: the differences lie between −1 and 1, and the
bets are those of the empirical-Bernstein bound (Howard, Ramdas, McAuliffe and Sekhon, "Time-uniform, nonparametric,
nonasymptotic confidence sequences", 2021, theorem 4), mixed over several sizes and made on either side. They need no
distribution and no large numbers: only that at each request the expected difference is within the allowed one.

A long good record would outweigh a candidate that turns bad. So at each of a series of moments a new bet begins, and
the process is their mixture with weights 1/(j(j+1)): still an e-process, and one that notices a change late too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_TIMES_ALLOWED = 5.0
# Bets from bold to careful; the best one depends on how far off and how noisy the differences are.
_BETS = (0.95, 0.8, 0.6, 0.4, 0.2, 0.1, 0.05, 0.02)


@dataclass(frozen=True)
class Evidence:
    """Sums over requests, of which only differences matter. ``asked`` counts those with a verdict, ``failed`` those of
    them that failed; ``pairs`` those that both versions scored, ``difference`` the sum of the candidate's mean
    prediction minus the champion's, and ``spread`` that of its squared distances from what the ones before let
    expect."""

    asked: int = 0
    failed: int = 0
    pairs: int = 0
    difference: float = 0.0
    spread: float = 0.0

    def __sub__(self, other: Evidence) -> Evidence:
        return Evidence(
            self.asked - other.asked,
            self.failed - other.failed,
            self.pairs - other.pairs,
            self.difference - other.difference,
            self.spread - other.spread,
        )

    def __add__(self, other: Evidence) -> Evidence:
        return Evidence(
            self.asked + other.asked,
            self.failed + other.failed,
            self.pairs + other.pairs,
            self.difference + other.difference,
            self.spread + other.spread,
        )


def bet_on_failures(evidence: Evidence, allowed: float) -> float:
    """Logarithm of the bet that more than ``allowed`` of the requests fail."""
    worse = min(_TIMES_ALLOWED * allowed, (1 + allowed) / 2)
    good = evidence.asked - evidence.failed
    return evidence.failed * math.log(worse / allowed) + good * math.log((1 - worse) / (1 - allowed))


def bet_on_shift(evidence: Evidence, allowed: float) -> float:
    """Logarithm of the bet that the mean difference is above ``allowed``."""
    # To the unit interval: a difference d becomes (d + 1) / 2.
    excess = (evidence.difference - allowed * evidence.pairs) / 2
    spread = evidence.spread / 4
    bets = [size * excess + (math.log1p(-size) + size) * spread for size in _BETS]
    return _log_sum(bets) - math.log(len(_BETS))


def mirror(evidence: Evidence) -> Evidence:
    """The same with the two versions exchanged: for a bet on the other side."""
    return Evidence(evidence.asked, evidence.failed, evidence.pairs, -evidence.difference, evidence.spread)


def mix_starts(evidence: Evidence, starts: Sequence[Evidence], bet: Callable[[Evidence], float]) -> float:
    """Logarithm of the mixture of ``bet`` begun at each of ``starts``, which are what ``evidence`` was then."""
    weighted = [bet(evidence - start) - math.log(j * (j + 1)) for j, start in enumerate(starts, start=1)]
    # What is kept for bets that have not begun is worth what it was.
    return _log_sum([*weighted, -math.log(len(starts) + 1)])


def find_strongest(evidence: Evidence, starts: Sequence[Evidence], bet: Callable[[Evidence], float]) -> Evidence:
    """The evidence since that one of ``starts`` whose bet has grown most: since when something is wrong, roughly."""
    return max((evidence - start for start in starts), key=bet)


def _log_sum(logarithms: Sequence[float]) -> float:
    largest = max(logarithms)
    return largest + math.log(math.fsum(math.exp(each - largest) for each in logarithms))
