"""An identity service for clients that cannot do without: it lets everybody in, and its catalog has one service."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_DOMAIN = {"id": "default", "name": "Default"}


class IdentityService:
    """What a client of Keystone v3 asks before its first request.

    :param messaging: the URL of the one service in the catalog, of type ``messaging``.
    :param project: the id of the project of every token.
    :ivar url: of the service, with its version.
    """

    def __init__(self, messaging: str, project: str) -> None:
        endpoint = {"id": "e", "interface": "public", "region": "here", "region_id": "here", "url": messaging}
        token = {
            "methods": ["password"],
            "user": {"id": "u", "name": "user", "domain": _DOMAIN},
            "project": {"id": project, "name": "project", "domain": _DOMAIN},
            "roles": [{"id": "r", "name": "member"}],
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "catalog": [{"id": "s", "type": "messaging", "name": "zaqar", "endpoints": [endpoint]}],
        }

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                links = [{"rel": "self", "href": service.url}]
                self._answer(200, {"version": {"id": "v3.14", "status": "stable", "links": links}})

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(201, {"token": token}, {"X-Subject-Token": "token"})

            def _answer(self, status: int, document: Any, headers: Mapping[str, str] | None = None) -> None:
                content = json.dumps(document).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words: object) -> None:
                """Say nothing."""

        service = self
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v3"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
