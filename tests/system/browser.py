"""Pages in the Chromium of this system, headless, driven over its DevTools protocol.

Calls block until the browser has answered. What a page said, asked the network for and failed in is kept beside it.
"""

from __future__ import annotations

import base64
import json
import shutil
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.request import Request, urlopen

import websocket
from twisted.trial.unittest import SynchronousTestCase

from tests.system.gateway import Process, environment, new_directory

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

START_S = 90.0
"""How long a browser may take until it can be driven.  Machines that test are busy."""

TRIES_MAX = 20
"""How often a click, or what is typed, is tried that something else has got."""

VISIT_S = 90.0
"""How long a page may take for what a test waits for."""

_KEYS = {
    "Enter": (13, "\r"),
    "Tab": (9, ""),
    "Escape": (27, ""),
    "Space": (32, " "),
    "Backspace": (8, ""),
    "Delete": (46, ""),
    "ArrowLeft": (37, ""),
    "ArrowUp": (38, ""),
    "ArrowRight": (39, ""),
    "ArrowDown": (40, ""),
}
"""Keys by name: the number that a browser knows it by, and the text that it makes."""

_ARRIVED = "!window.__left && document.readyState === 'complete'"
"""A document with the mark of its forerunner is not the new one yet."""


class PageError(AssertionError):
    """A page threw, or the browser refused a command."""


