"""A gateway that asks Keystone who somebody is, and a policy file what they may; and as much of Keystone as that takes.

Keystone is asked once for a token, and the answer is remembered, so it makes no difference for what is measured what answers.
"""

import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.api import PROJECT
from bench.results import IDENTITY, KNOWN
from bench.servers import Cores, Target, gateway

TOKEN = "token-of-the-benchmark"
_POLICY = {
    "messages:create": "role:admin or (role:member and project_id:%(project_id)s)",
    "queues:create": "role:member",
    "queues:delete": "role:member",
}
_DESCRIBED = {
    "token": {
        "methods": ["password"],
        "user": {"id": "u1", "name": "bench", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": PROJECT, "name": PROJECT, "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": "r1", "name": "member"}, {"id": "r2", "name": "reader"}],
        "issued_at": "2020-01-01T00:00:00.000000Z",
        "expires_at": "2999-01-01T00:00:00.000000Z",
    }
}


class _Handler(BaseHTTPRequestHandler):
    """Every token is good, and every password."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(201)

    def _answer(self, status: int) -> None:
        body = json.dumps(_DESCRIBED).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Subject-Token", TOKEN)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def keystone() -> Iterator[str]:
    """Something that answers as Keystone does; its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def known_gateway(cores: Cores) -> Iterator[Target]:
    """A gateway with Keystone and a policy file, for the scenario that is about those.

    :raises StartFailed: it did not come up.
    """
    with keystone() as url, tempfile.TemporaryDirectory(prefix="bench-policy-") as directory:
        policy = Path(directory, "policy.yaml")
        policy.write_text(json.dumps(_POLICY))  # which is YAML, too
        settings = {
            "AUTH_STRATEGY": "keystone",
            "KEYSTONE_AUTHTOKEN_AUTH_URL": url,
            "KEYSTONE_AUTHTOKEN_USERNAME": "gateway",
            "KEYSTONE_AUTHTOKEN_PASSWORD": "password",
            "KEYSTONE_AUTHTOKEN_PROJECT_NAME": "service",
            "OSLO_POLICY_POLICY_FILE": str(policy),
        }
        with gateway(cores, KNOWN, settings=settings) as target:
            yield replace(target, token=TOKEN, only=frozenset((IDENTITY,)))
