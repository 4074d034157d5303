"""The commands behind the Makefile: ``python -m config run|start|stop|status|logs|refresh|rollback|manifests|…``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from config.credentials import load_credentials
from config.environment import Site, load_site
from config.lifecycle import start_system, stop_system
from include.errors import SettingsError, TollgateError

Command = Callable[[Site, argparse.Namespace], int]


def say(line: str) -> None:
    """One line for the person at the screen, at once."""
    print(line, flush=True)


def _run(site: Site, options: argparse.Namespace) -> int:
    from config.run import run

    return run(site, options.months)


def _start(site: Site, options: argparse.Namespace) -> int:
    from config.status import describe_addresses

    credentials = start_system(site, say)
    say(describe_addresses(site, credentials.password))
    return 0


def _stop(site: Site, options: argparse.Namespace) -> int:
    say("Stopped; no process is left." if stop_system(site, say) else "Nothing was running.")
    return 0


def _status(site: Site, options: argparse.Namespace) -> int:
    from config.status import describe_addresses, describe_system

    say(describe_system(site))
    if (site.settings.home / "secrets").is_dir():
        say(f"\n{describe_addresses(site, load_credentials(site.settings.home).password)}")
    return 0


def _logs(site: Site, options: argparse.Namespace) -> int:
    logs = sorted(site.logs_folder.glob(f"{options.program or '*'}.log"))
    if not logs:
        known = ", ".join(path.stem for path in sorted(site.logs_folder.glob("*.log"))) or "none yet"
        raise SettingsError(
            f"There is no log of {options.program or 'any program'}.",
            next_step=f"Logs: {known}.",
            setting="PROGRAM",
            value=options.program,
        )
    # Nothing is left to do here: tail answers Ctrl-C itself.
    os.execvp("tail", ["tail", "-n", "20", "-F", *map(str, logs)])  # noqa: S606 - no shell is the purpose


def _refresh(site: Site, options: argparse.Namespace) -> int:
    from config.landing import land_file
    from include.declaration.loader import get_pipeline

    pipeline = get_pipeline(site.settings, options.pipeline)
    target = land_file(site.settings, pipeline, options.partition, Path(options.file))
    dag = f"{site.settings.airflow_public_url}/dags/{pipeline.name}.data_refresh"
    say(f"Landed {target}.\nAirflow takes it up by itself: {dag}\nThe verdict: make status")
    return 0


def _roll_back(site: Site, options: argparse.Namespace) -> int:
    from config.rollback import roll_back

    say(roll_back(site, options.pipeline, options.reason, options.version))
    return 0


def _write_manifests(site: Site, options: argparse.Namespace) -> int:
    from config.manifests import write_manifests

    say(write_manifests(site, Path(options.folder), options.pipeline, options.version))
    return 0


def _check_rules(site: Site, options: argparse.Namespace) -> int:
    from include.gates.check import report_problems

    return report_problems(site.settings, sys.stdout)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m config", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start and play the story")
    run.add_argument("--months", type=int, choices=range(13), metavar="0-12")
    run.set_defaults(command=_run)
    commands.add_parser("start", help="start only").set_defaults(command=_start)
    commands.add_parser("stop", help="stop everything").set_defaults(command=_stop)
    commands.add_parser("status", help="what is served, since when and why").set_defaults(command=_status)
    logs = commands.add_parser("logs", help="follow the logs")
    logs.add_argument("program", nargs="?")
    logs.set_defaults(command=_logs)
    refresh = commands.add_parser("refresh", help="land a file")
    for name in ("pipeline", "partition", "file"):
        refresh.add_argument(name)
    refresh.set_defaults(command=_refresh)
    rollback = commands.add_parser("rollback", help="serve an earlier version again")
    rollback.add_argument("pipeline")
    rollback.add_argument("--reason", default="")
    rollback.add_argument("--version", default="")
    rollback.set_defaults(command=_roll_back)
    manifests = commands.add_parser("manifests", help="write the InferenceServices of KServe")
    manifests.add_argument("--folder", default="manifests")
    manifests.add_argument("--pipeline", default="")
    manifests.add_argument("--version", default="")
    manifests.set_defaults(command=_write_manifests)
    commands.add_parser("rules", help="check every rule of every suite").set_defaults(command=_check_rules)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it worked, 1 with a sentence on standard error when it did not."""
    options = _parse(arguments)
    command: Command = options.command
    try:
        return command(load_site(), options)
    except TollgateError as error:
        print(f"\n{error.message}\n{error.next_step}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted; what was started keeps running (make stop ends it).", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
