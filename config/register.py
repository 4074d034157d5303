"""``python -m config.register``: tells this environment of what Tollgate adds to MLflow (its deployments plugin).

Tollgate is run from its folder and not built as a package. Plugins of MLflow are found by the entry points of installed
distributions, so this leaves what an editable install would: a distribution's metadata, and a path to the folder.
"""

from __future__ import annotations

import sys
import sysconfig
import tomllib
from pathlib import Path

from include.settings import PROJECT_ROOT

ENTRY_POINTS = "[mlflow.deployments]\ntollgate = config.mlflow_deployments\n"


def register(site_packages: Path) -> Path:
    """Write the distribution's metadata into ``site_packages``; a repeat changes nothing. Returns its folder."""
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text())["project"]
    name = f"{project['name']}-{project['version']}.dist-info"
    for old in site_packages.glob(f"{project['name']}-*.dist-info"):
        if old.name != name:
            for path in old.iterdir():
                path.unlink()
            old.rmdir()
    path_file = f"{project['name']}.pth"
    files = {
        path_file: f"{PROJECT_ROOT}\n",
        f"{name}/METADATA": f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n",
        f"{name}/INSTALLER": "tollgate\n",
        f"{name}/entry_points.txt": ENTRY_POINTS,
    }
    # By RECORD an installer can take it away again, as `pip sync` does.
    files[f"{name}/RECORD"] = "".join(f"{each},,\n" for each in [*files, f"{name}/RECORD"])
    (site_packages / name).mkdir(parents=True, exist_ok=True)
    for each, content in files.items():
        target = site_packages / each
        if not target.exists() or target.read_text() != content:
            target.write_text(content)
    return site_packages / name


if __name__ == "__main__":
    register(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(sysconfig.get_path("purelib")))
