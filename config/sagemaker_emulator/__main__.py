"""``python -m config.sagemaker_emulator``: serve on TOLLGATE_EMULATOR_PORT until told to stop.

Ends with 78 and one message when it cannot start.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from types import FrameType

from include.errors import TollgateError

_CANNOT_START = 78  # EX_CONFIG of sysexits.h


def main() -> int:
    """Run the emulator; returns the exit code."""
    # Before botocore is imported: no call of this process is meant for AWS itself.
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "emulator")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "emulator")
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    try:
        return _run()
    except TollgateError as error:
        sys.stderr.write(f"{error}\n")
        return _CANNOT_START


def _run() -> int:
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    from config.ports import check_port
    from config.sagemaker_emulator.alarms import AlarmEvaluator
    from config.sagemaker_emulator.clock import Clock
    from config.sagemaker_emulator.faults import Faults
    from config.sagemaker_emulator.gateway import Gateway
    from config.sagemaker_emulator.images import read_images
    from config.sagemaker_emulator.keeper import Keeper
    from config.sagemaker_emulator.log_streams import LogShipper
    from config.sagemaker_emulator.metrics import MetricRecorder
    from config.sagemaker_emulator.processes import Launcher
    from config.sagemaker_emulator.services import Services
    from config.sagemaker_emulator.settings import load_emulator_settings

    settings = load_emulator_settings(os.environ)
    check_port(settings.port, "TOLLGATE_EMULATOR_PORT", "the SageMaker emulator")
    # Nothing outlives an emulator: its AWS is in memory.
    shutil.rmtree(settings.home / "containers", ignore_errors=True)
    settings.home.mkdir(parents=True, exist_ok=True)
    clock = Clock(settings.time_scale)
    logs, metrics = LogShipper(clock), MetricRecorder(clock)
    launcher = Launcher(settings.grace)
    services = Services(settings, clock, read_images(settings.images), launcher, logs, metrics, Faults())
    alarms = AlarmEvaluator(clock)
    gateway = Gateway(services, alarms)
    keeper = Keeper(clock, gateway.regions)

    class QuietHandler(MotoRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nothing: a line for each invocation would only fill the disk."""

    server = make_server("127.0.0.1", settings.port, gateway, threaded=True, request_handler=QuietHandler)

    def stop(_number: int, _frame: FrameType | None) -> None:
        # In a thread: shutdown() waits for the loop that this handler interrupted.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    for work in (logs.run, metrics.run, alarms.run, keeper.run):
        threading.Thread(target=work, daemon=True).start()
    print(f"The SageMaker emulator listens on {settings.url}", flush=True)
    server.serve_forever()
    clock.stop()
    keeper.flush()
    launcher.stop_all()
    return 0


if __name__ == "__main__":
    sys.exit(main())
