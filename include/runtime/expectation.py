"""What is expected of a run, in plain values: light enough for whoever only reads it."""

from __future__ import annotations

from dataclasses import dataclass

# Of the outcomes, so many should lie in the interval.
COVERAGE = 0.9
# Fewer runs give no curve, only a proportion (fewer than the other may too, if unlike); fewer than the other no alarm.
ENOUGH_RUNS = 3
ENOUGH_FOR_ALARM = 5


@dataclass(frozen=True)
class Point:
    """One run: how many rows it had and what it took."""

    rows: int
    value: float


@dataclass(frozen=True)
class Forecast:
    """A figure expected at so many rows, from ``runs`` runs, and the interval in which nine of ten outcomes should lie.

    ``quantity`` ends with its unit (cpu_seconds, wall_seconds, peak_memory_mb). From ``alarm`` on an outcome is called
    slower than the rows explain; infinite where too little is known. ``shape`` is how the figure grows: linear
    (a + b·n), linearithmic (a + b·n·log n), power (a·n^b) or, of few or very unlike runs, proportional. ``source`` is
    history or, of timed fits on samples, samples.
    """

    quantity: str
    rows: int
    value: float
    low: float
    high: float
    alarm: float
    shape: str
    runs: int
    source: str = "history"

    @property
    def trusted(self) -> bool:
        """Whether there were runs enough for a curve."""
        return self.runs >= ENOUGH_RUNS

    def describe(self) -> str:
        """Such as "42.0 s (35.1 to 50.3), linear in 12 runs"."""
        unit = "MB" if self.quantity.endswith("_mb") else "CPU s" if "cpu" in self.quantity else "s"
        what = {"history": "run", "samples": "sample"}[self.source] + ("s" if self.runs != 1 else "")
        return f"{self.value:.1f} {unit} ({self.low:.1f} to {self.high:.1f}), {self.shape} in {self.runs} {what}"
