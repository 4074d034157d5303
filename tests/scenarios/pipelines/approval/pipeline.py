"""A person decides, within 25 seconds (S16)."""

from __future__ import annotations

from include.declaration import Approval
from tests.scenarios.variants import declare_variant

_VARIANT = declare_variant("approval", 7)
PIPELINE = _VARIANT.model_copy(
    update={"deployment": _VARIANT.deployment.model_copy(update={"approval": Approval(within="25s")})}
)
