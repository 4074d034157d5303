"""Answers where Airflow's log servers would: "nothing to add".

The API server reads the logs of tasks from their folder, and for a running one also asks the log server of the worker.
Airflow's own log servers listen on every address of the machine, take about 100 MB each and have only the same files
to offer; without any, each look at a running task logs an error. So this one answers, on loopback, with nothing.
"""

from __future__ import annotations

import argparse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from config.loopback import get_hostname


class _Nothing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Every path: 200 and an empty body."""
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: one line for every look at a log helps nobody."""


def main() -> None:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    ThreadingHTTPServer((get_hostname(), parser.parse_args().port), _Nothing).serve_forever()


if __name__ == "__main__":
    main()
