"""What endpoints captured: one Parquet table of requests and answers per pipeline, as several files.

``captured/<pipeline>/<time of the first row>-<id>.parquet``; whoever reads them imports pyarrow, pandas or DuckDB. One
row is one row of a request. The columns are those of ``OWN_COLUMNS``, then the request's own, numbers as float64 and
text as string, in the order of the request, without the private ones: those were never written down. A file's columns
are those of the model version that answered, so the files of a pipeline whose request changed differ.

==============  ========================  =====================================================================
captured_at     timestamp[us, UTC]        when it was answered
request_id      string                    the answer's ``x-request-id``: the caller's own, where it sent one
row             int32                     the row's place in its request, from 0
model_version   string                    which version answered
scoring_path    string                    what computed the answer
prediction      double                    the answer, as the customer got it
==============  ========================  =====================================================================
"""

from __future__ import annotations

from pathlib import Path

from include.settings import Settings

# A request's column cannot have one of these names where requests are captured.
OWN_COLUMNS = ("captured_at", "request_id", "row", "model_version", "scoring_path", "prediction")


def locate_captured(settings: Settings, pipeline_name: str) -> Path:
    """The folder of one pipeline's captured requests."""
    return settings.captured_root / pipeline_name


def list_captured(folder: Path) -> list[Path]:
    """The Parquet files of ``folder``, oldest first. Each is complete; the oldest vanish when room is needed."""
    return sorted(folder.glob("*.parquet"))
