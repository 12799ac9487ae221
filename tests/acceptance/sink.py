"""A local HTTP server that counts what reaches it, in a thread of its own."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One request."""

    at: float
    """Seconds, monotonic."""
    key: str
    """Its `Idempotency-Key`."""
    body: Any
    content: bytes
    """The body as it came."""
    status: int
    """What it is answered."""


@dataclass
class Sink:
    """Answers every request with a status, by default 200, and with the JSON of `answer`, after `delay` seconds."""

    delay: float = 0.0
    answer: bytes = b"{}"
    status: Callable[[Any, bool], int] = lambda body, again: 200
    """Gives the status from the request's body, and from whether its key has come before."""
    port: int = 0
    received: list[Received] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    """The different keys that have come."""
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Listen; on the same port again after a stop."""
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                key = self.headers.get("Idempotency-Key", "")
                body = json.loads(content or b"null")
                status = sink.status(body, key in sink.keys)
                received = Received(time.monotonic(), key, body, content, status)
                sink.received.append(received)
                sink.keys.add(received.key)
                if sink.delay:
                    time.sleep(sink.delay)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sink.answer)))
                self.end_headers()
                self.wfile.write(sink.answer)

            def log_message(self, format: str, *args: Any) -> None:
                return

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: Any, client_address: Any) -> None:
                # A client that was killed is what these tests are about.
                return

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Reject connections."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = None
