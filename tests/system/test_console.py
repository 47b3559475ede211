"""The web console in a real browser, against a gateway of its own.

Every test ends by seeing that the page broke no rule of its policy, threw nothing, and asked nobody but its gateway.
"""

from __future__ import annotations

import atexit
import json
import os
import socket
import struct
from contextlib import closing
from functools import partial
from itertools import pairwise
from typing import Any
from unittest import SkipTest
from urllib.parse import quote, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.keystone_server import shared_keystone
from tests.system.browser import CHROMIUM, Browser, Page
from tests.system.gateway import CLIENT, ROOT, Gateway, Http, RedisProcess, Socket, fixed_place, new_directory, until
from tests.system.receiver import Receiver
from tests.system.test_keystone import gateway_at

PICTURES = "CONSOLE_PICTURES"
"""The environment variable that says where the pictures of the documentation go; without it they are made and thrown away."""

PROJECT = "web"
WIDE, PHONE, NARROW = (1280, 800), (360, 740), (320, 640)
SOON_S = 90.0
LIFETIME_S = 40
"""How long a token lives that is to end: long enough for what is done with it before, on a machine that is busy with tests."""

# What a page could do that has been tricked; whatever of it happens is found in the end.
_WATCH = """
window.__violations = [];
addEventListener("securitypolicyviolation", event => window.__violations.push(`${event.violatedDirective} ${event.blockedURI}`));
window.__hacked = [];
for (const name of ["alert", "confirm", "prompt", "hack"]) window[name] = () => window.__hacked.push(name);
"""

_FIND = """(() => {
  const within = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document;
  const named = element => (element.getAttribute("aria-label") ?? element.textContent).trim();
  const found = [...within.querySelectorAll(%s)].find(one => one.checkVisibility() && named(one) === %s);
  return found && !found.disabled ? found : null;
})()"""

_LABELLED = """(() => {
  const within = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document;
  for (const control of within.querySelectorAll("input, textarea, select")) {
    const named = control.getAttribute("aria-label") ?? [...(control.labels ?? [])].map(one => one.textContent).join(" ");
    if (control.checkVisibility() && named.trim().startsWith(%s)) return control;
  }
  return null;
})()"""

_CONTRAST = """(() => {
  // WCAG 2.1, "Contrast (Minimum)": 4.5 to 1; controls that are switched off are none of it.
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const rgba = colour => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = element => {
    for (let one = element; one; one = one.parentElement) {
      const colour = rgba(getComputedStyle(one).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return rgba(getComputedStyle(document.body).backgroundColor);
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some(one => one.nodeType === 3 && one.data.trim());
    if (!own || !element.checkVisibility() || element.closest(":disabled, .skip, .unseen")) continue;
    const style = getComputedStyle(element);
    const [one, two] = [light(rgba(element.namespaceURI.includes("svg") ? style.fill : style.color)), light(behind(element))];
    const ratio = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${element.className.baseVal ?? element.className} ${element.textContent.slice(0, 40)}`);
  }
  return poor;
})()"""

_shared: list[Browser] = []


def shared_browser() -> Browser:
    """The browser of this run.

    :raises SkipTest: there is none.
    """
    if CHROMIUM is None:
        raise SkipTest("there is no chromium in PATH")
    if not _shared:
        _shared.append(Browser("rebound.example"))
        atexit.register(_shared[0].kill)
    return _shared[0]


