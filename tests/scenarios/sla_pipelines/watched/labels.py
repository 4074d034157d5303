"""The labels of the flights: a pipeline of its own has its functions beside it."""

from include.pipelines.flight_delays.labels import *  # noqa: F403 (whatever is declared)
