"""What pages in a real browser can do with a gateway: cross-origin requests and WebSockets."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

from tests.system.browser import Pages, start_browser
from tests.system.gateway import CLIENT, Gateway, Http
from tests.system.test_launch import LaunchTestCase

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
const found = (async () => {
  const found = {};
  for (const [name, step] of Object.entries(steps)) {
    try { found[name] = await step(); } catch (error) { found[name] = error.name; }
  }
  return found;
})();
</script>"""


class BrowserTests(LaunchTestCase):
    """A gateway that one origin may use, and Chromium."""

    def setUp(self) -> None:
        self.browser = start_browser(self, ALLOWED, OTHER)
        self.pages = Pages()
        self.addCleanup(self.pages.close)
        origin = self.pages.origin(ALLOWED)
        self.served = self.gateway(
            storage="memory:", settings={"CORS_ALLOWED_ORIGIN": origin, "WEBSOCKET_ALLOWED_ORIGINS": origin}
        )

    def visit(self, name: str) -> Any:
        """Open the page under a name; what it could do."""
        values = {"http": self.served.http, "socket": self.served.websocket, "client": CLIENT, "project": PROJECT}
        self.pages.files["/"] = "text/html", _PAGE % {key: json.dumps(value) for key, value in values.items()}
        return self.browser.open(self.pages.origin(name)).evaluate("found")

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
