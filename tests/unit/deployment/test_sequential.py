"""What judges a candidate keeps its promise under continuous looking, and is quick when something is wrong."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from include.deployment.sequential import (
    Evidence,
    bet_on_failures,
    bet_on_shift,
    find_strongest,
    mirror,
    mix_starts,
)

FALSE_ALARM = 0.05
ENOUGH = math.log(1 / FALSE_ALARM)


def add_outcomes(draw: Callable[[], bool], looks: int) -> Iterator[Evidence]:
    evidence = Evidence()
    for _ in range(looks):
        evidence += Evidence(asked=1, failed=int(draw()))
        yield evidence


def add_differences(draw: Callable[[], float], looks: int) -> Iterator[Evidence]:
    """As a worker counts them."""
    evidence = Evidence()
    for _ in range(looks):
        difference = draw()
        expected = evidence.difference / (evidence.pairs + 1)
        evidence += Evidence(pairs=1, difference=difference, spread=(difference - expected) ** 2)
        yield evidence


def stops_at(stream: Iterator[Evidence], bet: Callable[[Evidence], float], every: int = 50) -> int | None:
    """At which look the bet has grown enough; it begins anew after ``every`` looks."""
    starts = [Evidence()]
    for look, evidence in enumerate(stream, start=1):
        if mix_starts(evidence, starts, bet) >= ENOUGH:
            return look
        if look % every == 0:
            starts.append(evidence)
    return None


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.0, 0.005, 0.01])
def test_a_candidate_that_fails_no_more_than_allowed_is_stopped_no_more_often_than_declared(rate: float) -> None:
    bet = partial(bet_on_failures, allowed=0.01)
    chance = random.Random(1)
    runs = 300
    stopped = sum(
        stops_at(add_outcomes(lambda: chance.random() < rate, 400), bet, every=100) is not None for _ in range(runs)
    )
    # Three standard deviations of a sample of this size.
    assert stopped / runs <= FALSE_ALARM + 3 * math.sqrt(FALSE_ALARM * (1 - FALSE_ALARM) / runs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "draw",
    [
        lambda chance: 0.1,
        lambda chance: chance.gauss(0.1, 0.02),
        lambda chance: float(chance.random() < 0.1),
        lambda chance: 1.0 if chance.random() < 0.55 else -1.0,
        # Rare and large, which a normal approximation underrates for long.
        lambda chance: 1.0 if chance.random() < 0.05 else 0.05,
    ],
)
def test_differences_as_large_as_allowed_are_within_the_declared_chance_too(
    draw: Callable[[random.Random], float],
) -> None:
    bet = partial(bet_on_shift, allowed=0.1)
    chance = random.Random(2)
    runs = 100
    stopped = sum(stops_at(add_differences(lambda: draw(chance), 300), bet, every=100) is not None for _ in range(runs))
    assert stopped / runs <= FALSE_ALARM + 3 * math.sqrt(FALSE_ALARM * (1 - FALSE_ALARM) / runs)


def test_half_of_the_answers_failing_is_noticed_within_few_requests() -> None:
    chance = random.Random(3)
    looks = [
        stops_at(add_outcomes(lambda: chance.random() < 0.5, 200), partial(bet_on_failures, allowed=0.01))
        for _ in range(100)
    ]
    assert all(look is not None and look <= 40 for look in looks)


@pytest.mark.parametrize(("shift", "noise", "most"), [(0.5, 0.05, 40), (0.25, 0.05, 120), (0.15, 0.02, 400)])
@pytest.mark.parametrize("side", [1, -1])
def test_a_shift_is_noticed_on_either_side_and_the_sooner_the_larger(
    shift: float, noise: float, most: int, side: int
) -> None:
    chance = random.Random(4)
    stream = add_differences(lambda: side * chance.gauss(shift, noise), 600)
    bet = partial(bet_on_shift, allowed=0.1)
    look = stops_at(stream if side > 0 else map(mirror, stream), bet)
    assert look is not None
    assert look <= most


def test_a_candidate_that_turns_bad_late_is_noticed_as_soon_as_one_that_was_bad_from_the_start() -> None:
    chance = random.Random(5)
    asked = iter(range(10_000))
    stream = add_outcomes(lambda: next(asked) >= 5000 and chance.random() < 0.5, 6000)
    starts, evidence = [Evidence()], Evidence()
    bet = partial(bet_on_failures, allowed=0.01)
    for look, evidence in enumerate(stream, start=1):
        if mix_starts(evidence, starts, bet) >= ENOUGH:
            break
        if look % 100 == 0:
            starts.append(evidence)
    assert 5000 < look <= 5060
    # Against its good record alone it would take hundreds of failures.
    assert bet(evidence) < -100
    assert find_strongest(evidence, starts, bet).asked <= 160


def test_the_bet_on_failures_is_walds_likelihood_ratio() -> None:
    assert bet_on_failures(Evidence(asked=10, failed=3), 0.01) == pytest.approx(
        3 * math.log(5) + 7 * math.log(0.95 / 0.99)
    )
    assert bet_on_failures(Evidence(asked=2, failed=1), 0.5) == pytest.approx(math.log(0.75 / 0.5) + math.log(0.5))
