"""The walk through trees, compiled once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from include.scoring.compiled.native import compile_walk


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_walk(tmp_path_factory.mktemp("native"))
