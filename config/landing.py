"""Landing a file by hand: checked, copied, marked as done and renamed into place, so that it is seen whole at once."""

from __future__ import annotations

import shutil
from pathlib import Path

from include.data.names import check_partition, landing_folder, split_file_name
from include.declaration import Pipeline
from include.errors import RefreshUnreadable
from include.settings import Settings


def land_file(settings: Settings, pipeline: Pipeline, partition: str, source: Path) -> Path:
    """Copy ``source`` into the landing folder as the refresh of ``partition`` and return where it lies.

    Raises PartitionNameError for a name that does not fit, RefreshUnreadable when there is no such file or its
    extension is not a declared format.
    """
    check_partition(pipeline, partition)
    if not source.is_file():
        raise RefreshUnreadable(
            f"There is no file {source}.",
            next_step="Name an existing file: make refresh PIPELINE=… PARTITION=… FILE=path/to/file.parquet",
            path=str(source),
            format="",
            reason="missing",
        )
    kind = split_file_name(pipeline, source.name)[1]
    if kind is None:
        raise RefreshUnreadable(
            f"{source.name} is not named as one of the formats of {pipeline.name}.",
            next_step=f"Give a file whose name ends in .{', .'.join(pipeline.data.formats)}.",
            path=str(source),
            format=source.suffix,
            reason="extension",
        )
    folder = landing_folder(settings, pipeline)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{partition}.{kind}"
    part = target.with_name(f"{target.name}.part")
    shutil.copyfile(source, part)
    # A rename can only be told from a file being written by who saw the part; nobody may have, in so short a time.
    target.with_name(f"{target.name}.done").touch()
    part.replace(target)
    return target