class Page:
    """A page of a browser.

    :param url: of its DevTools target.
    :ivar console: what it wrote to its console, a line each: ``error: text``.
    :ivar errors: exceptions that nothing in the page caught.
    :ivar requests: the URLs that it asked for, WebSockets included.
    """

    def __init__(self, url: str) -> None:
        self.console: list[str] = []
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._last = 0
        # Chromium refuses commands that come with an origin.
        self._connection = websocket.create_connection(url, timeout=VISIT_S, suppress_origin=True)
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.command(f"{domain}.enable")

    def command(self, method: str, **params: Any) -> Any:
        """Run a command of the DevTools protocol.

        :return: its result.
        :raises PageError: it is refused.
        """
        self._last += 1
        self._connection.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            told = json.loads(self._connection.recv())
            if told.get("id") == self._last:
                if "error" in told:
                    raise PageError(f"{method}: {told['error']['message']}")
                return told["result"]
            self._note(told)

    def _note(self, told: Any) -> None:
        params = told.get("params", {})
        match told.get("method"):
            case "Runtime.consoleAPICalled":
                words = (str(one.get("value", one.get("description", ""))) for one in params["args"])
                self.console.append(f"{params['type']}: {' '.join(words)}")
            case "Log.entryAdded":
                entry = params["entry"]
                self.console.append(f"{entry['level']}: {entry['text']}")
            case "Runtime.exceptionThrown":
                self.errors.append(_thrown(params["exceptionDetails"]))
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(params["url"])

    def goto(self, url: str) -> None:
        """Go to a URL and wait until the page has loaded.

        :raises PageError: nothing is there.
        """
        self.evaluate("void (window.__left = true)")
        failed = self.command("Page.navigate", url=url).get("errorText")
        if failed:
            raise PageError(f"{url}: {failed}")
        self.wait_for(_ARRIVED)

    def reload(self) -> None:
        """Load the page again, and wait until that is done."""
        self.evaluate("void (window.__left = true)")
        self.command("Page.reload")
        self.wait_for(_ARRIVED)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, awaited where it is a promise; as JSON has it.

        :raises PageError: it threw.
        """
        found = self.command(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in found:
            raise PageError(f"{expression}: {_thrown(found['exceptionDetails'])}")
        return found["result"].get("value")

    def wait_for(self, expression: str, within_s: float = VISIT_S) -> Any:
        """Ask again until an expression is true.

        :return: its value.
        :raises PageError: it is not, in time.
        """
        give_up = time.monotonic() + within_s
        pause = threading.Event()
        while True:
            try:
                found = self.evaluate(expression)
            except PageError as error:  # the document is just being replaced, or is not yet whole
                found, last = None, str(error)
            else:
                last = repr(found)
            if found:
                return found
            if time.monotonic() > give_up:
                shown = self.evaluate("document.body?.innerText.slice(0, 2000)")
                raise PageError(f"{expression}: {last} after {within_s} s; {self.errors} {self.console[-20:]} {shown!r}")
            pause.wait(0.05)

    def text(self, selector: str = "body") -> str:
        """The visible text of the first element that matches."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def click(self, find: str) -> None:
        """Click in the middle of an element, once it is there, with a real mouse.

        :param find: an expression whose value is the element, or null. It is asked anew until the click has arrived:
            a page that draws itself anew meanwhile puts another element in its place.
        :raises PageError: something else was there when the click came, each time.
        """
        for _ in range(TRIES_MAX):  # what comes above it, such as a new row, moves it
            at = self.wait_for(
                f"""(() => {{
                  const find = () => {find};
                  const found = find();
                  if (!found) return null;
                  found.scrollIntoView({{block: "center", behavior: "instant"}});
                  window.isMissed = true;
                  const arrived = event => (window.isMissed = !find()?.contains(event.target));
                  document.addEventListener("click", arrived, {{capture: true, once: true}});
                  const box = found.getBoundingClientRect();
                  return box.width ? {{x: box.x + box.width / 2, y: box.y + box.height / 2}} : null;
                }})()"""
            )
            for kind in ("mousePressed", "mouseReleased"):
                self.command("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)
            try:
                if self.evaluate("window.isMissed") is not True:
                    return
            except PageError:  # the document is just being replaced
                return
        raise PageError(f"{find} was not there when the click came, {TRIES_MAX} times")

    def fill(self, find: str, text: str) -> None:
        """Put the focus on an element, once it is there, and type over what it holds.

        :param find: an expression whose value is the element, or null. It is asked anew where the page has put another element in
            its place before that had got what was typed.
        :raises PageError: another one was there each time.
        """
        for _ in range(TRIES_MAX):
            self.wait_for(
                f"""(() => {{
                  const found = {find};
                  if (!found) return false;
                  found.focus();
                  if (found.select) found.select();
                  window.isTyped = false;
                  found.addEventListener("input", () => (window.isTyped = true), {{once: true}});
                  return document.activeElement === found;
                }})()"""
            )
            if text:
                self.command("Input.insertText", text=text)
            else:
                self.press("Delete")
            if self.evaluate(f"window.isTyped || ({find})?.value === {json.dumps(text)}"):
                return
        raise PageError(f"{find} was not there when something was typed, {TRIES_MAX} times")

    def press(self, key: str) -> None:
        """Press a key: a name of those above, or a character."""
        code, text = _KEYS.get(key, (ord(key.upper()[0]), key))
        pressed = {"key": " " if key == "Space" else key, "windowsVirtualKeyCode": code}
        self.command("Input.dispatchKeyEvent", type="keyDown", text=text, **pressed)
        self.command("Input.dispatchKeyEvent", type="keyUp", **pressed)

    def viewport(self, width: int, height: int, *, scale: float = 1, mobile: bool = False) -> None:
        """Take a size, in pixels of CSS."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=mobile
        )

    def prefer(self, **features: str) -> None:
        """Have a user who prefers something: ``prefers_color_scheme="dark"``."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.command("Emulation.setEmulatedMedia", features=named)

    def offline(self, cut: bool) -> None:
        """Take the network away from the page, or give it back; WebSockets that are open stay so."""
        self.command(
            "Network.emulateNetworkConditions", offline=cut, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Keep a picture of what is seen, as PNG, or of the whole page."""
        shot = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """Close the page."""
        self.command("Page.close")
        self._connection.close()


class Browser:
    """A browser with a profile of its own.

    :param hosts: names that are this machine to it, besides ``localhost``.
    :raises AssertionError: it does not start.
    """

    def __init__(self, *hosts: str, arguments: tuple[str, ...] = ()) -> None:
        assert CHROMIUM is not None
        profile = new_directory()
        self._process = Process(
            [
                *(CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
                *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"),
                # A page in the background keeps its timers.
                *("--disable-background-timer-throttling", "--disable-renderer-backgrounding"),
                *("--remote-debugging-port=0", f"--user-data-dir={profile}"),
                f"--host-resolver-rules={', '.join(f'MAP {host} 127.0.0.1' for host in hosts)}",
                *arguments,
                "about:blank",
            ],
            environment({"HOME": str(profile), "TMPDIR": str(profile)}),  # what it leaves goes with its profile
            profile,
        )
        try:
            self._place = self._process.wait_for(r"DevTools listening on ws://([^/\s]+)/", START_S)[1]
        except AssertionError:
            self._process.kill()
            raise

    def open(self, url: str = "") -> Page:
        """A new page, at a URL where one is given."""
        asked = Request(f"http://{self._place}/json/new?about:blank", method="PUT")
        with urlopen(asked, timeout=START_S) as answer:
            page = Page(json.load(answer)["webSocketDebuggerUrl"])
        if url:
            page.goto(url)
        return page

    def kill(self) -> None:
        """End it."""
        self._process.kill()


def start_browser(test: SynchronousTestCase, *hosts: str) -> Browser:
    """A browser that ends with a test.

    :raises SkipTest: there is none.
    """
    if CHROMIUM is None:
        raise SkipTest("there is no chromium in PATH")
    browser = Browser(*hosts)
    test.addCleanup(browser.kill)
    return browser


class Pages:
    """A web server for pages of tests.  It has as many origins as there are names for this machine.

    :ivar files: path to the type and the content of what is served there.
    """

    def __init__(self, files: Mapping[str, tuple[str, str]] | None = None) -> None:
        self.files = dict(files or {})
        pages = self

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            def do_GET(self) -> None:
                kind, content = pages.files.get(self.path.partition("?")[0], ("", ""))
                body = content.encode()
                self.send_response(200 if kind else 404)
                self.send_header("Content-Type", f"{kind or 'text/plain'}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def origin(self, name: str = "localhost") -> str:
        """The origin of the pages under a name."""
        return f"http://{name}:{self._server.server_port}"

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()


def _thrown(details: Any) -> str:
    exception = details.get("exception", {})
    return str(exception.get("description") or exception.get("value") or details["text"])
