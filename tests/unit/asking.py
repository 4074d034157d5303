"""Threads that ask all the time, from beginning to end of a block."""

from __future__ import annotations

import threading
from typing import Self


class AskingThreads:
    """``count`` threads, each in ``_call`` with its number until ``_stop`` is set."""

    def __init__(self, count: int) -> None:
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, number: int) -> None:
        raise NotImplementedError
