"""A model container in a few lines: answers with the content of model/answer.txt, or behaves as TOY says.

TOY: "good" (the default), "failing" (every second answer is 500), "crashing" (ends before it listens), "mortal" (ends
at a body of b"die"), "refusing" (400 to everything), "stubborn" (ignores SIGTERM).
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BEHAVIOUR = os.environ.get("TOY", "good")
MODEL = Path(os.environ["MODEL_DIR"]) / "answer.txt"
COUNT = itertools.count()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200 if self.path == "/ping" else 404, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if BEHAVIOUR == "mortal" and body == b"die":
            os._exit(3)
        if BEHAVIOUR == "failing" and next(COUNT) % 2:
            self._answer(500, b"the model broke")
        elif BEHAVIOUR == "refusing":
            self._answer(400, b"no such column")
        else:
            self._answer(200, MODEL.read_bytes() if MODEL.exists() else body)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/csv; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    print(f"toy container, {BEHAVIOUR}", flush=True)
    if BEHAVIOUR == "crashing":
        print("ValueError: this model cannot be loaded", flush=True)
        sys.exit(1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN if BEHAVIOUR == "stubborn" else lambda *_: os._exit(0))
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler)
    server.daemon_threads = True
    server.serve_forever()
    time.sleep(1)
