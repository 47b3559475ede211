"""The JavaScript client in Chromium and in Node, against gateways that are killed and over a network that fails."""

from __future__ import annotations

import gzip
import json
import re
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from typing import Any
from unittest import SkipTest
from urllib.parse import urlsplit

from tests.clients.test_javascript import CLIENT
from tests.programs import program
from tests.system.browser import Page, Pages, start_browser
from tests.system.gateway import Answer, Gateway, Http, environment, new_directory
from tests.system.proxy import Proxy
from tests.system.test_launch import LaunchTestCase

PROJECT = "web"
QUEUE = "numbers"
RUN_S = 300.0

_PAGE = """<!doctype html><title>Numbers</title><ol></ol><script type="module">
import {Zaqar} from "%(gateway)s/js/zaqar.js";
const options = {url: "%(gateway)s", project: "web", backoff: {initial: 200, max: 1000}, connectTimeout: 3000, timeout: 5000};
const list = document.querySelector("ol");
window.states = [];
const reader = new Zaqar({...options, ...%(options)s, onStatus: ({state, transport}) => states.push(`${state} ${transport}`)});
const follow = async subscription => {
  for await (const message of subscription) {
    list.append(Object.assign(document.createElement("li"), {textContent: message.body}));
    message.ack();
  }
};
const numbers = reader.subscribe("numbers", %(subscription)s);
follow(numbers);
window.count = () => list.children.length;
window.shown = () => Array.from(list.children, one => Number(one.textContent));
window.ready = numbers.ready;
window.writer = new Zaqar({...options, offlineQueue: 100000, encoding: "msgpack"});
// Whatever becomes of the network: so many messages each 20 ms, one call's after the other's. The last one may be held.
window.isHeld = false;
let end = 0;
let posting;
window.post = (from, to, together = 10) => {
  end = to;
  posting ??= setInterval(() => {
    const bodies = Array.from({length: Math.min(together, end - from - isHeld)}, () => ({body: from++}));
    if (bodies.length) writer.post("numbers", bodies);
    if (from === end) posting = clearInterval(posting);
  }, 20);
};
</script>"""


class JavaScriptTestCase(LaunchTestCase):
    """A gateway behind a network that can fail."""

    def start(self, **settings: str) -> None:
        """Start the gateway, on a store of its own, and the network before it."""
        self.settings = settings
        self.served = self.gateway(settings=settings)
        self.proxy = Proxy(self._place())
        self.addCleanup(self.proxy.close)
        self.url = f"http://127.0.0.1:{self.proxy.port}"

    def _place(self) -> tuple[str, int]:
        parts = urlsplit(self.served.http)
        assert parts.hostname and parts.port
        return parts.hostname, parts.port

    def restart(self) -> None:
        """Kill the gateway, and start another one, elsewhere, on the same store."""
        self.served.signal(signal.SIGKILL)
        self.served.end()
        self.served = self.watched(Gateway(data_dir=self.served.data_dir, settings=self.settings))
        self.proxy.target = self._place()

    def stored(self) -> list[Any]:
        """The bodies of the messages of the queue."""
        with closing(Http(self.served.http, PROJECT)) as http:
            return http.all_messages(QUEUE)