class Console:
    """The console as somebody uses it: what they see by its name, and no other way."""

    def __init__(self, gateway: Gateway, host: str = "127.0.0.1") -> None:
        self.origin = gateway.http.replace("127.0.0.1", host)
        self.page: Page = shared_browser().open()
        self.page.command("Page.addScriptToEvaluateOnNewDocument", source=_WATCH)
        self.page.viewport(*WIDE)
        self.page.prefer(prefers_color_scheme="light", prefers_reduced_motion="reduce")
        self.page.goto(f"{self.origin}/console")
        self.page.evaluate("localStorage.clear()")
        self.page.goto(f"{self.origin}/console/")

    def click(self, name: str, what: str = "button, a, summary, label, [role=tab]") -> None:
        """Click on something by its name."""
        self.page.click(_FIND % (json.dumps(what), json.dumps(name)))

    def can_click(self, name: str) -> bool:
        """Whether there is a button of that name that does something."""
        return bool(self.page.evaluate(f"!!{_FIND % (json.dumps('button'), json.dumps(name))}"))

    def fill(self, label: str, text: str) -> None:
        """Type into a field by its label."""
        self.page.fill(_LABELLED % json.dumps(label), text)

    def value(self, label: str) -> str:
        """What is in a field."""
        return str(self.page.wait_for(f"[{_LABELLED % json.dumps(label)}?.value].filter(one => one != null)", SOON_S)[0])

    def sees(self, text: str, selector: str = "body") -> None:
        """Wait until a text is to be seen."""
        self.page.wait_for(
            f"[...document.querySelectorAll({json.dumps(selector)})].some(one =>"
            f" one.checkVisibility() && one.innerText.includes({json.dumps(text)}))",
            SOON_S,
        )

    def misses(self, text: str, selector: str = "body") -> None:
        """Wait until a text is not to be seen any more."""
        self.page.wait_for(
            f"![...document.querySelectorAll({json.dumps(selector)})].some(one => one.innerText.includes({json.dumps(text)}))",
            SOON_S,
        )

    def counts(self, selector: str, number: int) -> None:
        """Wait until there are so many of something."""
        self.page.wait_for(f"document.querySelectorAll({json.dumps(selector)}).length === {number}", SOON_S)

    def sign_in(self, project: str = PROJECT, *, roles: str = "") -> None:
        """Sign in without a password."""
        self.fill("Project", project)
        if roles:
            self.click("Client and roles")
            self.fill("Roles", roles)
        self.click("Sign in")
        self.sees("Queues", "h1")

    def at(self, path: str) -> None:
        """Go to a view."""
        self.page.evaluate(f"void (location.hash = {json.dumps(path)})")

    def closed(self) -> None:
        """Wait until no dialog is open."""
        self.counts("dialog", 0)

    def beside(self) -> None:
        """Click beside a dialog."""
        for kind in ("mousePressed", "mouseReleased"):
            self.page.command("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, x=5, y=400)

    def asks_to_stay(self) -> bool:
        """Whether the page asks before it is left."""
        event = "new Event('beforeunload', {cancelable: true})"
        return bool(self.page.evaluate(f"(event => (dispatchEvent(event), event.defaultPrevented))({event})"))

    def refuses(self, label: str, said: str) -> None:
        """Wait until it is said at a field what is wrong with it."""
        self.page.wait_for(
            f"""(() => {{
              const found = {_LABELLED % json.dumps(label)};
              return found?.getAttribute("aria-invalid") === "true" && document.activeElement === found
                && found.getAttribute("aria-describedby").split(" ")
                  .some(id => document.getElementById(id).textContent.includes({json.dumps(said)}));
            }})()""",
            SOON_S,
        )

    def pressed(self, *keys: str) -> None:
        """Press keys."""
        for key in keys:
            self.page.press(key)


def keep(page: Page, name: str) -> None:
    """Take a picture for the documentation, and see that it is one."""
    folder = ROOT / (os.environ.get(PICTURES) or new_directory())
    folder.mkdir(parents=True, exist_ok=True)
    page.command("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    page.evaluate("document.activeElement.matches('dialog *') || document.activeElement.blur()")
    page.evaluate("document.getElementById('toasts').replaceChildren()")
    page.evaluate("new Promise(resolve => requestAnimationFrame(() => requestAnimationFrame(resolve)))")
    page.screenshot(folder / name)
    head = (folder / name).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n" and min(struct.unpack(">II", head[16:])) >= PHONE[0], head


class ConsoleCase(SynchronousTestCase):
    """A gateway with a store in memory, and its console.

    :ivar place: where the gateway listens, and any that comes after it.
    """

    settings: dict[str, str] = {"ADMIN_MODE": "true"}

    def setUp(self) -> None:
        shared_browser()
        self.place = fixed_place()
        self.gateway = self.made()
        self.console = self.opened()
        self.http = self.client()

    def made(self) -> Gateway:
        """The gateway."""
        gateway = Gateway(storage="memory:", settings=self.settings, listen=self.place)
        self.addCleanup(gateway.kill)
        return gateway

    def opened(self, host: str = "127.0.0.1") -> Console:
        """A console, which has behaved when the test ends."""
        console = Console(self.gateway, host)
        self.addCleanup(console.page.close)
        self.addCleanup(self.check_behaviour, console)
        return console

    def client(self, project: str = PROJECT) -> Http:
        """Somebody else who uses the gateway."""
        http = Http(self.gateway.http, project, client="3381af92-2b9e-11e3-b191-71861300734d")
        self.addCleanup(http.close)
        return http

    def check_behaviour(self, console: Console) -> None:
        """The page has kept to its policy, and was not tricked."""
        page = console.page
        self.assertEqual(page.evaluate("window.__violations"), [])
        self.assertEqual(page.evaluate("window.__hacked"), [])
        self.assertEqual(page.errors, [])
        # Of a refusal, of a socket that is not opened, and of a header that counts with TLS or on loopback alone, browsers tell.
        usual = ("Failed to load resource", "WebSocket connection", "Cross-Origin-Opener-Policy header has been ignored")
        said = [line for line in page.console if not any(text in line for text in usual)]
        self.assertEqual([line for line in said if line.startswith("error")], [])
        origin = urlsplit(console.origin).netloc
        strangers = {url for url in page.requests if urlsplit(url).netloc != origin and not url.startswith("about:")}
        self.assertEqual(strangers, set())
        self.assertEqual(self.gateway.troubles, [])

    def metadata(self, queue: str) -> Any:
        """That of a queue."""
        return self.http("GET", f"/v2/queues/{queue}").json

    def bodies(self, queue: str) -> list[Any]:
        """Those of the messages of a queue."""
        return self.http.all_messages(queue)


class ServingTests(ConsoleCase):
    """What comes over the wire."""

    def raw(self, target: str, method: str = "GET") -> bytes:
        """The answer to a request whose target nobody puts right."""
        parts = urlsplit(self.gateway.http)
        with socket.create_connection((parts.hostname, parts.port), SOON_S) as connection:
            connection.sendall(f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def test_headers(self) -> None:
        """Pages come with their policy, and with what every answer has; nothing that is served leads outside."""
        answer = self.http("GET", "/console/")
        self.assertEqual(answer.status, 200)
        self.assertIn("default-src 'none'", answer.headers["Content-Security-Policy"])
        for name, value in (
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-cache"),
        ):
            self.assertEqual(answer.headers.get_all(name), [value])
        head = self.http("HEAD", "/console/")
        self.assertEqual((head.status, head.body, head.headers["Content-Length"]), (200, b"", str(len(answer.body))))
        same = self.http("GET", "/console/", headers={"If-None-Match": answer.headers["ETag"]})
        self.assertEqual((same.status, same.body), (304, b""))
        for target in (
            *("/console/../setup.py", "/console/%2e%2e/__init__.py", "/console/..%2f__init__.py", "/console//etc/passwd"),
            *("/console/..\\__init__.py", "/console/%00", "/console/./main.js", "/console/main.js/", "/console/index.html~"),
        ):
            self.assertIn(b" 404 ", self.raw(target).splitlines()[0], target)

    def test_off(self) -> None:
        """It can be switched off."""
        gateway = Gateway(storage="memory:", settings={"WEB_CONSOLE": "false"})
        self.addCleanup(gateway.kill)
        http = Http(gateway.http, PROJECT)
        for path in ("/console", "/console/", "/console/main.js"):
            self.assertEqual(http("GET", path).status, 404)

    def test_unreachable(self) -> None:
        """Where the gateway does not answer that is said, and what is shown stays; it goes on by itself."""
        self.console.sign_in()
        self.http.post("orders", 1)
        self.console.sees("orders", "tbody")
        self.console.page.offline(True)
        self.console.sees("Not reachable", "#bar")
        self.console.sees("orders", "tbody")
        self.console.page.offline(False)
        self.console.sees("Live", "#bar")


class SignInTests(ConsoleCase):
    """Without authentication."""

    def test_sign_in(self) -> None:
        """What is missing or wrong is said, by the gateway where it is the gateway's to say."""
        console = self.console
        console.sees("asks for no password")
        console.fill("Project", "")
        console.click("Sign in")
        console.sees("Project is missing.", "[role=alert]")
        console.fill("Project", PROJECT)
        console.click("Client and roles")
        console.fill("Client-ID", "not a uuid")
        console.click("Client and roles")
        console.click("Sign in")
        console.refuses("Client-ID", "Client-ID is not a UUID")
        self.assertNotEqual(console.page.evaluate("localStorage.getItem('zaqar-gateway:client')"), "not a uuid")
        self.assertEqual(console.page.evaluate("sessionStorage.length"), 0)
        console.fill("Client-ID", CLIENT)
        console.counts(".refused", 0)
        console.click("Sign in")
        console.sees("no queues in this project", "main")
        console.sees(PROJECT, "#bar")

    def test_session(self) -> None:
        """A session lives as long as the tab, survives that it is loaded again, and leaves nothing behind."""
        console = self.console
        console.sign_in("first")
        console.page.reload()
        console.sees("first", "#bar")
        kept = json.loads(console.page.evaluate("JSON.stringify({...localStorage})"))
        self.assertEqual(set(kept), {"zaqar-gateway:client", "zaqar-gateway:project"})
        self.opened().sees("Sign in")
        console.click("Sign out")
        console.sees("Project", "form")
        self.assertEqual(console.page.evaluate("sessionStorage.length"), 0)

    def test_projects_are_apart(self) -> None:
        """What is shown is what the project has."""
        console = self.console
        self.client("other").post("theirs", 1)
        self.http.post("mine", 1)
        console.sign_in()
        console.sees("mine", "tbody")
        console.misses("theirs")
        console.click("Sign out")
        console.sign_in("проект ∑")
        console.sees("no queues in this project", "main")
        self.client("проект ∑".encode().decode("latin-1")).post("unser", 1)
        console.sees("unser", "tbody")

    def test_rebinding(self) -> None:
        """A name in somebody's DNS that leads to this machine gets no socket, and that is said."""
        console = self.opened("rebound.example")
        console.sign_in()
        console.at("/queues/q/live")
        console.sees("trying again", ".toolbar")


class QueueListTests(ConsoleCase):
    """All queues."""

    def test_counts(self) -> None:
        """Counts, the age of the oldest message and charts follow what happens."""
        console = self.console
        console.sign_in()
        for number in range(3):
            self.http.post("orders", number)
        self.http("POST", "/v2/queues/orders/claims?limit=1", {"ttl": 300, "grace": 60})
        console.page.wait_for(
            "[...document.querySelectorAll('.queues tbody td.number')].slice(0, 3).map(one => one.textContent).join() === '2,1,3'"
        )
        console.page.wait_for("/^[0-9]+ s$/.test(document.querySelectorAll('.queues tbody td.number')[3].textContent)")
        console.sees("Free 2", "figcaption")
        console.page.wait_for("!!document.querySelector('.chart .bar.up')")
        console.page.wait_for("document.querySelector('svg.chart').getAttribute('aria-label') === 'Messages: now Free 2, Claimed 1'")
        self.http("DELETE", "/v2/queues/orders")
        console.misses("orders", "main")

    def test_dots(self) -> None:
        """A queue whose name is a dot is listed, and is not taken for another: a browser cannot ask for it."""
        for name in (".", "..", "orders"):
            socket = Socket(self.gateway.websocket, PROJECT)
            self.assertEqual(socket("queue_create", queue_name=name).status, 201)
            socket.close()
        self.http.post("orders", 1)
        console = self.console
        console.sign_in()
        console.counts(".queues tbody tr", 3)
        console.page.wait_for(
            "[...document.querySelectorAll('.queues tbody tr')].map(row => row.querySelector('.sum').textContent).join() === '–,–,1'"
        )
        console.at("/queues/./messages")
        console.sees("it takes dots out of a path", "body")

    def test_create(self) -> None:
        """A queue is made with its metadata; what is wrong is said by the gateway, and nothing that was typed is lost."""
        console = self.console
        console.sign_in()
        console.click("New queue")
        console.click("Create")
        console.sees("Name is missing.", "dialog")
        console.fill("Name", "no spaces please")
        console.click("Create")
        console.sees("name", "dialog [role=alert]")
        self.assertEqual(console.value("Name"), "no spaces please")
        console.sees("- _ and .", "dialog")
        for name, said in (("a/b", "digits, - _ and . only"), ("ü", "digits, - _ and . only"), ("y" * 70, "has 70 characters")):
            console.fill("Name", name)
            console.click("Create")
            console.refuses("Name", said)
        self.assertEqual(self.http("GET", "/v2/queues").json["queues"], [])
        console.fill("Name", "orders")
        console.click("Metadata")
        console.fill("Metadata", '{"a": ')
        console.click("Create")
        console.sees("This is not JSON", "dialog [role=alert]")
        console.fill("Metadata", '{"_default_message_ttl": 5}')
        console.click("Create")
        console.sees("_default_message_ttl", "dialog [role=alert]")
        console.fill("Metadata", '{"_default_message_ttl": 600, "team": "blue"}')
        console.pressed("Escape")
        console.closed()
        console.click("New queue")
        self.assertEqual((console.value("Name"), console.value("Metadata")), ("orders", '{"_default_message_ttl": 600, "team": "blue"}'))
        console.click("Create")
        console.sees("orders", "h1")
        self.assertEqual(self.metadata("orders")["team"], "blue")
        console.sees("Queue orders was created.", "#toasts")

    def test_many(self) -> None:
        """Queues come page by page, and can be looked for by a part of their name."""
        for number in range(25):
            self.http("PUT", f"/v2/queues/q-{number:02}")
        console = self.console
        console.sign_in()
        console.counts(".queues tbody tr", 20)
        console.sees("25", "h1")
        console.click("More queues")
        console.counts(".queues tbody tr", 25)
        console.fill("Filter queues", "-1")
        console.counts(".queues tbody tr", 10)
        console.fill("Filter queues", "<none>")
        console.sees("No queue has “<none>” in its name.")
        # However many are shown, a window asks for some ten things a second.
        console.fill("Filter queues", "q-")
        console.counts(".queues tbody tr", 25)
        for number in range(25, 60):
            self.http("PUT", f"/v2/queues/q-{number:02}")
        for shown in (40, 60):
            console.click("More queues")
            console.counts(".queues tbody tr", shown)
        console.page.evaluate("performance.clearResourceTimings(), performance.setResourceTimingBufferSize(5000)")
        read = "performance.getEntriesByType('resource').filter(one => one.name.endsWith('q-59/stats')).map(one => one.startTime)"
        console.page.wait_for(f"{read}.length >= 2")  # what was asked for by the last click may be read again at once
        seen = console.page.evaluate(read)
        console.page.wait_for(f"{read}.length > {len(seen)}")
        one, other = console.page.evaluate(read)[len(seen) - 1 :][:2]
        self.assertGreater(other - one, 5_000)
        console.fill("Filter queues", "q-07")
        console.click("q-07")
        console.sees("q-07", "h1")


class MessageTests(ConsoleCase):
    """Messages of a queue."""

    def in_queue(self, tab: str = "messages") -> Console:
        """The view of the queue."""
        self.console.sign_in()
        self.console.at(f"/queues/orders/{tab}")
        self.console.sees("orders", "h1")
        return self.console

    def test_post(self) -> None:
        """A body is posted just as it is written, as JSON or as text, with a lifetime; wrong ones are refused in words."""
        console = self.in_queue()
        console.sees("nothing to show")
        for body, said in (("", "Body is missing"), ("{", "This is not JSON"), ("[1,]", "This is not JSON")):
            console.pressed("p") if not console.page.evaluate("!!document.querySelector('dialog')") else None
            console.fill("Body", body)
            console.click("Post")
            console.sees(said, "dialog [role=alert]")
        exact = '{"big": 1234567890123456789, "one": 1.0, "tiny": 1e-400, "__proto__": "x", "é": "ü\\u0001"}'
        console.fill("Body", exact)
        console.fill("Lifetime", "5")
        console.click("Post")
        console.sees("ttl", "dialog [role=alert]")
        console.fill("Lifetime", "600")
        console.click("Post")
        console.closed()
        console.page.wait_for("document.activeElement.tagName === 'MAIN'")
        stored = self.http("GET", "/v2/queues/orders/messages?echo=true")
        self.assertIn(exact.encode(), stored.body)
        self.assertEqual(stored.json["messages"][0]["ttl"], 600)
        console.click('{"big":1234567890123456789,"one":1.0,"tiny":1e-400,"__proto__":"x","é":"ü\\u0001"}')
        for text in ('"big": 1234567890123456789', '"one": 1.0', '"tiny": 1e-400', '"__proto__": "x"'):
            console.sees(text, "pre.json")
        console.click("Post")
        console.page.evaluate("document.querySelector('dialog select').value = 'text'")
        console.click("Keep this open, to post another one")
        for text in ("hello", '"quoted" <b>'):
            console.fill("Body", text)
            console.click("Post")
            console.page.wait_for("document.querySelector('dialog textarea').value === ''")
        console.pressed("Escape")
        console.closed()
        self.assertEqual(self.bodies("orders")[1:], ["hello", '"quoted" <b>'])

    def test_delay(self) -> None:
        """Where a queue has a delay a message can have one of its own; what is delayed can be left out of the list."""
        self.http("PUT", "/v2/queues/orders", {"_default_message_delay": 300})
        console = self.in_queue()
        console.sees("delay 5 min", ".tags")
        console.click("Post")
        console.fill("Body", '"now"')
        console.fill("Delay", "0")
        console.click("Post")
        console.closed()
        self.http.post("orders", "later")
        console.counts(".messages tbody tr:not(.more)", 2)
        console.click("Delayed")
        console.counts(".messages tbody tr:not(.more)", 1)
        console.sees('"now"', ".messages")

    def test_pages(self) -> None:
        """A long queue is read page by page, forth and back."""
        for start in range(0, 45, 15):
            self.http.post("orders", *range(start, start + 15))
        console = self.in_queue()
        shown = "[...document.querySelectorAll('.messages .text')].map(one => Number(one.textContent))"
        console.counts(".messages tbody tr:not(.more)", 20)
        self.assertFalse(console.can_click("Previous"))
        console.click("Next")
        console.page.wait_for(f"{shown}[0] === 20")
        console.click("Next")
        console.page.wait_for(f"{shown}[0] === 40 && {shown}.length === 5")
        self.assertFalse(console.can_click("Next"))
        console.click("Previous")
        console.page.wait_for(f"{shown}[0] === 20")
        console.sees("Page 2")
        # Where the last page is full, none is behind it.
        self.assertEqual(self.http("DELETE", "/v2/queues/orders/messages?pop=5").status, 200)
        console.click("Previous")
        console.page.wait_for(f"{shown}[0] === 5")
        console.click("Next")
        console.page.wait_for(f"{shown}[0] === 25 && {shown}.length === 20")
        self.assertFalse(console.can_click("Next"))

    def test_delete(self) -> None:
        """Messages are deleted one by one or several together, claimed ones too, and only after the question."""
        self.http.post("orders", "a", "b", "c", "d")
        self.http("POST", "/v2/queues/orders/claims?limit=1", {"ttl": 300, "grace": 60})
        console = self.in_queue()
        console.click('claimed"a"')
        console.click("Delete", ".facts button")
        console.sees("somebody is working on it", "dialog")
        console.click("Cancel")
        self.assertEqual(len(self.bodies("orders")), 4)
        console.click("Delete", ".facts button")
        console.click("Delete message")
        console.closed()
        console.counts(".messages tbody tr:not(.more)", 3)
        # The focus is on the row that is now where the other one was.
        console.page.wait_for("document.activeElement.textContent === '\"b\"'")
        console.click("Choose all of this page", "input")
        console.click("Delete 3 messages")
        console.sees("Delete 3 messages of orders?", "dialog h2")
        console.pressed("Escape")
        console.closed()
        self.assertEqual(self.bodies("orders"), ["b", "c", "d"])
        console.page.evaluate("document.querySelectorAll('tbody input')[0].click()")
        console.click("Delete 2 messages")
        console.click("Delete 2 messages", "dialog button")
        console.closed()
        console.page.wait_for("document.querySelectorAll('.messages .text').length === 1")
        self.assertEqual(self.bodies("orders"), ["b"])
        console.page.wait_for("document.activeElement.textContent === '\"b\"'")
        console.pressed("Enter")
        console.click("Delete", ".facts button")
        console.click("Delete message")
        console.sees("nothing to show")
        console.page.wait_for("document.activeElement.matches('.panel > .card')")

    def test_numbers(self) -> None:
        """What is no number is not taken for nothing; it is said at the field, and nothing is done."""
        self.http.post("orders", "a", "b")
        console = self.in_queue()
        console.click("Post")
        console.fill("Body", "1")
        console.fill("Lifetime", "1e")
        console.click("Post")
        console.refuses("Lifetime", "This is not a number; write one such as 60, or nothing.")
        console.fill("Lifetime", "600")
        console.counts(".refused", 0)
        console.click("Post")
        console.closed()
        self.assertEqual(self.http("GET", "/v2/queues/orders/messages?echo=true").json["messages"][2]["ttl"], 600)
        console.click("Claim")
        console.fill("Lifetime", "-")
        console.click("Claim", "dialog button")
        console.refuses("Lifetime", "This is not a number")
        console.fill("Lifetime", "")
        console.fill("Most messages", "")
        console.click("Claim", "dialog button")
        console.refuses("Most messages", "A number is missing, such as 1.")
        console.fill("Most messages", "1")
        console.click("Claim", "dialog button")
        console.closed()
        self.assertEqual(self.http("GET", "/v2/queues/orders/stats").json["messages"]["claimed"], 1)
        console.click("Renew")
        console.fill("Lifetime", "1e")
        console.click("Renew", "dialog button")
        console.refuses("Lifetime", "This is not a number")
        console.pressed("Escape", "Escape")
        console.closed()
        console.at("/queues/orders/subscriptions")
        console.click("Subscribe")
        console.fill("Subscriber", "mailto:a@b.example")
        console.fill("Lifetime", "+")
        console.click("Subscribe", "dialog button")
        console.refuses("Lifetime", "This is not a number")
        self.assertEqual(self.http("GET", "/v2/queues/orders/subscriptions").json["subscriptions"], [])

    def test_drafts(self) -> None:
        """What is typed is not lost by a slip: it is there again, or is asked about; "Cancel" drops it."""
        console = self.in_queue()
        console.click("Post")
        console.beside()
        console.closed()
        console.click("Post")
        console.fill("Body", '{"a": 1}')
        console.beside()
        self.assertEqual(console.value("Body"), '{"a": 1}')
        console.pressed("Escape")
        console.closed()
        self.assertTrue(console.asks_to_stay())
        console.click("Post")
        console.sees("was not sent", "dialog")
        self.assertEqual(console.value("Body"), '{"a": 1}')
        console.click("Cancel")
        console.closed()
        self.assertFalse(console.asks_to_stay())
        console.click("Post")
        self.assertEqual(console.value("Body"), "")
        console.fill("Body", '{"b": 2}')
        console.pressed("Escape")
        console.at("/queues/other/messages")
        console.sees("other", "h1")
        console.click("Post")
        self.assertEqual(console.value("Body"), "")
        console.pressed("Escape")
        console.at("/queues/orders/messages")
        console.sees("orders", "h1")
        console.click("Post")
        console.click("Post", "dialog button")
        console.closed()
        self.assertEqual(self.bodies("orders"), [{"b": 2}])
        console.click("Post")
        self.assertEqual(console.value("Body"), "")
        console.pressed("Escape")
        console.closed()
        self.http("POST", "/v2/queues/orders/subscriptions", {"subscriber": "mailto:a@b.example", "ttl": 600})
        console.at("/queues/orders/subscriptions")
        console.click("Edit mailto:a@b.example")
        console.fill("Options", '{"subject": "x"}')
        console.pressed("Escape")
        console.sees("would be lost", "dialog [role=alert]")
        self.assertEqual(console.value("Options"), '{"subject": "x"}')
        console.pressed("Escape")
        console.closed()

    def test_back(self) -> None:
        """A dialog does not outlast its queue: who goes back is not asked about the other one."""
        self.http.post("orders", "a")
        self.http.post("other", "b")
        console = self.in_queue()
        console.at("/queues/other/messages")
        console.sees("other", "h1")
        console.click("Purge")
        console.sees("Purge other?", "dialog")
        console.page.evaluate("history.back()")
        console.sees("orders", "h1")
        console.closed()
        self.assertEqual(self.bodies("other"), ["b"])

    def test_arrivals(self) -> None:
        """The first page follows what comes, but not while somebody reads it."""
        self.http.post("orders", "a")
        console = self.in_queue()
        console.counts(".messages tbody tr:not(.more)", 1)
        self.http.post("orders", "b")
        console.counts(".messages tbody tr:not(.more)", 2)
        console.click('"a"')
        self.http.post("orders", "c")
        console.sees("3", ".vitals")
        console.counts(".messages tbody tr:not(.more)", 2)
        console.click("Refresh")
        console.counts(".messages tbody tr:not(.more)", 3)

    def test_as_posted(self) -> None:
        """Bodies and options are shown, followed, copied and edited with all their members, in the order of their sender."""
        odd = '{"b":1,"10":2,"9":{"x":[]},"a":1.50,"a":2}'
        spaced = '{\n  "b": 1,\n  "10": 2,\n  "9": {\n    "x": []\n  },\n  "a": 1.50,\n  "a": 2\n}'
        message = f'{{"messages": [{{"body": {odd}}}]}}'.encode()
        console = self.in_queue()
        console.page.command("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
        self.http("POST", "/v2/queues/orders/messages", message)
        console.click(odd)
        console.sees(spaced, "pre.json")
        console.click("Copy body")
        console.sees("The body was copied.", "#toasts")
        self.assertEqual(console.page.evaluate("navigator.clipboard.readText()"), spaced)
        console.click("Live")
        console.sees("Live", ".toolbar")
        self.http("POST", "/v2/queues/orders/messages", message)
        console.sees(odd, ".tail")
        console.click("Subscriptions")
        console.click("Subscribe")
        console.fill("Subscriber", "mailto:a@b.example")
        console.fill("Options", odd)
        console.click("Subscribe", "dialog button")
        console.closed()
        stored = self.http("GET", "/v2/queues/orders/subscriptions").body.decode()
        console.click("Edit mailto:a@b.example")
        self.assertIn("".join(console.value("Options").split()), "".join(stored.split()))

    def test_odd_bodies(self) -> None:
        """Bodies that are very deep, very long or of very many parts are shown as far as that makes sense."""
        for body in (b"[" * 190 + b"]" * 190, b'"%b"' % (b"x" * 200_000), b"[%b0]" % (b"0," * 20_000), b'{"": [{}, [], null, true]}'):
            posted = self.http("POST", "/v2/queues/orders/messages", b'{"messages": [{"body": %b}]}' % body)
            self.assertEqual(posted.status, 201, str(posted))
        console = self.in_queue()
        console.counts(".messages tbody tr:not(.more)", 4)
        for number in range(4):
            console.page.evaluate(f"document.querySelectorAll('button.body')[{number}].click()")
        console.counts("pre.json", 4)
        lengths = console.page.evaluate("[...document.querySelectorAll('pre.json')].map(one => one.textContent.length)")
        self.assertGreater(min(lengths[:3]), 379)
        console.sees('"": [\n    {},\n    [],\n    null,\n    true\n  ]', "pre.json")

    def test_purge(self) -> None:
        """What is purged is chosen and confirmed."""
        self.http.post("orders", "a", "b")
        self.http("POST", "/v2/queues/orders/subscriptions", {"subscriber": "mailto:a@b.example", "ttl": 600})
        console = self.in_queue()
        console.sees("2", ".vitals")
        console.click("Purge")
        console.sees("The queue has 2 messages", "dialog")
        console.click("Messages", "dialog label")
        console.click("Purge", "dialog button")
        console.sees("Nothing is chosen.", "dialog [role=alert]")
        console.click("Subscriptions", "dialog label")
        console.click("Purge", "dialog button")
        console.closed()
        self.assertEqual(self.http("GET", "/v2/queues/orders/subscriptions").json["subscriptions"], [])
        self.assertEqual(self.bodies("orders"), ["a", "b"])
        console.click("Purge")
        console.click("Purge", "dialog button")
        console.closed()
        self.assertEqual(self.bodies("orders"), [])
        console.sees("nothing to show")

    def test_delete_queue(self) -> None:
        """A queue that is not empty is deleted by who types its name, an empty one by who says so."""
        self.http.post("orders", "a")
        console = self.in_queue()
        console.click("Delete")
        console.sees("1 message will be gone", "dialog")
        self.assertFalse(console.can_click("Delete queue"))
        console.fill("Type orders to confirm", "order")
        console.pressed("Enter")
        self.assertFalse(console.can_click("Delete queue"))
        self.assertEqual(self.bodies("orders"), ["a"])
        console.fill("Type orders to confirm", "orders")
        console.click("Delete queue")
        console.sees("no queues in this project", "main")
        self.http("PUT", "/v2/queues/empty")
        console.at("/queues/empty")
        console.click("Delete")
        console.sees("The queue is empty.", "dialog")
        console.click("Delete queue")
        console.sees("Queues", "h1")
        self.assertEqual(self.http("GET", "/v2/queues").json["queues"], [])

    def test_claims(self) -> None:
        """Messages are claimed, done, kept for longer and given back; claims of others are found by their messages."""
        console = self.in_queue("claims")
        console.sees("No claim is known.")
        console.click("Claim")
        console.click("Claim", "dialog button")
        console.sees("There is no free message to claim.", "dialog [role=alert]")
        self.http.post("orders", "a", "b", "c")
        console.fill("Most messages", "2")
        console.fill("Lifetime", "5")
        console.click("Claim", "dialog button")
        console.sees("ttl", "dialog [role=alert]")
        console.fill("Lifetime", "120")
        console.click("Claim", "dialog button")
        console.closed()
        console.counts(".claim li", 2)
        console.sees("2 messages · ends in", ".claim")
        other = self.http("POST", "/v2/queues/orders/claims?limit=1", {"ttl": 600, "grace": 60}).headers["Location"]
        console.click("Refresh")
        console.counts(".claim", 2)
        console.sees(other.rpartition("/")[2], ".claim h2")
        console.page.evaluate("document.querySelector('.claim li button').focus()")
        console.pressed("Enter")
        console.sees("Its work is done", "dialog")
        console.click("Delete message")
        console.closed()
        console.counts(".claim li", 2)
        self.assertEqual(self.bodies("orders"), ["b", "c"])
        console.click("Renew")
        console.fill("Lifetime", "1")
        console.click("Renew", "dialog button")
        console.sees("ttl", "dialog [role=alert]")
        console.fill("Lifetime", "1000")
        console.click("Renew", "dialog button")
        console.closed()
        console.sees("ends in 16 min", ".claim")
        console.click("Release")
        console.click("Release", "dialog button")
        console.counts(".claim", 1)
        console.fill("Id of a claim", "none<b>")
        console.click("Open")
        console.sees("claim", ".panel > [role=alert]")

    def test_metadata(self) -> None:
        """Values are changed, added and removed, as the gateway lets them be; keys may have any characters."""
        self.http("PUT", "/v2/queues/orders", {"a/b~c": [1.0], "old": True})
        console = self.in_queue("metadata")
        self.assertFalse(console.can_click("Save"))
        console.fill("_default_message_ttl", "7")
        console.click("Save 1 change")
        console.sees("_default_message_ttl", ".panel > [role=alert]")
        console.fill("_default_message_ttl", "blue")
        console.click("Save 1 change")
        console.sees("_default_message_ttl: This is not JSON", ".panel > [role=alert]")
        console.fill("_default_message_ttl", "700")
        console.fill("a/b~c", '{"n": 1234567890123456789}')
        console.click("Add a key")
        console.click("Add")
        console.sees("Key is missing.", "dialog")
        console.fill("Key", "old")
        console.click("Add")
        console.sees("old is there already.", "dialog")
        console.fill("Key", "team")
        console.click("Add")
        console.closed()
        console.fill("team", '"blue"')
        console.click("Save 3 changes")
        console.sees("The metadata were saved.", "#toasts")
        found = self.metadata("orders")
        self.assertEqual((found["_default_message_ttl"], found["team"], found["old"]), (700, "blue", True))
        self.assertEqual(found["a/b~c"], {"n": 1234567890123456789})
        console.click("Remove old")
        console.click("Default for _default_message_ttl")
        console.click("Save 2 changes")
        console.sees("Remove old?", "dialog h2")
        console.click("Save", "dialog button")
        console.closed()
        found = self.metadata("orders")
        self.assertEqual((found["_default_message_ttl"], "old" in found), (3600, False))
        console.click("Remove team")
        console.click("Undo")
        self.assertFalse(console.can_click("Save"))
        console.at("/queues/nowhere/metadata")
        console.sees("nowhere", "h1")
        console.fill("_max_claim_count", "3")
        console.click("Save 1 change")
        console.sees("A queue is made by a first message", "[role=alert]")
        console.click("Undo")
        console.misses("A queue is made by a first message")

    def test_metadata_not_read(self) -> None:
        """A gateway lost just after it saved: what was saved is told, and so is that the fields may be old."""
        self.http("PUT", "/v2/queues/orders", {})
        console = self.in_queue("metadata")
        console.fill("_default_message_ttl", "700")
        console.page.evaluate(
            """(() => {
              const really = window.fetch;
              window.fetch = async (url, options) => {
                const answer = await really(url, options);
                if (options.method === "PATCH") window.fetch = () => Promise.reject(new TypeError("offline"));
                return answer;
              };
            })()"""
        )
        console.click("Save 1 change")
        console.sees("The metadata were saved.", "#toasts")
        console.sees("The gateway cannot be reached.", ".panel > [role=alert]")
        self.assertEqual(self.metadata("orders")["_default_message_ttl"], 700)

    def test_unsaved_metadata(self) -> None:
        """What somebody is changing is kept until it is saved, and they are asked before they leave it."""
        self.http("PUT", "/v2/queues/orders", {"color": "red"})
        console = self.in_queue("metadata")
        console.fill("color", '"blue"')
        console.click("Post")
        console.fill("Body", "1")
        console.click("Post", "dialog button")
        console.closed()
        console.page.wait_for("document.querySelectorAll('.vitals dd')[2].textContent === '1'")
        console.click("Refresh")
        console.sees("Save or undo", "#toasts")
        self.assertEqual(console.value("color"), '"blue"')
        self.assertTrue(console.asks_to_stay())
        for leave in ("Live", "Queues"):
            console.click(leave)
            console.sees("1 change to the metadata of orders would be lost.", "dialog")
            console.click("Cancel")
            console.closed()
            self.assertEqual(console.value("color"), '"blue"')
            self.assertEqual(console.page.evaluate("location.hash"), "#/queues/orders/metadata")
        console.click("Sign out")
        console.sees("Sign out without saving?", "dialog h2")
        console.click("Cancel")
        console.click("Live")
        console.click("Leave")
        console.sees("Live", "[aria-selected=true]")
        self.assertFalse(console.asks_to_stay())
        self.assertEqual(self.metadata("orders")["color"], "red")
        console.click("Metadata")
        self.assertEqual(console.value("color"), '"red"')

    def test_subscriptions(self) -> None:
        """Subscribers are added, changed, suspended and removed; what was given up is told, and sent again."""
        console = self.in_queue("subscriptions")
        console.sees("Nobody is subscribed")
        console.click("Subscribe")
        console.fill("Subscriber", "gopher://x")
        console.click("Subscribe", "dialog button")
        console.sees("scheme", "dialog [role=alert]")
        console.fill("Subscriber", "mailto:a@b.example")
        console.fill("Options", "{")
        console.click("Subscribe", "dialog button")
        console.sees("This is not JSON", "dialog [role=alert]")
        console.fill("Options", '{"subject": "x"}')
        console.fill("Lifetime", "600")
        console.click("Subscribe", "dialog button")
        console.closed()
        console.sees('{"subject":"x"}', ".subscriptions")
        console.click("Edit mailto:a@b.example")
        console.fill("Subscriber", "mailto:c@d.example")
        console.click("Save")
        console.closed()
        console.sees("mailto:c@d.example", ".subscriptions")
        console.sees("not confirmed", ".subscriptions")
        console.click("Confirm mailto:c@d.example")
        console.misses("not confirmed", ".subscriptions")
        console.click("Suspend mailto:c@d.example")
        console.sees("not confirmed", ".subscriptions")
        console.click("Delete mailto:c@d.example")
        console.click("Delete subscription")
        console.sees("Nobody is subscribed")

    def test_given_up(self) -> None:
        """An administrator sees what could not be delivered and why; others are told that they may not."""
        self.http("POST", "/v2/queues/orders/subscriptions", {"subscriber": "mailto:a@b.example", "ttl": 600})
        self.http.post("orders", "a")
        deliveries = partial(self.http, "GET", "/v2/queues/orders/deliveries", headers={"X-ROLES": "admin"})
        until(lambda: len(deliveries().json["deliveries"]) == 1, SOON_S, "the delivery was not given up")
        console = self.in_queue("subscriptions")
        console.sees("Given-up deliveries:", ".panel")
        console.click("Sign out")
        console.sign_in(roles="admin")
        console.at("/queues/orders/subscriptions")
        console.sees("orders", "h1")
        console.sees("1 given up")
        console.sees("smtp_host is not set", ".given-up")
        console.click("Send again to mailto:a@b.example")
        console.sees("1 delivery will be sent again.", "#toasts")

    def test_many_given_up(self) -> None:
        """All that were given up are sent again, also where there are more than are shown."""
        answers = [400]
        receiver = Receiver(lambda hook: answers[0])
        self.addCleanup(receiver.close)
        self.http("POST", "/v2/queues/orders/subscriptions", {"subscriber": receiver.url, "ttl": 3600})
        for start in range(0, 120, 20):
            self.http.post("orders", *range(start, start + 20))
        overview = partial(self.http, "GET", "/v2/deliveries", headers={"X-ROLES": "admin"})
        until(lambda: [one["count"] for one in overview().json["deliveries"]] == [120], SOON_S, "the deliveries were not given up")
        console = self.console
        console.sign_in(roles="admin")
        console.at("/queues/orders/subscriptions")
        console.sees("These are the first 100.", ".sub")
        console.sees("100 or more given up", ".subscriptions")
        answers[0] = 200
        console.click("Send all again")
        console.sees("120 deliveries will be sent again.", "#toasts")
        receiver.reach(lambda hooks: len(hooks) == 240, SOON_S)


class StrictTests(ConsoleCase):
    """A gateway that lets few messages be named in a request, and wants their claims named as well."""

    settings = {"TRANSPORT_MAX_MESSAGES_PER_PAGE": "7", "TRANSPORT_MESSAGE_DELETE_WITH_CLAIM_ID": "true"}

    def test_delete(self) -> None:
        """Those that are chosen are deleted, claimed or not, and what is said of claims is so."""
        self.http.post("orders", *range(22))
        for _ in range(2):
            self.http("POST", "/v2/queues/orders/claims?limit=1", {"ttl": 300, "grace": 60})
        console = self.console
        console.sign_in()
        console.at("/queues/orders/messages")
        console.counts(".messages tbody tr:not(.more)", 21)
        console.click("Choose all of this page", "input")
        console.click("Delete 21 messages")
        console.sees("2 of them are under a claim", "dialog")
        console.click("Delete 21 messages")
        console.closed()
        console.counts(".messages tbody tr:not(.more)", 1)
        self.assertEqual(self.http("GET", "/v2/queues/orders/stats").json["messages"]["total"], 1)

    def test_refused(self) -> None:
        """Where some cannot be deleted that is said; the others are."""
        self.http.post("orders", "a", "b")
        console = self.console
        console.sign_in()
        console.at("/queues/orders/messages")
        console.counts(".messages tbody tr:not(.more)", 2)
        console.click("Choose all of this page", "input")
        self.http("POST", "/v2/queues/orders/claims?limit=1", {"ttl": 300, "grace": 60})
        console.click("Delete 2 messages")
        console.click("Delete 2 messages", "dialog button")
        console.sees("1 message could not be deleted: ", "dialog [role=alert]")
        console.counts(".messages tbody tr:not(.more)", 1)
        console.sees("claimed", ".messages")


class DeadLetterTests(ConsoleCase):
    """Messages that were claimed too often."""

    def buried(self, *bodies: Any) -> None:
        """Have messages of ``work`` moved to ``dead``."""
        self.http("PUT", "/v2/queues/work", {"_max_claim_count": 1, "_dead_letter_queue": "dead"})
        self.http("PUT", "/v2/queues/dead")
        self.http.post("work", *bodies)
        claim = self.http("POST", "/v2/queues/work/claims?limit=20", {"ttl": 300, "grace": 60}).headers["Location"]
        self.http("DELETE", claim)
        self.assertEqual(self.http("POST", "/v2/queues/work/claims?limit=20", {"ttl": 300, "grace": 60}).status, 204)

    def test_send_back(self) -> None:
        """They are shown with where they were and why they are here, and go back: those that are chosen, or the oldest."""
        self.buried("a", {"n": 1234567890123456789}, "<b>c</b>", "d")
        console = self.console
        console.sign_in()
        console.at("/queues/work/dead-letters")
        console.sees("There are no dead letters in this queue.")
        console.click("dead", ".note a")
        console.sees("dead", "h1")
        console.counts(".messages tbody tr:not(.more)", 4)
        console.sees("work", ".messages tbody td.mono")
        console.click('{"n":1234567890123456789}')
        console.sees('"n": 1234567890123456789', "pre.json")
        console.sees("claimed", ".facts")
        console.page.evaluate("document.querySelectorAll('tbody input')[2].click()")
        console.click("Send 1 message back")
        console.sees("their claims are counted from 0", "dialog")
        console.fill("Messages a second", "0")
        console.click("Send back")
        console.sees("rate", "dialog [role=alert]")
        console.fill("Messages a second", "1e")
        console.click("Send back")
        console.refuses("Messages a second", "This is not a number; write one such as 1, or nothing.")
        self.assertEqual(self.bodies("work"), [])
        console.fill("Messages a second", "")
        console.click("Send back")
        console.closed()
        console.sees("1 message sent back, 3 left.", "#toasts")
        self.assertEqual(self.bodies("work"), ["<b>c</b>"])
        console.counts(".messages tbody tr:not(.more)", 3)
        console.click("Send back")
        console.fill("Most messages", "")
        console.click("Send back", "dialog button")
        console.refuses("Most messages", "A number is missing")
        console.fill("Most messages", "2")
        console.fill("To the queue", "no such name!")
        console.click("Send back")
        console.sees("name", "dialog [role=alert]")
        console.fill("To the queue", "elsewhere")
        console.click("Send back")
        console.closed()
        console.counts(".messages tbody tr:not(.more)", 1)
        self.assertEqual(self.bodies("elsewhere"), ["a", {"n": 1234567890123456789}])
        console.click("Send back")
        console.click("Send back", "dialog button")
        console.sees("There are no dead letters in this queue.")
        self.assertEqual(self.bodies("work"), ["<b>c</b>", "d"])

    def test_picture(self) -> None:
        """The picture of the documentation."""
        console = self.console
        console.sign_in()
        self.http("PUT", "/v2/queues/dead", {})
        console.at("/queues/dead/dead-letters")
        console.sees("There are no dead letters in this queue.")
        for start in range(0, 8, 4):
            readings = console.page.evaluate("document.querySelectorAll('.chart .bar').length")
            self.buried(*({"event": "order.created", "order": 31_000 + at, "total": 12.5 * at} for at in range(start, start + 4)))
            console.page.wait_for(f"document.querySelectorAll('.chart .bar').length > {readings} + 1")
        console.click("Refresh")
        console.counts(".messages tbody tr:not(.more)", 8)
        console.page.evaluate("document.querySelector('button.body').click()")
        console.page.evaluate("document.querySelectorAll('tbody input').forEach((one, at) => at < 2 && one.click())")
        keep(console.page, "dead-letters-light.png")

    def test_pages(self) -> None:
        """Many come page by page."""
        for start in range(0, 40, 20):
            self.buried(*range(start, start + 20))
        console = self.console
        console.sign_in()
        console.at("/queues/dead/dead-letters")
        console.counts(".messages tbody tr:not(.more)", 20)
        console.click("Next")
        console.sees("20", ".messages .text")
        console.click("Previous")
        console.sees("0", ".messages .text")


class LiveTests(ConsoleCase):
    """What is posted, as it is posted."""

    def test_tail(self) -> None:
        """Messages are shown as they come, can be held, looked for and opened."""
        console = self.console
        console.sign_in()
        console.at("/queues/orders/live")
        console.sees("Live", ".toolbar")
        self.http.post("orders", {"n": 1}, {"n": 1234567890123456789})
        console.counts(".tail li", 2)
        console.sees("2 seen", ".toolbar")
        console.click('{"n":1234567890123456789}')
        console.sees('"n": 1234567890123456789', ".tail pre")
        console.click("Pause")
        self.http.post("orders", "held")
        console.click("Go on (1)")
        console.counts(".tail li", 3)
        console.fill("Show only messages", "held")
        console.page.wait_for("[...document.querySelectorAll('.tail li')].filter(one => !one.hidden).length === 1")
        console.click("Clear")
        console.counts(".tail li", 0)

    def test_many(self) -> None:
        """However many come, the page keeps the last ones and stays quick."""
        console = self.console
        console.sign_in()
        console.at("/queues/orders/live")
        console.sees("Live", ".toolbar")
        for start in range(0, 3000, 100):
            self.http.post("orders", *range(start, start + 100))
        console.sees("3,000 seen", ".toolbar")
        console.counts(".tail li", 500)
        console.sees("2999", ".tail li:first-child")

    def test_again(self) -> None:
        """After the gateway was away the tail goes on by itself, and says where something may be missing."""
        console = self.console
        console.sign_in()
        console.at("/queues/orders/live")
        console.sees("Live", ".toolbar")
        self.http.post("orders", "before")
        console.counts(".tail li", 1)
        self.http.close()
        self.gateway.stop()
        console.sees("trying again", ".toolbar")
        before = len(console.page.requests)
        readings = "the counts were not asked for"
        until(lambda: console.page.evaluate("true") and self.count_readings(before) >= 3, SOON_S, readings)
        self.gateway = self.made()
        console.sees("Live", ".toolbar")
        # The counts, which wait longer and longer, 16 seconds by now, are woken by it.
        console.page.wait_for("document.querySelector('#bar .state').textContent === 'Live'", 10)
        self.client().post("orders", "after")
        console.sees('"after"', ".tail")
        console.counts(".tail .gap", 1)

    def count_readings(self, since: int) -> int:
        """How often the counts of the queue were asked for."""
        return sum(url.endswith("/stats") for url in self.console.page.requests[since:])


class ResumeTests(ConsoleCase):
    """The tail on a gateway that is killed, with another one on the same Redis beside it."""

    def made(self) -> Gateway:
        """The gateway of the console."""
        self.redis = RedisProcess()
        self.addCleanup(self.redis.stop)
        self.other = Gateway(storage=self.redis.unix)
        self.addCleanup(self.other.kill)
        return self.beside()

    def beside(self) -> Gateway:
        """Another one on the same Redis, at the place of the console's."""
        gateway = Gateway(storage=self.redis.unix, listen=self.place)
        self.addCleanup(gateway.kill)
        return gateway

    def test_resumes(self) -> None:
        """What is posted meanwhile is shown once and in order, and what was deleted meanwhile is a gap where it was."""
        console = self.console
        console.sign_in()
        console.at("/queues/orders/live")
        console.sees("Live", ".toolbar")
        with closing(Http(self.other.http, PROJECT)) as http:
            http.post("orders", "m0", "m1")
            console.counts(".tail li", 2)
            self.kill()
            http.post("orders", *(f"m{number}" for number in range(2, 60)))
            gone = http.post("orders", "deleted").json["resources"]
            http.post("orders", "m60", "m61")
            self.assertEqual(http("DELETE", gone[0]).status, 204)
            self.restart()
            console.counts(".tail li", 63)
            self.assertEqual(self.shown(), ["m0", "m1", "gap", *(f"m{number}" for number in range(2, 62))])
            # Where nothing came behind it, a gap is told again to whoever comes again; it is shown once.
            for _ in range(2):
                self.kill()
                gone = http.post("orders", "deleted").json["resources"]
                self.assertEqual(http("DELETE", gone[0]).status, 204)
                self.restart()
                console.counts(".tail li", 64)
            http.post("orders", "last")
            console.counts(".tail li", 65)
            self.assertEqual(self.shown()[62:], ["m61", "gap", "last"])
            console.sees("63 seen", ".toolbar")

    def shown(self) -> list[str]:
        """The bodies of the tail, the oldest first, and where there is a gap."""
        lines = self.console.page.evaluate(
            "[...document.querySelectorAll('.tail li')].reverse().map(one =>"
            " one.matches('.gap') ? 'gap' : JSON.parse(one.querySelector('.text').textContent))"
        )
        return list(lines)

    def kill(self) -> None:
        """Kill the gateway of the console."""
        self.gateway.kill()
        self.console.sees("trying again", ".toolbar")

    def restart(self) -> None:
        """Start it again."""
        self.gateway = self.beside()
        self.console.sees("Live", ".toolbar")


class MarkupTests(ConsoleCase):
    """What others have written is text, whatever it looks like."""

    EVIL = (
        "<script>hack()</script>",
        "<img src=x onerror=hack()>",
        "\"><svg onload=hack()>",
        "'-hack()-'",
        "</pre></td></table><iframe srcdoc='<script>parent.hack()</script>'></iframe>",
        "javascript:hack()",
        "{{constructor.constructor('hack()')()}}",
        "${hack()}",
        "<a href=javascript:hack() autofocus onfocus=hack()>x</a>",
        "a\u202egnp.exe\u200b\u0000",
    )

    def test_inert(self) -> None:
        """Bodies, keys, values, subscribers, options, roles and names of projects full of markup do nothing and are shown."""
        project = "<img src=x onerror=hack()>"
        http = self.client(project)
        metadata = {evil: evil for evil in self.EVIL} | {"_dead_letter_queue": "<b onclick=hack()>x", "_max_claim_count": 1}
        self.assertEqual(http("PUT", "/v2/queues/q", metadata).status, 201)
        for evil in self.EVIL:
            self.assertEqual(http.post("q", evil, {evil: [evil]}).status, 201)
        subscriber = {"subscriber": "http://127.0.0.1:9/<script>hack()</script>'\"", "ttl": 600, "options": {evil: evil for evil in self.EVIL}}
        self.assertEqual(http("POST", "/v2/queues/q/subscriptions", subscriber).status, 201)
        console = self.console
        console.sign_in(project, roles="admin")
        console.sees(project, "#bar")
        console.sees("<b onclick=hack()>x", ".tag")
        console.click("q")
        console.counts(".messages tbody tr:not(.more)", 20)
        console.page.evaluate("document.querySelectorAll('button.body').forEach(one => one.click())")
        console.counts("pre.json", 20)
        for evil in self.EVIL[:-1]:
            console.sees(json.dumps(evil, ensure_ascii=False), "pre.json")
        console.sees("a\\u202egnp.exe\\u200b\\u0000", "pre.json")
        self.check_inert()
        for tab in ("claims", "subscriptions", "dead-letters", "metadata", "live"):
            console.at(f"/queues/q/{tab}")
            console.counts(f"[data-tab={tab}][aria-selected=true]", 1)
            if tab == "claims":
                http("POST", "/v2/queues/q/claims?limit=20", {"ttl": 300, "grace": 60})
                console.click("Refresh")
                console.sees("onerror", ".claim")
                console.page.evaluate("document.querySelector('.claim li button').click()")
                console.pressed("Escape")
            elif tab == "subscriptions":
                console.sees("<script>hack()</script>", ".subscriptions")
                console.page.evaluate("[...document.querySelectorAll('.actions button')].find(b => b.textContent === 'Delete').click()")
                console.sees("<script>hack()</script>", "dialog")
                self.check_inert()
                console.pressed("Escape")
            elif tab == "metadata":
                console.sees("<img src=x onerror=hack()>", ".pair")
            elif tab == "live":
                console.sees("Live", ".toolbar")
                for evil in self.EVIL:
                    http.post("q", evil)
                console.counts(".tail li", len(self.EVIL))
                console.page.evaluate("document.querySelectorAll('.tail button.body').forEach(one => one.click())")
            self.check_inert()

    def test_addresses(self) -> None:
        """What stands in the address of the page is a name and nothing else."""
        console = self.console
        console.sign_in()
        for evil in (*self.EVIL[:-1], "..", "../pools", "a/b?c#d", "%", "constructor", "__proto__"):
            console.at(f"/queues/{quote(evil, safe='')}/<script>hack()</script>")
            console.page.wait_for("!!document.querySelector('h1')")
            console.at(f"/{quote(evil, safe='')}")
            console.sees("Queues", "h1")
            self.check_inert()
        console.page.evaluate("void (location.hash = '/queues/%E0%A4%A/messages')")
        console.page.wait_for("!!document.querySelector('h1')")
        self.check_inert()

    def check_inert(self) -> None:
        """There is no element that is not the console's own, and nothing ran."""
        page = self.console.page
        self.assertEqual(page.evaluate("window.__hacked"), [])
        self.assertEqual(page.evaluate("document.querySelectorAll('script:not([src=\"main.js\"]), iframe, b[onclick], svg[onload], object').length"), 0)
        self.assertEqual(page.evaluate("[...document.images].filter(one => one.getAttribute('src') !== 'icon.svg').length"), 0)
        self.assertEqual(
            page.evaluate("[...document.querySelectorAll('[href]')].filter(one => /script:|^[a-z]+:/i.test(one.getAttribute('href'))).length"),
            0,
        )


class UseTests(ConsoleCase):
    """Keyboard, phone, light and dark."""

    def filled(self) -> None:
        """A project in which something goes on."""
        for queue, number in (("mail-outbox", 8), ("orders", 23), ("orders-dead", 2), ("thumbnails", 140)):
            metadata = {"_dead_letter_queue": "orders-dead", "_max_claim_count": 3} if queue == "orders" else {}
            self.http("PUT", f"/v2/queues/{queue}", metadata)
            for at in range(number):
                body = {
                    "event": "order.created",
                    "order": 31_000 + at,
                    "total": 12.5 * at,
                    "customer": {"name": "Ada", "vip": not at % 3, "note": None},
                }
                self.http("POST", f"/v2/queues/{queue}/messages", {"messages": [{"ttl": 3600 + 60 * at, "body": body}]})
        self.http("POST", "/v2/queues/orders/claims?limit=3", {"ttl": 600, "grace": 60})
        for subscriber in ("https://hooks.example.org/orders", "mailto:ops@example.org"):
            self.http("POST", "/v2/queues/orders/subscriptions", {"subscriber": subscriber, "ttl": 86400})

    def test_keyboard(self) -> None:
        """Everything is done with keys alone: signing in, making a queue, posting, reading, deleting."""
        console, page = self.console, self.console.page
        page.wait_for("document.activeElement.name === 'project'")
        console.pressed(*"web")
        page.fill("document.querySelector('input[name=project]')", PROJECT)
        console.pressed("Enter")
        console.sees("no queues")
        console.pressed("n")
        page.wait_for("document.activeElement.matches('dialog input')")
        console.pressed(*"tasks", "Enter")
        console.sees("tasks", "h1")
        console.closed()
        console.pressed("p")
        page.wait_for("document.activeElement.matches('dialog textarea')")
        console.pressed(*"[1]")
        page.command("Input.dispatchKeyEvent", type="keyDown", key="Enter", windowsVirtualKeyCode=13, modifiers=2)
        console.closed()
        console.counts(".messages tbody tr:not(.more)", 1)
        console.pressed("j")
        page.wait_for("document.activeElement.matches('button.body')")
        console.pressed("Enter")
        console.sees("[\n  1\n]", "pre.json")
        console.pressed("x")
        console.sees("Delete 1 message")
        console.pressed("5")
        console.counts("[data-tab=dead-letters][aria-selected=true]", 1)
        page.evaluate("document.querySelector('[aria-selected=true]').focus()")
        console.pressed("ArrowRight")
        console.counts("[data-tab=metadata][aria-selected=true]", 1)
        console.pressed("ArrowRight")
        console.counts("[data-tab=messages][aria-selected=true]", 1)
        console.pressed("?")
        console.sees("Post a message", "dialog")
        console.pressed("Escape")
        console.closed()
        page.evaluate("[...document.querySelectorAll('.head button')].find(one => one.textContent === 'Delete').focus()")
        console.pressed("Enter")
        page.wait_for("document.activeElement.matches('dialog input')")
        console.pressed("Escape")
        console.closed()
        page.wait_for("document.activeElement.textContent === 'Delete'")
        console.pressed("Enter")
        page.wait_for("document.activeElement.matches('dialog input')")
        console.pressed(*"tasks", "Enter")
        console.sees("no queues")
        console.pressed("/")
        page.wait_for("document.activeElement.type === 'search'")
        console.pressed("n", "Escape")
        console.counts("dialog", 0)

    def test_keys_off(self) -> None:
        """Single keys can be switched off, all but the one that leads to the switch."""
        console = self.console
        console.sign_in()
        console.pressed("?")
        console.click("Single keys do something")
        console.pressed("Escape")
        console.closed()
        console.pressed("n")
        console.counts("dialog", 0)
        console.pressed("?")
        console.counts("dialog", 1)

    def test_reach(self) -> None:
        """Tab leads to everything that does something; it has a name, and shows that it has the focus."""
        self.filled()
        console, page = self.console, self.console.page
        console.sign_in(roles="admin")
        for path in ("/queues", "/queues/orders/messages", "/queues/orders/claims", "/queues/orders/subscriptions",
                     "/queues/orders/metadata", "/queues/orders/live", "/queues/orders/dead-letters"):
            console.at(path)
            page.wait_for("!!document.querySelector('main button')")
            console.pressed("r") if path != "/queues" else None
            page.wait_for("!document.querySelector('[aria-busy=true]')")
            page.evaluate(
                """void (window.__all = new Set([...document.querySelectorAll("a[href], button, input, select, textarea, summary")]
                .filter(one => one.checkVisibility() && !one.disabled && one.tabIndex >= 0 && !one.matches(".skip")))),
                document.activeElement.blur(), scrollTo(0, 0)"""
            )
            page.evaluate("document.querySelector('.skip').focus()")
            for _ in range(int(page.evaluate("window.__all.size")) + 40):
                console.pressed("Tab")
                page.evaluate(
                    """(() => {
                      const one = document.activeElement;
                      const named = one.getAttribute("aria-label") ?? [...(one.labels ?? [])].map(l => l.textContent).join("") + one.textContent;
                      if (!named.trim() && one !== document.body) window.__hacked.push("without a name: " + one.outerHTML);
                      if (one !== document.body && getComputedStyle(one).outlineStyle === "none") window.__hacked.push("unseen: " + one.outerHTML);
                      window.__all.delete(one);
                    })()"""
                )
                if not page.evaluate("[...window.__all].filter(one => one.isConnected).length"):
                    break
            levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4')].map(one => Number(one.tagName[1]))")
            self.assertTrue(levels[0] == 1 and all(next - one <= 1 for one, next in pairwise(levels)), (path, levels))
            missed = page.evaluate("[...window.__all].filter(one => one.isConnected).map(one => one.outerHTML)")
            self.assertEqual(missed, [], path)

    def test_phone(self) -> None:
        """On a screen of 320 pixels nothing is cut off, or so small that a finger misses it."""
        self.filled()
        console, page = self.console, self.console.page
        page.viewport(*NARROW, mobile=True)
        page.goto(f"{console.origin}/console/")
        console.sign_in(roles="admin")
        for path in ("/queues", *(f"/queues/orders/{tab}" for tab in ("messages", "claims", "subscriptions", "metadata", "live", "dead-letters"))):
            console.at(path)
            page.wait_for("document.querySelectorAll('main button').length > 1 && !document.querySelector('[aria-busy=true]')")
            self.check_fits(path)
        console.at("/queues/orders/messages")
        console.counts(".messages tbody tr:not(.more)", 20)
        page.evaluate("document.querySelector('button.body').click()")
        self.check_fits("details")
        for name in ("Post", "Claim", "Purge", "Delete"):
            console.click(name)
            page.wait_for("!!document.querySelector('dialog')")
            self.check_fits(name)
            box = page.evaluate("(({left, right, top, bottom}) => [left, right, top, bottom])(document.querySelector('dialog').getBoundingClientRect())")
            self.assertTrue(0 <= box[0] and box[1] <= NARROW[0] and 0 <= box[2] and box[3] <= NARROW[1], (name, box))
            console.click("Cancel")
            console.closed()

    def check_fits(self, what: str) -> None:
        """Nothing sticks out, and nothing is tiny, but for links within a text (WCAG 2.2, "Target Size (Minimum)")."""
        page = self.console.page
        self.assertEqual(page.evaluate("document.documentElement.scrollWidth"), NARROW[0], what)
        small = page.evaluate(
            """[...document.querySelectorAll("a:not(.skip, p a), button, input, select, summary")].filter(one => one.checkVisibility())
            .map(one => [one.outerHTML.slice(0, 120), (one.type === "checkbox" ? one.closest("label") ?? one : one).getBoundingClientRect()])
            .filter(([, box]) => Math.min(box.width, box.height) < 24).map(([text]) => text)"""
        )
        self.assertEqual(small, [], what)

    def test_contrast(self) -> None:
        """Every text can be told from what is behind it, light and dark."""
        self.filled()
        console, page = self.console, self.console.page
        console.sign_in(roles="admin")
        for scheme in ("light", "dark"):
            page.prefer(prefers_color_scheme=scheme, prefers_reduced_motion="reduce")
            for path in ("/queues", *(f"/queues/orders/{tab}" for tab in ("claims", "subscriptions", "metadata", "live", "messages"))):
                console.at(path)
                page.wait_for("document.querySelectorAll('main button').length > 1 && !document.querySelector('[aria-busy=true]')")
                if path.endswith("messages"):
                    console.counts(".messages tbody tr:not(.more)", 20)
                    page.evaluate("document.querySelector('button.body').click()")
                self.assertEqual(page.evaluate(_CONTRAST), [], f"{scheme} {path}")
            console.click("Delete", ".head button")
            page.wait_for("!!document.querySelector('dialog')")
            self.assertEqual(page.evaluate(_CONTRAST), [], f"{scheme} dialog")
            console.pressed("Escape")
            console.closed()

    def test_theme(self) -> None:
        """It is as light or dark as the system, until somebody chooses; that is remembered."""
        console, page = self.console, self.console.page
        console.sign_in()
        page_is = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(page_is)
        page.prefer(prefers_color_scheme="dark")
        dark = page.evaluate(page_is)
        self.assertNotEqual(light, dark)
        console.click("Theme: auto")
        console.click("Theme: light")
        console.click("Theme: dark")
        console.click("Theme: auto")
        self.assertEqual(page.evaluate(page_is), light)
        page.reload()
        console.sees("Queues", "h1")
        self.assertEqual(page.evaluate(page_is), light)

    def test_pictures(self) -> None:
        """The pictures of the documentation, as the browser shows it."""
        self.filled()
        console, page = self.console, self.console.page
        page.viewport(*WIDE)
        page.wait_for("!!document.querySelector('.sign-in form')")
        keep(page, "sign-in.png")
        console.sign_in("demo-web", roles="admin")
        console.click("Sign out")
        console.sign_in(roles="admin")
        console.at("/queues/orders/messages")
        for step in range(7):
            self.http.post("orders", *({"event": "order.paid", "order": 31_000 + at} for at in range(1 + step * 5 % 7)))
            if step % 3 == 1:
                self.http("POST", f"/v2/queues/orders/claims?limit={2 + step}", {"ttl": 600, "grace": 60})
            self.next_reading()
        console.at("/queues")
        for step in range(9):
            if step % 3:
                self.http.post("thumbnails", *range(1 + step * 7 % 11))
            else:
                self.http("DELETE", f"/v2/queues/thumbnails/messages?pop={12 + step}")
            self.http("DELETE", "/v2/queues/mail-outbox/messages?pop=1")
            self.next_reading()
        keep(page, "queues-light.png")
        page.prefer(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
        keep(page, "queues-dark.png")
        console.at("/queues/orders/messages")
        console.counts(".messages tbody tr:not(.more)", 20)
        page.evaluate("document.querySelectorAll('button.body')[4].click()")
        page.wait_for("document.querySelectorAll('.chart .line').length > 1")
        keep(page, "messages-dark.png")
        page.prefer(prefers_color_scheme="light", prefers_reduced_motion="reduce")
        keep(page, "messages-light.png")
        console.click("Delete", ".head button")
        page.wait_for("!!document.querySelector('dialog')")
        keep(page, "delete-light.png")
        console.pressed("Escape")
        console.at("/queues/orders/subscriptions")
        console.sees("hooks.example.org")
        keep(page, "subscriptions-light.png")
        console.at("/queues/orders/live")
        console.sees("Live", ".toolbar")
        for number in range(12):
            self.http.post("orders", {"event": "order.paid", "order": 31_023 + number, "by": "card"})
        console.counts(".tail li", 12)
        page.evaluate("document.querySelectorAll('.tail button.body')[1].click()")
        keep(page, "live-light.png")
        page.viewport(*PHONE, scale=2, mobile=True)
        console.at("/queues")
        console.sees("thumbnails", "tbody")
        keep(page, "phone-queues-light.png")
        console.at("/queues/orders/messages")
        console.counts(".messages tbody tr:not(.more)", 20)
        page.prefer(prefers_color_scheme="dark", prefers_reduced_motion="reduce")
        keep(page, "phone-queue-dark.png")

    def next_reading(self) -> None:
        """Wait until the charts have one more value."""
        bars = "document.querySelectorAll('.chart')[1]?.querySelectorAll('.bar').length"
        seen = self.console.page.evaluate(f"{bars} ?? 0")
        self.console.page.wait_for(f"{bars} > {seen}")


class PoolTests(ConsoleCase):
    """Pools and flavors, on a gateway that has them."""

    settings = {"ADMIN_MODE": "true", "POOLING": "true"}

    def test_administration(self) -> None:
        """An administrator makes, changes and deletes pools and flavors; what the gateway refuses is said in its words."""
        redis = RedisProcess()
        self.addCleanup(redis.stop)
        console = self.console
        console.sign_in(roles="admin")
        console.click("Pools")
        console.sees("There are no pools.")
        console.click("New pool")
        console.click("Create")
        console.sees("Name is missing.", "dialog")
        console.fill("Name", "fast <b>")
        console.fill("URI", "nonsense")
        console.click("Create")
        console.sees("uri", "dialog [role=alert]")
        console.fill("URI", redis.tcp)
        console.fill("Weight", "-1")
        console.click("Create")
        console.sees("weight", "dialog [role=alert]")
        console.fill("Weight", "20")
        console.click("Create")
        console.closed()
        console.sees("fast <b>", "tbody")
        console.misses(quote(redis.password, safe=""))
        console.click("Edit fast <b>")
        console.fill("Weight", "70")
        console.click("Save")
        console.closed()
        console.sees("70", "tbody")
        console.click("Flavors")
        console.sees("There are no flavors.")
        console.click("New flavor")
        console.fill("Name", "gold")
        console.fill("Pools", "none")
        console.click("Create")
        console.sees("Pool none does not exist", "dialog [role=alert]")
        console.fill("Pools", "fast <b>")
        console.click("Create")
        console.closed()
        console.sees("CLAIMS", "tbody")
        console.click("Pools")
        console.click("Delete fast <b>")
        console.fill("Type fast <b> to confirm", "fast <b>")
        console.click("Delete pool")
        console.sees("flavor", "dialog [role=alert]")
        console.click("Cancel")
        console.click("Flavors")
        console.click("Delete gold")
        console.fill("Type gold to confirm", "gold")
        console.click("Delete flavor")
        console.sees("There are no flavors.")

    def test_others(self) -> None:
        """Who is no administrator is told so by the gateway."""
        console = self.console
        console.sign_in()
        console.click("Pools")
        console.page.wait_for("!!document.querySelector('main > [role=alert]:not([hidden])')")
        console.sees("403", "#bar")


class KeystoneTests(ConsoleCase):
    """A gateway that asks Keystone for whoever signs in."""

    def made(self) -> Gateway:
        self.server = shared_keystone()
        gateway = gateway_at(self.server, LOG_LEVEL="debug", KEYSTONE_AUTHTOKEN_TOKEN_CACHE_TIME="1")
        self.addCleanup(gateway.kill)
        return gateway

    def test_password(self) -> None:
        """Who has a password gets a token for one project, uses everything with it, and is forgotten when they leave."""
        console, ann = self.console, self.server.ann
        console.sees("Password")
        console.click("Sign in")
        console.sees("User is missing.", "[role=alert]")
        console.fill("User", ann.name)
        console.fill("Password", "wrong <b>")
        console.fill("Project", "alpha")
        console.click("Sign in")
        console.sees("user, password, domain and project have to belong together", "[role=alert]")
        console.fill("Password", ann.password)
        console.click("Domains")
        console.fill("Domain of the user", "nowhere")
        console.click("Sign in")
        console.sees("have to belong together", "[role=alert]")
        console.fill("Domain of the user", "Default")
        console.click("Sign in")
        console.sees("no queues")
        console.sees("ann · alpha", "#bar")
        console.sees("ends in", "#bar")
        console.at("/queues/orders/live")
        console.sees("Live", ".toolbar")
        console.click("Post")
        console.fill("Body", '{"by": "ann"}')
        console.click("Post", "dialog button")
        console.sees('{"by":"ann"}', ".tail")
        session = console.page.evaluate("JSON.stringify({...sessionStorage})")
        self.assertNotIn(ann.password, session)
        token = json.loads(json.loads(session)["zaqar-gateway:session"])["token"]
        self.assertNotIn(token, console.page.evaluate("JSON.stringify({...localStorage}) + document.documentElement.outerHTML + location.href"))
        console.page.reload()
        console.sees("ann · alpha", "#bar")
        console.click("Sign out")
        console.sees("Password")
        self.assertEqual(console.page.evaluate("sessionStorage.length"), 0)
        for secret in (ann.password, "wrong <b>", token):
            self.assertNotIn(secret, self.gateway.output)

    def test_token(self) -> None:
        """A token will do, as long as it is good for a project; when it ends so does the session."""
        console = self.console
        console.click("Token")
        console.fill("Token", "nonsense")
        console.click("Sign in")
        console.sees("is not valid", "[role=alert]")
        console.fill("Token", self.server.token(self.server.ann))
        console.click("Sign in")
        console.sees("good for no project", "[role=alert]")
        token = self.server.token(self.server.ann, "beta", lifetime_s=LIFETIME_S)
        console.fill("Token", token)
        console.click("Sign in")
        console.sees(self.server.projects["beta"], "#bar")
        console.at("/queues/orders/messages")
        console.click("Post")
        console.fill("Body", '{"long": 1}')
        # One page that the gateway does not answer any more knows by its clock; one without a clock, in front, hears of it.
        by_clock, by_gateway = self.opened(), self.opened()
        by_gateway.page.evaluate("void (window.setInterval = () => 0)")
        for each in (by_clock, by_gateway):
            each.click("Token")
            each.fill("Token", token)
            each.click("Sign in")
            each.sees(self.server.projects["beta"], "#bar")
        by_clock.page.evaluate(
            """(() => {
              const really = window.fetch;
              window.fetch = (url, options) => (String(url).includes("/queues") ? new Promise(() => {}) : really(url, options));
            })()"""
        )
        for each in (by_clock, by_gateway, console):
            each.sees("Your token has ended", ".sign-in")
        console.page.command("Page.bringToFront")
        # What was typed is there for who comes back, and for nobody else.
        console.sees("What you have typed is kept", ".sign-in")
        for project, body in (("beta", '{"long": 1}'), ("alpha", "")):
            token = self.enter(project)
            console.sees("orders", "h1")
            console.click("Post")
            self.assertEqual(console.value("Body"), body)
            self.server.revoke(token)
            console.sees("Token", ".sign-in")

    def enter(self, project: str) -> str:
        """Sign in with a token, and return it."""
        token = self.server.token(self.server.ann, project)
        self.console.click("Token")
        self.console.fill("Token", token)
        self.console.click("Sign in")
        self.console.sees("ends in", "#bar")
        return token

    def test_metadata_kept(self) -> None:
        """What somebody was changing when their token ended is there when they are back."""
        console = self.console
        token = self.enter("alpha")
        console.at("/queues/orders/metadata")
        console.fill("_max_claim_count", "3")
        console.click("Default for _default_message_ttl")
        console.click("Add a key")
        console.fill("Key", "team")
        console.click("Add")
        console.closed()
        console.fill("team", '"blue"')
        self.server.revoke(token)
        console.sees("What you have typed is kept", ".sign-in")
        self.enter("alpha")
        console.sees("Save 3 changes", ".toolbar")
        self.assertEqual((console.value("_max_claim_count"), console.value("team")), ("3", '"blue"'))
        console.click("Undo")
        self.assertFalse(console.can_click("Save"))
        self.assertFalse(console.asks_to_stay())

    def test_keystone_away(self) -> None:
        """While Keystone is away a page that is loaded again keeps its token, and goes on; a token that was revoked is forgotten."""
        console = self.console
        token = self.enter("beta")
        console.at("/queues/orders/messages")
        console.sees("orders", "h1")
        self.addCleanup(self.server.start)
        self.server.stop()
        console.sees("Error 503", "#bar")
        console.page.reload()
        console.sees("You are still signed in", "main")
        console.click("Try again")
        self.assertIn(token, console.page.evaluate("sessionStorage.getItem('zaqar-gateway:session')"))
        self.server.start()
        console.sees("orders", "h1")
        console.sees("ends in", "#bar")
        self.server.revoke(token)
        console.sees("Token", ".sign-in")
        self.assertEqual(console.page.evaluate("sessionStorage.length"), 0)
