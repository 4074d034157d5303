"""The flights' functions, and candidates whose answers are no probabilities.

A declaration names all its functions relative to one package: what is not here is the flights' own.
"""

from __future__ import annotations

from include.pipelines import flight_delays

__path__ = [*__path__, *flight_delays.__path__]
