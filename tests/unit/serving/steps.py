"""What several tests of serving ask and start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.served_models import serve

ROW = {"year": 2013, "month": 1, "day": 5, "hour": 9, "carrier": "AA", "distance": 100.0}


def follow(tmp_path: Path) -> Any:
    """The serving process of the toy pipeline, which follows its pointer below ``tmp_path``."""
    return serve(tmp_path / "run", "--pipeline", "parcels", home=tmp_path / "home")
