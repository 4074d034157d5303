"""A model whose every answer is NaN (S7): no candidate has a figure, so one is judged all the same, and refused."""

from __future__ import annotations

from tests.scenarios.variants import declare_odd, declare_variant

PIPELINE = declare_odd(declare_variant("not_a_number", 9), "build_undefined")
