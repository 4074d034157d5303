"""The part of capturing that may wait for a disk: a thread that makes and closes segments and starts the converter.

Whatever fails here stops capturing, and is said; it never stops answering.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from include.serving.capture.folder import MEBIBYTE, NoRoom, allocate_segment, list_segments
from include.serving.capture.recorder import CaptureOff, CaptureSettings, Recorder, read_capture
from include.serving.counters import CAPTURED_IN_ALL, NOT_CAPTURED, Counters
from include.serving.log import log_event
from include.serving.model import ServedModel
from include.serving.totals import read_count, sum_counts
from include.settings import PROJECT_ROOT

_LOOK_SECONDS = 0.5
# After a failure: a disk that was full may have room again, a converter that failed may have been starved.
_RETRY_SECONDS = 5.0


class Capture:
    """What one worker captures, below ``folder``. Whoever swaps models in calls ``start`` and, once the swap is done,
    ``keep_only``; neither is called on the event loop."""

    def __init__(self, folder: Path, counters: Counters) -> None:
        self._folder = folder
        self._counters = counters
        self._recorders: tuple[Recorder, ...] = ()
        self._lock = threading.Lock()
        self._settings: CaptureSettings | None = None
        self._off = "nothing is served"
        self._problem = ""
        self._retry_at = 0.0
        self._wake = threading.Event()
        self._converter: subprocess.Popen[bytes] | None = None
        self._convert = True  # what a killed worker left
        self._convert_at = 0.0
        self._thread: threading.Thread | None = None

    def start(self, model: ServedModel) -> Recorder | None:
        """Be ready for the requests of ``model``; None when they are not to be captured. Raises nothing."""
        try:
            self._settings = read_capture(model.metadata)
            recorder = Recorder(model, self._settings, self._counters, self._wake.set)
        except CaptureOff as error:
            self._settings, self._off = None, str(error)
            return None
        self._off = ""
        self._supply(recorder)
        with self._lock:
            self._recorders = (*self._recorders, recorder)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="capture", daemon=True)
            self._thread.start()
        return recorder

    def keep_only(self, recorder: Recorder | None) -> None:
        """Retire the others: the keeper takes their segments at one of its next looks."""
        for each in self._recorders:
            each.retired = each is not recorder
        if recorder is None:
            self._off = self._off or "nothing is served"

    def describe(self) -> dict[str, Any]:
        """For GET /version. The counts are those of all workers."""
        settings = self._settings
        state = "off" if settings is None or self._off else "stopped" if self._problem else "on"
        return {
            "state": state,
            "reason": self._off or self._problem,
            "sampling_percentage": settings.initial_sampling_percentage if settings is not None else 0.0,
            "captured": read_count(self._counters.board, CAPTURED_IN_ALL),
            "not_captured": sum_counts(self._counters.board, NOT_CAPTURED),
        }

    def _run(self) -> None:
        while True:
            self._wake.wait(_LOOK_SECONDS)
            self._wake.clear()
            try:
                self._tend()
            except Exception as error:  # noqa: BLE001 (a dead keeper would stop capturing for good, and say nothing)
                self._fail(f"{type(error).__name__}: {error}")

    def _tend(self) -> None:
        for recorder in self._recorders:
            retired = recorder.retired
            for segment in recorder.take_closed(time.monotonic()):
                segment.close()
                self._convert = True
            if retired:
                spare = recorder.take_spare()
                if spare is not None:
                    spare.discard()
                with self._lock:
                    self._recorders = tuple(each for each in self._recorders if each is not recorder)
            elif recorder.spare is None:
                self._supply(recorder)
        self._tend_converter()

    def _supply(self, recorder: Recorder) -> None:
        if time.monotonic() < self._retry_at:
            return
        settings = recorder.settings
        try:
            size, most = int(settings.rotate_mb * MEBIBYTE), int(settings.max_mb * MEBIBYTE)
            recorder.spare = allocate_segment(self._folder, size, most)
            self._problem = ""
        except (OSError, NoRoom) as error:
            self._fail(str(error))

    def _fail(self, problem: str) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        if problem != self._problem:
            self._problem = problem
            log_event("capture_stopped", folder=str(self._folder), reason=problem)

    def _tend_converter(self) -> None:
        if self._converter is not None:
            code = self._converter.poll()
            if code is None:
                return
            self._converter = None
            if code:
                log_event("capture_not_converted", folder=str(self._folder), exit_code=code)
                self._convert, self._convert_at = True, time.monotonic() + _RETRY_SECONDS
        if not self._convert or self._settings is None or time.monotonic() < self._convert_at:
            return
        self._convert = False
        if list_segments(self._folder):
            self._converter = self._start_converter(self._settings)

    def _start_converter(self, settings: CaptureSettings) -> subprocess.Popen[bytes]:
        module = "include.serving.capture.convert"
        command = [sys.executable, "-m", module, str(self._folder), "--max-mb", str(settings.max_mb)]
        # It may be killed at any time: nothing is left of an endpoint that ends, and the next one goes on with it.
        command += ["--parent", str(os.getpid())]
        return subprocess.Popen(command, cwd=PROJECT_ROOT, stdin=subprocess.DEVNULL)
