"""A model whose every answer is NaN (S7): not even the choice of the best candidate can be made."""

from __future__ import annotations

from tests.scenarios.variants import declare_odd, declare_variant

PIPELINE = declare_odd(declare_variant("not_a_number", 9), "build_undefined")
