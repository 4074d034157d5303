"""The memory limit of a candidate: an allocation beyond it fails, the process lives, the machine does not notice."""

from __future__ import annotations

import subprocess
import sys

from include.settings import PROJECT_ROOT

_EAT = """
from include.serving.memory import limit_memory
limit_memory(300)
limit_memory(600)
eaten = []
try:
    while len(eaten) < 100:
        eaten.append(bytearray(b"x") * 10_000_000)
except MemoryError:
    # Not getrusage: its peak begins with that of the process that started this one.
    (peak,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
    print(len(eaten), int(peak) // 1024)
    print(open("/proc/self/oom_score_adj").read())
"""


def test_a_memory_eater_is_stopped_at_its_limit_which_nothing_raises_again() -> None:
    done = subprocess.run([sys.executable, "-c", _EAT], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    pieces, peak_mb, first_to_go = (int(word) for word in done.stdout.split())
    assert 20 <= pieces <= 30
    assert peak_mb < 330
    assert first_to_go == 1000
