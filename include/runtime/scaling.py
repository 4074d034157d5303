"""How a figure grows with the rows: a robust curve through what was measured, and how far off such a curve was.

Everything is done on logarithms, because times differ by factors: a fit that takes 10 s varies by half a second, one
that takes 10 minutes by half a minute. Three shapes are tried (a + b·n, a + b·n·log n, a·n^b, none of which falls with
the rows) and the one is kept that foretells left-out runs best. Later runs and runs of about as many rows as are asked
for weigh more. An outlier is told by its distance in robust standard deviations and hardly pulls (Cauchy loss).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from include.runtime.expectation import COVERAGE, ENOUGH_FOR_ALARM, ENOUGH_RUNS, Forecast, Point

Floats = NDArray[np.float64]

_STEPS = 12
_TINY = 1e-12
_MAX_POWER = 2.0
_CLEARLY_BETTER = 0.7
# More of the past than this says little about today.
_NEWEST = 40

# An interval of e²⁰ says that nothing is known; a number beyond what floats hold would say no more.
_WIDEST = 20.0
# A fit that is made again takes up to so much more or less on a machine that does other things too (natural log).
_NOISE = 0.05
# Runs lose half their weight after so many later ones, and a good third with each factor e between their rows and
# those asked for.
_HALF_LIFE = 8.0
# What is not known of one or two runs: the noise, and by which power of the rows time grows (between 0.5 and 1.5).
_UNKNOWN_NOISE, _UNKNOWN_POWER = math.log(1.5), 0.5
# From so many robust standard deviations on, and so much above what was foretold, nobody calls it noise.
_ALARM_DEVIATIONS, _ALARM_FACTOR, _ALARM_CERTAINTY = 3.5, 1.3, 0.99


@dataclass(frozen=True)
class _Curve:
    """``first`` + ``second`` · basis(rows) is the figure, or of a power law its natural log."""

    shape: str
    basis: Callable[[Floats], Floats]
    first: float
    second: float

    def predict(self, rows: Floats) -> Floats:
        """The natural log of the figure at so many rows."""
        line = self.first + self.second * self.basis(rows)
        logs: Floats = line if self.shape == "power" else np.log(np.maximum(line, _TINY))
        return logs


_BASES: dict[str, Callable[[Floats], Floats]] = {
    "linear": lambda rows: rows,
    "linearithmic": lambda rows: rows * np.log(rows),
    "power": np.log,
}


def _fit_curve(shape: str, rows: Floats, logs: Floats, weights: Floats) -> _Curve:
    """Robust least squares by reweighting (Holland and Welsch, 1977), each step in closed form.

    Weights are Cauchy's, by which an outlier counts for nothing, with the scale of what is none. What such a search
    finds depends on where it begins: it begins with all runs, and with Siegel's repeated medians, and the better end is
    kept. A sum's errors count relative to its value at the step before, as a gamma model's do.
    """
    basis = _BASES[shape](rows)
    values = logs if shape == "power" else np.exp(logs)
    ends = []
    for start in (
        _solve_line(shape, basis, values, weights / _scale(shape, logs)),
        _start_robustly(shape, basis, values),
    ):
        curve = start
        for _ in range(_STEPS):
            guess = curve.predict(rows)
            errors = logs - guess
            usual = 2 * max(_NOISE, 1.4826 * _weighted_median(np.abs(errors), weights))
            curve = _solve_line(shape, basis, values, weights / (1 + (errors / usual) ** 2) / _scale(shape, guess))
        errors = logs - curve.predict(rows)
        ends.append((float(np.sum(weights * np.log1p((errors / (2 * _NOISE)) ** 2))), curve))
    return min(ends, key=lambda end: end[0])[1]


def _scale(shape: str, guess: Floats) -> Floats:
    """What squared errors are divided by, so that they are relative ones; those of logs are already."""
    divisor: Floats = np.ones_like(guess) if shape == "power" else np.exp(2 * np.maximum(guess, math.log(_TINY)))
    return divisor


def _start_robustly(shape: str, basis: Floats, values: Floats) -> _Curve:
    """The repeated-median line (Siegel, 1982), which half of the runs may be outliers of."""
    across = basis[:, None] - basis[None, :]
    up = values[:, None] - values[None, :]
    different = np.abs(across) > _TINY * np.abs(basis).max()
    slopes = [
        float(np.median(up[i][different[i]] / across[i][different[i]])) for i in range(len(basis)) if different[i].any()
    ]
    if not slopes:
        return _solve_line(shape, basis, values, np.ones_like(basis))
    slope = max(float(np.median(slopes)), 0.0)
    first = float(np.median(values - slope * basis))
    return _Curve(shape, _BASES[shape], first if shape == "power" else max(first, 0.0), slope)


def _solve_line(shape: str, basis: Floats, values: Floats, weights: Floats) -> _Curve:
    """Weighted least squares; what falls with the rows, or would be below nothing without any, is put on its bound."""
    total = float(weights.sum())
    middle, height = float((weights * basis).sum() / total), float((weights * values).sum() / total)
    across = float((weights * (basis - middle) ** 2).sum())
    slope = float((weights * (basis - middle) * (values - height)).sum()) / across if across > 0 else 0.0
    # Where all runs had the same rows nothing tells a slope from a constant: time is taken as proportional to them.
    if across <= _TINY * middle**2 * total:
        slope = 1.0 if shape == "power" else height / middle
    slope = min(max(slope, 0.0), _MAX_POWER) if shape == "power" else max(slope, 0.0)
    first = height - slope * middle
    if shape != "power" and first < 0:
        first, slope = 0.0, float((weights * basis * values).sum() / (weights * basis**2).sum())
    return _Curve(shape, _BASES[shape], first, slope)


def _measure_deviation(errors: Floats) -> float:
    """Robust standard deviation about zero: the larger one of two, as each is too small by chance when runs are few.

    The median absolute error, and the root of the mean square of the errors but the largest fifth; the factors make
    them that of a normal distribution.
    """
    sizes = np.sort(np.abs(errors))
    kept = sizes[: max(1, math.ceil(0.8 * len(sizes)))]
    return float(max(1.4826 * np.median(sizes), 1.52 * math.sqrt(float(np.mean(kept**2)))))


def _weigh(rows: Floats, wanted: float) -> Floats:
    """Weights of runs that are in order, oldest first."""
    age = np.arange(len(rows))[::-1]
    weights: Floats = 0.5 ** (age / _HALF_LIFE) * np.exp(-0.5 * np.abs(np.log(rows / wanted)))
    weights /= weights.max()
    return weights


@dataclass(frozen=True)
class Scaling:
    """What past runs say about any number of rows. ``errors`` are by how much left-out runs were missed (logs);
    ``base`` is the one run of which the curve is a proportion, None where it goes through all of them."""

    curve: _Curve
    rows: Floats
    errors: Floats
    base: Point | None = None

    def at(self, rows: int, quantity: str) -> Forecast:
        """The forecast at so many rows."""
        middle = float(self.curve.predict(np.array([float(rows)]))[0])
        if self.base is not None:
            width, alarm = _measure_ignorance(self.base, rows), math.inf
        else:
            width, alarm = _measure_width(self.errors, self.rows, rows)
        return Forecast(
            quantity=quantity,
            rows=rows,
            value=math.exp(middle),
            low=math.exp(middle - width),
            high=math.exp(middle + width),
            alarm=math.exp(middle + max(alarm, math.log(_ALARM_FACTOR))),
            shape=self.curve.shape,
            runs=len(self.rows),
        )


def learn_scaling(points: Sequence[Point], rows: int) -> Scaling | None:
    """How a figure grows with the rows, with most regard to runs of about ``rows`` rows; None without any usable run.

    ``points`` are in the order in which the runs were made. With fewer than ``ENOUGH_RUNS`` of them the figure is taken
    as proportional to the rows, in an interval that says how little is known. So it is with one or two more when they
    are so unlike that a curve through them would say less than the nearest one alone.
    """
    usable = [point for point in points if point.rows > 0 and point.value > 0 and math.isfinite(point.value)][-_NEWEST:]
    if not usable:
        return None
    count = np.array([float(point.rows) for point in usable])
    logs = np.log([point.value for point in usable])
    if len(usable) < ENOUGH_RUNS:
        return _take_proportion(usable[-1], count)
    curve, errors = _choose_curve(count, logs, _weigh(count, rows))
    if len(usable) < ENOUGH_FOR_ALARM:
        nearest = min(reversed(usable), key=lambda point: abs(math.log(point.rows / rows)))
        if _measure_width(errors, count, rows)[0] > _measure_ignorance(nearest, rows):
            return _take_proportion(nearest, count)
    return Scaling(curve, count, errors)


def _take_proportion(run: Point, count: Floats) -> Scaling:
    """What one run says: a figure proportional to the rows."""
    line = _Curve("proportional", lambda rows: rows, 0.0, run.value / run.rows)
    return Scaling(line, count, np.zeros(len(count)), run)


def _measure_ignorance(run: Point, rows: int) -> float:
    """Half of the interval about a proportion of the one run (natural log)."""
    return _UNKNOWN_NOISE + _UNKNOWN_POWER * abs(math.log(rows / run.rows))


def foretell(points: Sequence[Point], rows: int, quantity: str) -> Forecast | None:
    """The figure at so many ``rows``; None without any usable run."""
    scaling = learn_scaling(points, rows)
    return None if scaling is None else scaling.at(rows, quantity)


def _choose_curve(rows: Floats, logs: Floats, weights: Floats) -> tuple[_Curve, Floats]:
    """The shape whose curves through the other runs miss left-out ones least, and by how much those missed (logs)."""
    left_out = {shape: np.empty(len(rows)) for shape in _BASES}
    for place in range(len(rows)):
        kept = np.arange(len(rows)) != place
        for shape, errors in left_out.items():
            curve = _fit_curve(shape, rows[kept], logs[kept], weights[kept])
            errors[place] = logs[place] - curve.predict(rows[place : place + 1])[0]
    scores = {shape: _weighted_median(np.abs(errors), weights) for shape, errors in left_out.items()}
    best = min(scores, key=lambda shape: scores[shape])
    # A straight line unless another shape is clearly better: the fewer the runs, the easier one is so by chance.
    if scores[best] > _CLEARLY_BETTER * scores["linear"]:
        best = "linear"
    return _fit_curve(best, rows, logs, weights), left_out[best]


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, 0.5 * total[-1])])


def _measure_width(errors: Floats, count: Floats, rows: int) -> tuple[float, float]:
    """Half of the interval, and the distance of the alarm, as logs.

    Student's t stands for how little few runs tell about their own spread; leverage for how far off the rows are.
    """
    deviation = max(_NOISE, _measure_deviation(errors))
    logs = np.log(count)
    across = float(np.sum((logs - logs.mean()) ** 2))
    leverage = (math.log(rows) - float(logs.mean())) ** 2 / across if across > 0 else 0.0
    reach = math.sqrt(1 + 1 / len(count) + min(leverage, 4.0))
    if across == 0 and rows != count[0]:
        # All runs had the same rows: the power by which time grows is not known at all.
        reach += _UNKNOWN_POWER * abs(math.log(rows / count[0])) / deviation
    free = max(len(count) - 2, 1)
    within, beyond = (float(stdtrit(free, share)) for share in (0.5 + COVERAGE / 2, _ALARM_CERTAINTY))
    width, alarm = within * deviation * reach, max(beyond, _ALARM_DEVIATIONS) * deviation * reach
    return min(width, _WIDEST), min(alarm, _WIDEST)