class ServedTests(LaunchTestCase):
    """The client as any gateway serves it."""

    def get(self, gateway: Gateway, path: str, **headers: str) -> Answer:
        """Ask for a file."""
        with closing(Http(gateway.http, PROJECT)) as http:
            return http("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def test_files(self) -> None:
        """Modules and types are served as they are, to pages of any origin, and once."""
        gateway = self.gateway(storage="memory:")
        for name, kind in (("zaqar.js", "text/javascript"), ("msgpack.js", "text/javascript"), ("zaqar.d.ts", "text/plain")):
            found = self.get(gateway, f"/js/{name}")
            self.assertEqual((found.status, found.body), (200, (CLIENT / "src" / name).read_bytes()))
            self.assertEqual(found.headers["Content-Type"], f"{kind}; charset=utf-8")
            self.assertEqual(found.headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(found.headers["Access-Control-Allow-Origin"], "*")
            self.assertEqual(self.get(gateway, f"/js/{name}", If_None_Match=found.headers["ETag"]).status, 304)
            packed = self.get(gateway, f"/js/{name}", Accept_Encoding="gzip")
            self.assertEqual(gzip.decompress(packed.body), found.body)

    def test_switched_off(self) -> None:
        """It need not be served."""
        gateway = self.gateway(storage="memory:", settings={"WEB_CLIENT": "false"})
        self.assertEqual(self.get(gateway, "/js/zaqar.js").status, 404)


class PageTests(JavaScriptTestCase):
    """A page of another origin, that imports the client from the gateway."""

    def open(self, blocked: Callable[[bytes], bool] = lambda piece: False, **options: Any) -> Page:
        """Open the page; kept once it is subscribed."""
        browser = start_browser(self)
        pages = Pages()
        self.addCleanup(pages.close)
        self.start(CORS_ALLOWED_ORIGIN=pages.origin())
        self.proxy.blocked = blocked
        values = {"gateway": self.url, "options": json.dumps(options), "subscription": json.dumps(self.subscription)}
        pages.files["/"] = "text/html", _PAGE % values
        page = browser.open(pages.origin())
        page.wait_for("window.ready")
        page.evaluate("ready")
        return page

    subscription: dict[str, Any] = {}

    def check_outages(self, count: int, together: int, *outages: Callable[[], None]) -> None:
        """Numbered messages are all shown once and in order, while the network is cut and the gateway killed."""
        page = self.page
        bounds = [count * part // len(outages) for part in range(len(outages) + 1)]
        for (first, end), outage in zip(pairwise(bounds), outages, strict=True):
            middle = (first + end) // 2
            page.evaluate(f"post({first}, {middle}, {together})")
            page.wait_for(f"count() > {(first + middle) // 2}", RUN_S)
            # However long it takes until the network fails, not all is over before.
            page.evaluate(f"isHeld = true; post({middle}, {end}, {together})")
            outage()
            self.assertLess(page.evaluate("count()"), end, "all was over before the network failed")
            page.evaluate("isHeld = false")
            page.wait_for(f"count() >= {end}", RUN_S)
        page.evaluate("writer.flush()")
        # What came twice would come now.
        page.evaluate(f"post({count}, {count + 1})")
        page.wait_for(f"count() > {count}")
        self.assertEqual(page.evaluate("shown()"), list(range(count + 1)))
        self.assertEqual(self.stored(), list(range(count + 1)))
        self.assertEqual(page.errors, [])

    def cut(self) -> None:
        """Cut the network for as long as a client tries once or twice."""
        self.proxy.cut()
        self.addCleanup(self.proxy.restore)
        self.page.wait_for("states.at(-1).startsWith('waiting')")
        self.proxy.restore()

    def test_outages(self) -> None:
        """10,000 messages, posted and shown over WebSockets."""
        self.page = self.open()
        self.check_outages(10_000, 20, self.proxy.drop, self.restart, self.cut, self.restart, self.cut)
        self.assertEqual(
            {state for state in self.page.evaluate("states") if state.startswith("open")}, {"open websocket"}
        )

    def test_durable(self) -> None:
        """The same with acknowledgements of a durable place."""
        self.subscription = {"durable": "page", "window": 50}
        self.page = self.open()
        self.check_outages(2_000, 5, self.restart, self.cut, self.restart)

    def test_sockets_blocked(self) -> None:
        """Where WebSockets do not come through, the page follows by server-sent events."""
        self.page = self.open(lambda piece: b"upgrade: websocket" in piece.lower())
        self.check_outages(500, 2, self.restart, self.cut, self.proxy.drop)
        self.assertEqual({state for state in self.page.evaluate("states") if state.startswith("open")}, {"open sse"})

    def test_events_blocked(self) -> None:
        """Where those do not either, it polls."""
        self.page = self.open(
            lambda piece: re.search(rb"(?i)upgrade: websocket|^GET /v2/[^ ]*/events", piece) is not None
        )
        self.check_outages(500, 2, self.restart, self.cut, self.proxy.drop)
        self.assertEqual(self.page.evaluate("states").pop(), "open poll")

    def test_sockets_come_back(self) -> None:
        """A page goes back to WebSockets when they come through again."""
        self.page = self.open(lambda piece: b"upgrade: websocket" in piece.lower(), upgradeAfter=1000)
        self.page.evaluate("post(0, 10)")
        self.page.wait_for("count() == 10")
        self.proxy.blocked = lambda piece: False
        self.page.wait_for("states.at(-1) === 'open websocket'")
        self.page.evaluate("post(10, 20)")
        self.page.wait_for("count() >= 20")
        self.assertEqual(self.page.evaluate("shown()"), list(range(20)))


_SCRIPT = """
import {Zaqar} from %(client)s;
const zaqar = new Zaqar({url: %(url)s, project: "web", transports: %(transports)s, backoff: {initial: 100, max: 500}});
const messages = zaqar.subscribe("numbers");
await messages.ready;
for (let number = 0; number < 200; number++) zaqar.post("numbers", number);
const shown = [];
for await (const {body} of messages) if (shown.push(body) === 200) break;
const tasks = zaqar.work("tasks", {window: 5});
await zaqar.post("tasks", [{body: "a"}, {body: "b"}, {body: "c"}]);
const done = [];
for await (const task of tasks) {
  done.push([task.body, await task.done()]);
  if (done.length === 3) break;
}
const listed = await zaqar.messageList("numbers", {echo: true, limit: 2});
const {message_ids: ids} = await zaqar.messagePost("one", {messages: [{body: 1}]});
const {messages: one} = await zaqar.messageGet("one", {message_id: ids[0]});
const missing = await zaqar.messageGet("one", {message_id: "nada"}).catch(({status}) => status);
const {messages: none} = await zaqar.messageGetMany("one", {message_ids: ["nada"]});
const claim = await zaqar.claimCreate("one", {ttl: 60, grace: 60});
const second = await zaqar.claimCreate("one", {ttl: 60, grace: 60});
await zaqar.messageDelete("one", {message_id: ids[0], claim_id: claim.claim_id});
await zaqar.queueCreate("made", {metadata: {color: "blue"}});
const {body: made} = await zaqar.request("GET", "/v2/queues/made");
const result = {
  shown, done, listed: listed.messages.map(({body}) => body), one: one.body, missing, none: none.length,
  claimed: claim.messages.length, second: second.messages.length, color: made.color,
  left: (await zaqar.queueGetStats("tasks")).messages.total,
};
await zaqar.close();
console.log(JSON.stringify(result));
"""


_WORKERS = """
import {Zaqar} from %(client)s;
const one = () => new Zaqar({url: %(url)s, project: "web", transports: ["websocket"], backoff: {initial: 100, max: 500}});
const [zaqar, other] = [one(), one()];
const bodies = ["a", "b", "c", "d"];
await zaqar.post("tasks", bodies.map(body => ({body})));
const tasks = zaqar.work("tasks", {ttl: 60, grace: 60, window: 2});
const next = async () => (await tasks.next()).value;
const told = {};
const [a, b] = [await next(), await next()];
told.held = [a, b].map(({body, claimId, claimCount}) => [body, typeof claimId, claimCount]);
// The window is full, so another worker gets the rest.
const theirs = other.work("tasks", {window: 2});
const [c, d] = [(await theirs.next()).value, (await theirs.next()).value];
told.others = [c.body, d.body];
told.refused = [await b.refuse(), await b.refuse()];
const again = await next();
told.again = again.body;
told.extended = await a.extend(600);
told.done = [await a.done(), await a.done(), await again.done()];
// A claim that ends behind the back of its worker.
await zaqar.request("DELETE", `/v2/queues/tasks/claims/${d.claimId}`);
const taken = await next();
told.lost = [taken.body, await d.done(), await taken.done()];
// What a worker has when it ends is somebody else's at once.
await other.close();
const left = await next();
told.left = [left.body, await left.done(), (await zaqar.queueGetStats("tasks")).messages.total];
told.wrong = [];
for (const options of [{ttl: 59}, {grace: -1}, {window: 0}, {window: 1001}]) {
  const refused = zaqar.work("wrong", options);
  await refused.ready.catch(({status, message}) => told.wrong.push([status, message]));
}
await zaqar.close();
console.log(JSON.stringify(told));
"""


class NodeTests(JavaScriptTestCase):
    """A script, whose process ends by itself when the client is closed."""

    def run_script(self, script: str, *options: str, **values: object) -> Any:
        """Run a script to its end.

        :return: what it printed.
        """
        node = program("node", "nodejs")
        self.start()
        values |= {"client": (CLIENT / "src/zaqar.js").as_uri(), "url": self.url}
        path = new_directory() / "script.mjs"
        path.write_text(script % {key: json.dumps(value) for key, value in values.items()})
        command = [node, *options, str(path)]
        told = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=RUN_S, check=False)
        self.assertEqual(told.returncode, 0, told.stderr)
        return json.loads(told.stdout)

    def sockets(self) -> list[str]:
        """The options with which Node has WebSockets, which are an experiment in version 20 and nothing before."""
        for options in [], ["--experimental-websocket"]:
            command = [program("node", "nodejs"), *options, "-p", "typeof WebSocket"]
            asked = subprocess.run(command, capture_output=True, text=True, check=False)
            if asked.stdout.strip() == "function":
                return options
        raise SkipTest(
            "there is no node in PATH that has WebSockets: the JavaScript client is not tested on them in it"
        )

    def check_way(self, transport: str, *options: str) -> None:
        """Do a bit of everything by one way alone, and see what came of it."""
        self.assertEqual(
            self.run_script(_SCRIPT, *options, transports=[transport]),
            {
                "shown": list(range(200)),
                "done": [["a", True], ["b", True], ["c", True]],
                "listed": [0, 1],
                "one": 1,
                "missing": 404,
                "none": 0,
                "claimed": 1,
                "second": 0,
                "color": "blue",
                "left": 0,
            },
        )

    def test_websocket(self) -> None:
        """By WebSocket: Node's own."""
        self.check_way("websocket", *self.sockets())

    def test_events(self) -> None:
        """By server-sent events, in any version."""
        self.check_way("sse")

    def test_polling(self) -> None:
        """By long polling."""
        self.check_way("poll")

    def test_workers(self) -> None:
        """Tasks over a socket are done, refused and kept; what another worker has, or has got meanwhile, is nobody else's."""
        told = self.run_script(_WORKERS, *self.sockets())
        wrong = told.pop("wrong")
        self.assertEqual(
            told,
            {
                "held": [["a", "string", None], ["b", "string", None]],
                "others": ["c", "d"],
                "refused": [True, False],
                "again": "b",
                "extended": True,
                "done": [True, False, True],
                "lost": ["d", False, True],
                "left": ["c", True, 0],
            },
        )
        for (status, text), field in zip(wrong, ["claim.ttl", "claim.grace", "window", "window"], strict=True):
            self.assertEqual(status, 400)
            self.assertIn(f"{field} is ", text)
            self.assertIn("it has to be from ", text)
