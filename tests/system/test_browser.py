"""What pages in a real browser can do with a gateway: cross-origin requests and WebSockets."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import SkipTest

from tests.system.gateway import CLIENT, Gateway, Http, Process, environment, new_directory
from tests.system.test_launch import LaunchTestCase

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
VISIT_S = 90.0
"""How long a browser may take from its start to the last line of a page."""

PROJECT = "web"
ALLOWED, OTHER = "console.example", "evil.example"

_PAGE = """<!doctype html><title>Page</title><script>
const http = %(http)s, socket = %(socket)s;
const headers = {"Client-ID": %(client)s, "X-Project-ID": %(project)s, "Content-Type": "application/json"};
const messages = http + "/v2/queues/work/messages";
const body = JSON.stringify({messages: [{body: location.hostname}]});
const steps = {
  post: async () => (await fetch(messages, {method: "POST", headers, body})).status,
  list: async () => (await (await fetch(messages + "?echo=true", {headers})).json()).messages.map(one => one.body),
  change: async () => (await fetch(http + "/v2/queues/work", {method: "PUT", headers, body: "{}"})).status,
  error: async () => (await fetch(http + "/nope", {headers})).status,
  id: async () => (await fetch(http + "/nope", {headers})).headers.get("x-openstack-request-id").slice(0, 4),
  blind: async () => (await fetch(messages, {method: "POST", mode: "no-cors", body})).type,
  socket: () => new Promise(told => {
    const opened = new WebSocket(socket);
    opened.onopen = () => told("open");
    opened.onerror = () => told("refused");
  }),
};
(async () => {
  const found = {};
  for (const [name, step] of Object.entries(steps)) {
    try { found[name] = await step(); } catch (error) { found[name] = error.name; }
  }
  await fetch("/found", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""


class Pages:
    """A web server whose page tries the gateway and tells what came of it.  It has as many origins as names."""

    def __init__(self) -> None:
        self.page = b""
        self._found: dict[str, Any] | None = None
        self._told = threading.Event()
        pages = self

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            def do_GET(self) -> None:
                self.answer(pages.page)

            def do_POST(self) -> None:
                pages._found = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.answer(b"")
                pages._told.set()

            def answer(self, body: bytes) -> None:
                """Send a page."""
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def origin(self, name: str) -> str:
        """The origin of the page under a name."""
        return f"http://{name}:{self._server.server_port}"

    def found(self) -> dict[str, Any]:
        """What the page has told.

        :raises AssertionError: it tells nothing, in time.
        """
        if not self._told.wait(VISIT_S) or self._found is None:
            raise AssertionError(f"the page told nothing within {VISIT_S} s")
        return self._found

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


class BrowserTests(LaunchTestCase):
    """A gateway that one origin may use, and Chromium."""

    def setUp(self) -> None:
        if CHROMIUM is None:
            raise SkipTest("there is no chromium in PATH")
        self.pages = Pages()
        self.addCleanup(self.pages.close)
        origin = self.pages.origin(ALLOWED)
        self.served = self.gateway(
            storage="memory:", settings={"CORS_ALLOWED_ORIGIN": origin, "WEBSOCKET_ALLOWED_ORIGINS": origin}
        )

    def visit(self, name: str) -> dict[str, Any]:
        """Open the page under a name in a new browser; what it could do."""
        values = {"http": self.served.http, "socket": self.served.websocket, "client": CLIENT, "project": PROJECT}
        self.pages.page = (_PAGE % {key: json.dumps(value) for key, value in values.items()}).encode()
        profile = new_directory()
        assert CHROMIUM is not None
        browser = Process(
            [
                *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
                *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
                f"--user-data-dir={profile}",
                f"--host-resolver-rules=MAP {ALLOWED} 127.0.0.1, MAP {OTHER} 127.0.0.1",
                self.pages.origin(name),
            ],
            environment({"HOME": str(profile)}),
            profile,
        )
        try:
            return self.pages.found()
        finally:
            browser.kill()

    def stored(self, gateway: Gateway) -> list[Any]:
        """What is in the queue that pages try to post to."""
        with closing(Http(gateway.http, PROJECT)) as http:
            return http.all_messages("work")

    def test_allowed(self) -> None:
        """A page of an allowed origin posts, lists, reads errors, and opens a WebSocket."""
        found = self.visit(ALLOWED)
        self.assertEqual(
            {name: found[name] for name in ("post", "list", "change", "error", "id", "socket")},
            {"post": 201, "list": [ALLOWED], "change": 204, "error": 404, "id": "req-", "socket": "open"},
        )

    def test_other(self) -> None:
        """A page of another origin gets nothing to read, changes nothing, and may not open a WebSocket."""
        with closing(Http(self.served.http, PROJECT)) as http:
            http.post("work", "mine")
        found = self.visit(OTHER)
        self.assertEqual(
            found,
            {
                **dict.fromkeys(("post", "list", "change", "error", "id"), "TypeError"),
                "blind": "opaque",
                "socket": "refused",
            },
        )
        self.assertEqual(self.stored(self.served), ["mine"])
