"""Streams of events of a gateway process: what programs and pages get, and what becomes of those that do not read."""

from __future__ import annotations

import json
import selectors
import signal
import socket
import subprocess
import time
from contextlib import closing
from urllib.parse import urlencode, urlsplit

import psutil

from bench.load.audience import allow_sockets
from tests.helpers import OTHER_CLIENT
from tests.programs import program
from tests.system.browser import Pages, start_browser
from tests.system.gateway import (
    ANSWER_S,
    Gateway,
    Http,
    RedisProcess,
    fixed_place,
    until,
)
from tests.system.test_launch import LaunchTestCase

PROJECT = "events"
QUEUE = "feed"
ORIGIN = "console.example"
QUERY = urlencode({"project_id": PROJECT, "client_id": OTHER_CLIENT})
EVENTS = f"/v2/queues/{QUEUE}/events?{QUERY}"

_PAGE = """<!doctype html><title>Events</title><script>
const told = [], gaps = [];
let opened = 0;
const source = new EventSource(%(url)s);
source.onopen = () => { opened += 1; };
source.addEventListener("message", event => {
  const message = JSON.parse(event.data);
  told.push([event.lastEventId, message.id, message.body]);
});
source.addEventListener("gap", event => gaps.push(JSON.parse(event.data)));
</script>"""


class BrowserTests(LaunchTestCase):
    """The EventSource of a real browser."""

    def test_gateway_killed_and_stopped(self) -> None:
        """A page of another origin gets each message once and in order, though the gateway is killed, and stopped, meanwhile."""
        browser, redis, pages = start_browser(self, ORIGIN), RedisProcess(), Pages()
        self.addCleanup(redis.stop)
        self.addCleanup(pages.close)
        settings = {"CORS_ALLOWED_ORIGIN": pages.origin(ORIGIN)}
        place = fixed_place()
        gateway = self.gateway(storage=redis.tcp, settings=settings, listen=place)
        pages.files["/"] = "text/html", _PAGE % {"url": json.dumps(gateway.http + EVENTS)}
        page = browser.open(pages.origin(ORIGIN))
        count = 0

        def post(number: int) -> None:
            nonlocal count
            with closing(Http(gateway.http, PROJECT)) as http:
                for _ in range(number):
                    self.assertEqual(http.post(QUEUE, {"n": count}, {"n": count + 1}).status, 201)
                    count += 2

        for opened, end in ((1, Gateway.kill), (2, Gateway.stop)):
            page.wait_for(f"opened === {opened}")
            post(20)
            end(gateway)  # while the page is being told
            gateway = self.gateway(storage=redis.tcp, settings=settings, listen=place)
            post(20)  # before the page has come again
        page.wait_for(f"told.length >= {count}")
        told = page.evaluate("told")
        self.assertEqual([body["n"] for _, _, body in told], list(range(count)))
        ids = [message_id for _, message_id, _ in told]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual([last_id for last_id, _, _ in told], ids)
        self.assertEqual(page.evaluate("[gaps, opened]"), [[], 3])
        gateway.stop()


class Curl:
    """A curl that listens."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            ["curl", "--silent", "--no-buffer", url], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, bufsize=0
        )
        self._read = b""

    def line(self) -> str:
        """The next line; empty at the end."""
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._read:
                if not selector.select(ANSWER_S):
                    raise AssertionError(f"curl says nothing for {ANSWER_S} s")
                if not (more := self._process.stdout.read(65536)):
                    return ""
                self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line.decode() + "\n"

    def until(self, beginning: str) -> str:
        """The rest of the next line with a beginning."""
        while line := self.line():
            if line.startswith(beginning):
                return line.removeprefix(beginning).strip()
        raise AssertionError(f"curl ended before a line with {beginning!r}")

    def close(self) -> None:
        """Hang up."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class CurlTests(LaunchTestCase):
    """A program that reads line by line."""

    def curl(self, url: str) -> Curl:
        """A listener that has an id."""
        program("curl")
        made = Curl(url)
        self.addCleanup(made.close)
        return made

    def test_listens(self) -> None:
        """Messages come as they are posted; who hangs up makes room at once; a gateway that stops says so and does not wait."""
        gateway = self.gateway(settings={"LIVE_STREAMS_MAX": "1", "LIVE_HEARTBEAT_S": "1"})
        curl = self.curl(gateway.http + EVENTS)
        self.assertEqual(curl.until("retry: "), "2000")
        curl.until("id: ")
        with closing(Http(gateway.http, PROJECT)) as http:
            for number in range(3):
                began = time.monotonic()
                http.post(QUEUE, number)
                self.assertEqual(json.loads(curl.until("data: "))["body"], number)
                self.assertLess(time.monotonic() - began, 8)  # who is not rung for looks after ten seconds
            self.assertEqual(curl.until(":"), "")  # a heartbeat
            self.assertEqual(http("GET", EVENTS).status, 429)
            curl.close()

        def freed() -> bool:
            with closing(Curl(gateway.http + EVENTS)) as other:
                return other.line().startswith("retry")

        until(freed, ANSWER_S, "a listener that hung up is still counted")
        last = self.curl(gateway.http + EVENTS)
        while not last.line().startswith("retry"):
            last = self.curl(gateway.http + EVENTS)
        began = time.monotonic()
        gateway.stop()
        self.assertLess(time.monotonic() - began, 14)  # who is waited for has 15 seconds
        self.assertEqual(last.until("event: "), "end")
        self.assertIn("goes on", json.loads(last.until("data: "))["reason"])
        self.assertEqual(last.line(), "\n")
        self.assertEqual(last.line(), "")


