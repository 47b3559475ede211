"""A web server that webhooks are sent to, in threads of this process; it notes what comes in the order in which it comes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import frozen


@frozen
class Hook:
    """A request that came.

    :ivar headers: by lower-case name.
    """

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Receiver:
    """A web server on loopback.

    :param answer: the status for a request; by default 200 for all.
    :param location: where answers send a client to; empty: nowhere.
    """

    def __init__(self, answer: Callable[[Hook], int] = lambda hook: 200, location: str = "") -> None:
        self._hooks: list[Hook] = []
        self._news = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook = Hook(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                status = answer(hook)
                receiver._note(hook)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                if location:
                    self.send_header("Location", location)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Nothing: what came is noted."""

        class Server(ThreadingHTTPServer):
            """It ends without waiting for connections that are kept open."""

            daemon_threads = True
            block_on_close = False
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A gateway that is killed leaves its requests."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _note(self, hook: Hook) -> None:
        with self._news:
            self._hooks.append(hook)
            self._news.notify_all()

    @property
    def hooks(self) -> list[Hook]:
        """What has come."""
        with self._news:
            return list(self._hooks)

    def reach(self, enough: Callable[[list[Hook]], bool], within_s: float) -> list[Hook]:
        """Wait until what has come is enough, and return it.

        :raises AssertionError: it is not, in time.
        """
        with self._news:
            if not self._news.wait_for(lambda: enough(self._hooks), within_s):
                raise AssertionError(f"{len(self._hooks)} requests came within {within_s} s")
            return list(self._hooks)

    def close(self) -> None:
        """Take no more requests."""
        self._server.shutdown()
        self._server.server_close()
