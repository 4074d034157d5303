"""The features of the flights: a pipeline of its own has its functions beside it."""

from include.pipelines.flight_delays.features import *  # noqa: F403 (whatever is declared)
