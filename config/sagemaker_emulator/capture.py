"""Data capture: a sample of requests and answers as SageMaker's JSON lines on S3.

The objects are ``<destination>/<endpoint>/<variant>/<year>/<month>/<day>/<hour>/<minute>-<second>-<ms>-<uuid>.jsonl``,
in UTC.
"""

from __future__ import annotations

import base64
import json
import random
import threading
import uuid
from datetime import datetime
from typing import Any

from config.sagemaker_emulator.clock import read_now
from config.sagemaker_emulator.refusals import Refusal
from config.sagemaker_emulator.storage import Storage

_MOST_LINES = 200


def _encode(content_type: str, body: bytes, config: dict[str, Any]) -> dict[str, str]:
    """``data`` and ``encoding``: text only where the configuration names the content type, else BASE64."""
    plain = content_type.partition(";")[0].strip().lower()
    headers = config.get("CaptureContentTypeHeader") or {}
    for encoding, name in (("CSV", "CsvContentTypes"), ("JSON", "JsonContentTypes")):
        if plain in [each.lower() for each in headers.get(name, [])]:
            return {"data": body.decode(errors="replace"), "encoding": encoding}
    return {"data": base64.b64encode(body).decode(), "encoding": "BASE64"}


def build_line(
    config: dict[str, Any],
    moment: datetime,
    asked: tuple[str, bytes],
    answered: tuple[str, bytes],
    inference_id: str | None,
) -> dict[str, Any]:
    """One captured event; ``asked`` and ``answered`` are content type and body."""
    modes = {option["CaptureMode"] for option in config["CaptureOptions"]}
    if "InputAndOutput" in modes:
        modes = {"Input", "Output"}
    data = {}
    for mode, name, (content_type, body) in (("Input", "endpointInput", asked), ("Output", "endpointOutput", answered)):
        if mode in modes:
            data[name] = {
                "observedContentType": content_type,
                "mode": mode.upper(),
                **_encode(content_type, body, config),
            }
    event: dict[str, Any] = {"eventId": str(uuid.uuid4())}
    if inference_id:
        event["inferenceId"] = inference_id
    event["inferenceTime"] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"captureData": data, "eventMetadata": event, "eventVersion": "0"}


class CaptureWriter:
    """Collects one variant's lines and writes them as objects."""

    def __init__(self, account: str, endpoint: str, variant: str, config: dict[str, Any]) -> None:
        self._storage = Storage(account)
        self._place = f"{config['DestinationS3Uri'].rstrip('/')}/{endpoint}/{variant}"
        self._config = config
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def capture(
        self, moment: datetime, asked: tuple[str, bytes], answered: tuple[str, bytes], inference_id: str | None
    ) -> None:
        """Take the event, or not: as the sampling percentage has it."""
        if random.random() * 100 >= self._config["InitialSamplingPercentage"]:  # noqa: S311 - no secret
            return
        line = json.dumps(build_line(self._config, moment, asked, answered, inference_id), separators=(",", ":"))
        with self._lock:
            self._lines.append(line)
            is_full = len(self._lines) >= _MOST_LINES
        if is_full:
            self.flush()

    def flush(self) -> None:
        """Write what was collected as one object; a bucket that is gone loses it, as on AWS."""
        with self._lock:
            lines, self._lines = self._lines, []
        if not lines:
            return
        now = read_now()
        name = f"{now:%Y/%m/%d/%H/%M-%S}-{now.microsecond // 1000:03d}-{uuid.uuid4()}.jsonl"
        try:
            self._storage.write(f"{self._place}/{name}", ("\n".join(lines) + "\n").encode())
        except Refusal as refusal:
            print(f"capture: {refusal.message}", flush=True)
