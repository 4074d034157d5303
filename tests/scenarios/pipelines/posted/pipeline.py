"""The flights whose watcher looks once an hour: what is rewritten in place is taken in when an asset event names it."""

from __future__ import annotations

from tests.scenarios.variants import declare_variant

_VARIANT = declare_variant("posted", 8)
PIPELINE = _VARIANT.model_copy(update={"data": _VARIANT.data.model_copy(update={"poll_seconds": 3600.0})})
