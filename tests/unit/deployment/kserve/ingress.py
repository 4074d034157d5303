"""What stands before the services in tests: it hands each request to the test, which says what is answered."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# A request's path, headers and body to the status, headers and body of its answer.
AnswerRequest = Callable[[str, Mapping[str, str], bytes], tuple[int, dict[str, str], bytes]]


@contextlib.contextmanager
def serve_ingress(answer: AnswerRequest) -> Iterator[str]:
    """Its address, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, told, content = answer(self.path, headers, self.rfile.read(int(headers["content-length"])))
            self.send_response(status)
            for name, value in {
                "content-type": "application/json",
                "content-length": str(len(content)),
                **told,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