class Listeners:
    """Many connections of one process that listen; each takes what it is sent as fast as it comes.

    :ivar received: bytes of each.
    """

    def __init__(self, url: str, count: int, target: str) -> None:
        parts = urlsplit(url)
        self._selector = selectors.DefaultSelector()
        self.received: dict[socket.socket, bytearray] = {}
        allow_sockets(count)
        for _ in range(count):
            connection = socket.create_connection((parts.hostname, parts.port), ANSWER_S)
            connection.sendall(
                f"GET {target} HTTP/1.1\r\nHost: a\r\nClient-ID: {OTHER_CLIENT}\r\nX-Project-ID: {PROJECT}\r\n\r\n".encode()
            )
            connection.setblocking(False)
            self._selector.register(connection, selectors.EVENT_READ)
            self.received[connection] = bytearray()

    def until_all(self, text: bytes, within_s: float) -> None:
        """Read until each has been sent a text."""
        missing, deadline = set(self.received), time.monotonic() + within_s
        while missing:
            for key, _ in self._selector.select(1):
                found = self.received[key.fileobj]  # type: ignore[index]
                found += key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
                if text in found:
                    missing.discard(key.fileobj)
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(missing)} listeners were not sent {text!r} within {within_s} s")

    def close(self) -> None:
        """Hang up."""
        self._selector.close()
        for connection in self.received:
            connection.close()


class ManyTests(LaunchTestCase):
    """Many listeners, and those that do not read."""

    def test_a_thousand_streams(self) -> None:
        """A thousand listeners of one queue are each sent each message, in order."""
        gateway = self.gateway()
        with closing(Listeners(gateway.http, 1000, EVENTS)) as listeners, closing(Http(gateway.http, PROJECT)) as http:
            listeners.until_all(b"retry: 2000", ANSWER_S * 2)
            before = psutil.Process(gateway.pid).memory_info().rss
            for number in range(20):
                self.assertEqual(http.post(QUEUE, f"message-{number:03}").status, 201)
            listeners.until_all(b"message-019", ANSWER_S * 2)
            wanted = [b"message-%03d" % number for number in range(20)]
            for found in listeners.received.values():
                self.assertEqual(
                    sorted(wanted, key=found.index), wanted
                )
                self.assertEqual([found.count(each) for each in wanted], [1] * 20)
            self.assertEqual(http("GET", EVENTS).status, 429)
            grown = psutil.Process(gateway.pid).memory_info().rss - before
            self.assertLess(grown, 50 * 2**20)
        gateway.stop()

    def test_who_never_reads(self) -> None:
        """Listeners that never read cost a bounded piece of memory each, and others are served meanwhile as ever."""
        gateway = self.gateway(settings={"HTTP_WRITE_TIMEOUT_S": "600"})
        body = "x" * 200_000
        with closing(Http(gateway.http, PROJECT)) as http:
            for _ in range(100):
                self.assertEqual(http.post(QUEUE, body).status, 201)
            before = psutil.Process(gateway.pid).memory_info().rss
            with closing(Listeners(gateway.http, 100, f"{EVENTS}&marker=earliest")):
                # 2 GB are behind their cursors.
                with closing(Listeners(gateway.http, 1, EVENTS)) as reader:
                    reader.until_all(b"retry: 2000", ANSWER_S)
                    for number in range(20):
                        began = time.monotonic()
                        http.post(QUEUE, f"message-{number:03}")
                        reader.until_all(b"message-%03d" % number, ANSWER_S)
                        self.assertLess(time.monotonic() - began, 30)
                grown = psutil.Process(gateway.pid).memory_info().rss - before
                self.assertLess(grown, 100 * 800_000, "a page and a message for each")
            self.assertEqual(http("GET", "/v2/ping").status, 204)
        gateway.stop()
