"""What one model version's requests cost a worker: choosing, encoding, and one copy into a segment."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from include.captured import OWN_COLUMNS
from include.rollout import PROBE_HEADER
from include.serving.capture.segment import FRAME_BYTES, Segment, SegmentHead, frame_record
from include.serving.counters import CAPTURED, CAPTURED_IN_ALL, NOT_CAPTURED, Counters
from include.serving.model import ServedModel

Row = tuple[Any, ...]
_PROBE = PROBE_HEADER.encode()
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class CaptureSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The declaration's DataCapture, as it travels with the model."""

    enable_capture: bool
    initial_sampling_percentage: float
    rotate_mb: float
    rotate_seconds: float
    max_mb: float


class CaptureOff(Exception):
    """Nothing of this version is captured, and why."""


def read_capture(metadata: Mapping[str, Any]) -> CaptureSettings:
    """What a model was registered with. Raises CaptureOff."""
    if metadata.get("data_capture") is None:
        raise CaptureOff("this version was registered without data_capture")
    try:
        settings = msgspec.convert(metadata["data_capture"], CaptureSettings)
    except msgspec.ValidationError as error:
        raise CaptureOff(f"its data_capture cannot be read: {error}") from error
    if not settings.enable_capture or settings.initial_sampling_percentage <= 0:
        raise CaptureOff("the declaration asks for none")
    return settings


class Recorder:
    """Keeps the requests of one version. ``append`` is called by one thread; the keeper, in another, gives it segments
    and takes them away. ``spare`` is the next one, made before it is needed: a request never waits for the disk."""

    def __init__(self, model: ServedModel, settings: CaptureSettings, counters: Counters, wake: Callable[[], None]):
        self.settings = settings
        self.retired = False
        self.spare: Segment | None = None
        columns = model.schema.columns
        taken = sorted({column.name for column in columns if not column.private} & set(OWN_COLUMNS))
        if taken:
            raise CaptureOff(f"the captured table needs the name of its column {taken[0]} for itself")
        self._places = [place for place, column in enumerate(columns) if not column.private]
        self._whole = len(self._places) == len(columns)
        kept = tuple((columns[place].name, columns[place].kind) for place in self._places)
        self._head = SegmentHead(model.version, model.scoring_path, kept)
        self._share = settings.initial_sampling_percentage / 100
        self._segment: Segment | None = None
        self._full: list[Segment] = []
        self._lock = threading.Lock()
        self._wake = wake
        self._counters = counters
        self._cells = counters.cells
        self._captured = counters.find(CAPTURED, model.version)
        self._captured_in_all = counters.find(CAPTURED_IN_ALL)

    def samples(self, headers: Mapping[bytes, bytes]) -> bool:
        """Whether the request with these headers is to be captured."""
        return (self._share >= 1 or random.random() < self._share) and _PROBE not in headers  # noqa: S311

    def encode(self, request_id: bytes, rows: Sequence[Row], predictions: Sequence[float]) -> bytes:
        """The record of a request, without its private columns; empty when it cannot be written. On any thread."""
        if not self._whole:
            rows = [tuple([row[place] for place in self._places]) for row in rows]
        try:
            return frame_record(_encode((time.time(), request_id, rows, predictions)))
        except UnicodeEncodeError:  # half a character, which JSON can spell
            return b""

    def retell(self, record: bytes, predictions: Sequence[float], by: tuple[str, str]) -> bytes:
        """The same request's record when another process answered it: ``by`` its version and scoring path."""
        at, request_id, rows, _ = _decode(memoryview(record)[FRAME_BYTES:])
        return frame_record(_encode((at, request_id, rows, predictions, by)))

    def append(self, record: bytes) -> bool:
        """Keep a record: when this returns True, not even a kill of this process loses it."""
        if not record:
            return self._lose("not encodable")
        with self._lock:
            segment = self._segment
            if (segment is not None and segment.append(record)) or self._append_to_next(record):
                self._cells[self._captured] += 1
                self._cells[self._captured_in_all] += 1
                return True
            return False

    def _append_to_next(self, record: bytes) -> bool:
        if self.spare is None:
            self._wake()
            return self._lose("no segment")
        # Asked of an empty one, so that a record larger than any segment does not use them up.
        following = self.spare
        following.begin(self._head)
        if not following.append(record):
            return self._lose("too large")
        if self._segment is not None:
            self._full.append(self._segment)
        self._segment, self.spare = following, None
        self._wake()
        return True

    def _lose(self, reason: str) -> bool:
        self._counters.count(NOT_CAPTURED, reason)
        return False

    def take_spare(self) -> Segment | None:
        """The spare, when it will not be needed."""
        with self._lock:
            spare, self.spare = self.spare, None
            return spare

    def take_closed(self, now: float) -> list[Segment]:
        """The segments that nothing is added to any more: full, of age, or of a version that is not served now."""
        with self._lock:
            closed, self._full = self._full, []
            current = self._segment
            if current is not None and (self.retired or now - current.begun_at >= self.settings.rotate_seconds):
                closed.append(current)
                self._segment = None
            return closed
