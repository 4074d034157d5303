"""The environments beside .venv: made from their lock once, again when it changes, and a clear word when not."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import pytest

from config import side_environments
from config.side_environments import InstallFailed, prepare_python

pytestmark = pytest.mark.slow


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(side_environments, "PROJECT_ROOT", tmp_path)
    return tmp_path


def write_lock(root: Path, *packages: str) -> None:
    """A lock of wheels that lie beside it, so that no package index is needed."""
    for name in packages:
        about = f"{name}-1.dist-info"
        with zipfile.ZipFile(root / f"{name}-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.py", "")
            wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
            wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            wheel.writestr(f"{about}/RECORD", "")
    lock = "".join(f"{root}/{name}-1-py3-none-any.whl\n" for name in packages)
    (root / "requirements-toy.txt").write_text(lock)


def can_import(python: str, name: str) -> bool:
    return subprocess.run([python, "-c", f"import {name}"], check=False, capture_output=True).returncode == 0


def test_it_is_made_from_its_lock_and_again_only_when_that_changes(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lock(root, "toy_one")
    python = prepare_python("toy")
    assert python == str(root / ".venv-toy" / "bin" / "python")
    assert can_import(python, "toy_one")
    assert "requirements-toy.txt" in capsys.readouterr().out
    assert prepare_python("toy") == python
    assert capsys.readouterr().out == ""
    write_lock(root, "toy_two")
    prepare_python("toy")
    assert (can_import(python, "toy_one"), can_import(python, "toy_two")) == (False, True)


def test_a_failed_install_says_what_to_do_and_does_not_count_as_made(root: Path) -> None:
    (root / "requirements-toy.txt").write_text(f"{root}/absent-1-py3-none-any.whl\n")
    for _ in range(2):
        with pytest.raises(InstallFailed, match=r"requirements-toy\.txt could not be installed") as caught:
            prepare_python("toy")
    assert "package index" in caught.value.next_step
    assert caught.value.retryable
    write_lock(root, "toy_one")
    assert can_import(prepare_python("toy"), "toy_one")
