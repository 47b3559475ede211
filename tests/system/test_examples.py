"""The examples, run as a reader would run them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.parse import urlencode, urlsplit

from tests.programs import program
from tests.system.browser import Browser, Page, start_browser
from tests.system.gateway import (
    SECRET,
    START_S,
    Gateway,
    GatewayTestCase,
    Process,
    environment,
    new_directory,
    until,
)
from tests.system.proxy import Proxy
from zaqar_gateway.identity.signed_url import digest, signed_text

EXAMPLES = Path(__file__).parents[2] / "examples"
TIMEOUT_S = 120

NOBODY = "http://127.0.0.1:9"
"""Where no gateway is: the port of the protocol discard, which browsers do not even try."""


class ExamplesTestCase(GatewayTestCase):
    """What runs examples, each in a process of its own."""

    def start(self, name: str, *arguments: str, program: Sequence[str] = (sys.executable, "-u")) -> Process:
        """Start a script; it ends with the test."""
        process = Process([*program, str(EXAMPLES / name), *arguments], environment(), new_directory())
        self.addCleanup(process.kill)
        return process

    def finish(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a script to its end."""
        return subprocess.run(
            [sys.executable, str(EXAMPLES / name), *arguments],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    def check_fails(self, name: str, *arguments: str, says: str) -> None:
        """A script ends with status 1, and a line on what is wrong."""
        ended = self.finish(name, *arguments)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""), ended.stderr)
        self.assertRegex(ended.stderr, rf"\A{name}: .*{says}.*\n\Z")

    def produce(self, *texts: str) -> None:
        """Post tasks, and see that each has one result."""
        place = ["--project", self.project, "--url", self.gateway.websocket]
        ended = self.finish("producer.py", *place, *texts)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        self.assertEqual(sorted(ended.stdout.split()), sorted(text.upper() for text in texts))

    def python(self, seconds: float) -> Process:
        """A worker in Python."""
        place = ["--project", self.project, "--url", self.gateway.websocket]
        return self.start("worker.py", *place, "--seconds", str(seconds))

    def node(self, seconds: float, url: str = "") -> Process:
        """A worker in Node that has WebSockets."""
        node = program("node", "nodejs")
        for options in ([], ["--experimental-websocket"]):
            asked = subprocess.run([node, *options, "-p", "typeof WebSocket"], capture_output=True, check=False)
            if asked.stdout.strip() == b"function":
                place = ["--project", self.project, "--url", url or self.gateway.http]
                return self.start("worker.mjs", *place, "--seconds", str(seconds), program=(node, *options))
        raise SkipTest("there is no node in PATH that has WebSockets: the example of a worker in it is not tested")


class ProducerAndAgentTests(ExamplesTestCase):
    """A producer over WebSocket and a guest agent over HTTP."""

    def test_tasks_are_done(self) -> None:
        """Every task that the producer posts comes back done by the agent."""
        agent = self.start("agent.py", "--once", "--project", self.project, "--url", self.gateway.http)
        self.produce("hello", "wörld", "ab")
        self.assertEqual(agent.end(TIMEOUT_S), 0, agent.output)

    def test_no_gateway(self) -> None:
        """An agent without a gateway says so, tries again, and goes on when there is one."""
        agent = self.start("agent.py", "--url", NOBODY)
        agent.wait_for(f"(no gateway at {NOBODY}, trying again: .*){{2}}", TIMEOUT_S)
        self.assertTrue(agent.running)

    def test_no_task(self) -> None:
        """What is no task is dropped by whoever gets it, and the others are done."""
        http = self.http()
        for agent in ("agent.py", "worker.py", "worker.mjs"):
            for body in ("plain text", {"id": "1"}, {"text": "x"}, [1]):
                self.assertEqual(http.post("shout-tasks", body).status, 201)
            if agent == "agent.py":
                process = self.start(agent, "--project", self.project, "--url", self.gateway.http)
            elif agent == "worker.py":
                process = self.python(0)
            else:
                process = self.node(0)
            process.wait_for("(dropped, for it is no task.*){4}", TIMEOUT_S)
            self.produce("hello")
            # A task ends after its result has been posted.
            until(lambda: http.all_messages("shout-tasks") == [], TIMEOUT_S, "all tasks are done")
            process.kill()


class WorkerTests(ExamplesTestCase):
    """Workers to which tasks are pushed, one of which is killed in the middle of one."""

    def hand_over(self, kill: Callable[[float], Process], take_over: Callable[[float], Process]) -> None:
        """Have a worker begin the task, and start the other one then, so that it is known who has it."""
        killed = kill(600)
        http = self.http()
        self.assertEqual(http.post("shout-tasks", {"id": "1", "text": "mine"}).status, 201)
        killed.wait_for("^begun: mine$", TIMEOUT_S)
        other = take_over(0)
        # It works, and the task that is claimed is not given to it.
        self.produce("other")
        self.assertNotIn("mine", other.output)
        killed.signal(signal.SIGKILL)
        died = time.monotonic()
        other.wait_for("^begun: mine$.*^done: mine$", TIMEOUT_S)
        self.assertLess(time.monotonic() - died, 50, "the claim was not released: it has lapsed")
        self.assertEqual(killed.end(), -signal.SIGKILL)
        self.assertEqual(http.all_messages("shout-results"), [{"id": "1", "text": "MINE"}])
        self.assertEqual(http.all_messages("shout-tasks"), [])

    def test_python_killed(self) -> None:
        """A worker in Python is killed, and one in Node does its task."""
        self.hand_over(self.python, self.node)

    def test_node_killed(self) -> None:
        """And the other way round."""
        self.hand_over(self.node, self.python)

    def test_shared(self) -> None:
        """Two workers do all tasks of a producer, each once."""
        workers = [self.python(0.05), self.python(0.05)]
        texts: list[str] = []

        def both_work() -> bool:
            """Have some more done: one of the workers may not be there yet."""
            more = [f"t{len(texts) + number}" for number in range(20)]
            texts.extend(more)
            self.produce(*more)
            return all("begun" in worker.output for worker in workers)

        until(both_work, TIMEOUT_S, "both workers work")

        def done() -> list[str]:
            """What they say that they have done."""
            return [line for worker in workers for line in worker.output.splitlines() if line.startswith("done")]

        until(lambda: len(done()) >= len(texts), TIMEOUT_S, "all tasks are done")
        self.assertEqual(sorted(done()), sorted(f"done: {text}" for text in texts))

    def test_no_gateway(self) -> None:
        """Without a gateway a worker in Python ends, and says so."""
        self.check_fails("worker.py", "--url", NOBODY.replace("http", "ws"), says="ws://127.0.0.1:9: .*refused")

    def test_node_without_gateway(self) -> None:
        """One in Node says so, and tries again."""
        worker = self.node(0, NOBODY)
        worker.wait_for(f"(no gateway at {NOBODY}, trying again: .*){{2}}", TIMEOUT_S)
        self.assertTrue(worker.running)

    def test_gateway_lost(self) -> None:
        """So it does where it loses the gateway."""
        gateway = Gateway(storage="memory:")
        self.addCleanup(gateway.kill)
        worker = self.start("worker.py", "--url", gateway.websocket, "--seconds", "0")
        ended = self.finish("producer.py", "--url", gateway.websocket, "one")
        self.assertEqual(ended.stdout, "ONE\n", ended.stderr)
        gateway.stop()
        self.assertEqual(worker.end(), 1)
        self.assertRegex(worker.output, r"worker.py: ws://\S+: closed with 1001: .*\n\Z")


class GuestTests(ExamplesTestCase):
    """A host asks a guest that holds nothing but a pre-signed URL."""

    def host(self, *arguments: str) -> str:
        """Run the host, and keep what it says."""
        ended = self.finish("host.py", "--url", self.gateway.http, "--project", self.project, *arguments)
        self.assertEqual(ended.returncode, 0, ended.stderr)
        return ended.stdout

    def invite(self, **changed: str) -> str:
        """A file for a guest."""
        file = new_directory() / "guest.json"
        file.write_text(json.dumps({**json.loads(self.host("invite")), **changed}))
        return str(file)

    def test_asked(self) -> None:
        """The guest replies, and nothing is left in the queue."""
        guest = self.start("guest.py", self.invite())
        self.assertEqual(self.host("ask", "python"), f"{sys.version.split()[0]}\n")
        self.assertEqual(self.host("ask", "the way"), "ask one of hostname, system, python\n")
        guest.wait_for("answered: python\nanswered: the way\n", TIMEOUT_S)
        self.assertEqual(self.http().all_messages("guest-1"), [])
        self.assertTrue(guest.running)

    def test_asked_before_it_came(self) -> None:
        """What it was asked while it was away it answers when it comes; what is no request it leaves alone."""
        http = self.http()
        asked = http.post("guest-1", "no request", {"ask": "python"}).json["resources"][1].rsplit("/", 1)[1]
        self.start("guest.py", self.invite()).wait_for("answered: python\n", TIMEOUT_S)
        self.assertEqual(
            http.all_messages("guest-1"), ["no request", {"reply_to": asked, "reply": sys.version.split()[0]}]
        )

    def test_no_reply(self) -> None:
        """A host without a guest ends, and says so."""
        place = ["--url", self.gateway.http, "--project", self.project]
        self.check_fails("host.py", *place, "ask", "--timeout", "1", "python", says="no reply within 1 s; .*guest.py")

    def test_expired(self) -> None:
        """With a signature that was good once the guest ends, and says so."""
        invited = json.loads(Path(self.invite()).read_text())
        text = signed_text(invited["paths"], invited["methods"], self.project, "2020-01-01T00:00:00")
        file = self.invite(expires="2020-01-01T00:00:00", signature=digest(SECRET, text))
        self.check_fails("guest.py", file, says="does not accept this URL, which is good until 2020-01-01T00:00:00 UTC")

    def test_forged(self) -> None:
        """So it does with one that was changed."""
        self.check_fails("guest.py", self.invite(project="somebody-else"), says="does not accept this URL")

    def test_no_gateway(self) -> None:
        """Where no gateway is, both end, and say so."""
        self.check_fails("guest.py", self.invite(url=NOBODY), says=f"no gateway at {NOBODY}: .*refused")
        self.check_fails("host.py", "--url", NOBODY, "invite", says=f"no gateway at {NOBODY}: .*refused")

    def test_no_invitation(self) -> None:
        """A file that is none is named."""
        file = new_directory() / "other.json"
        self.check_fails("guest.py", str(file), says="other.json is not what host.py invite writes: FileNotFound")
        file.write_text("{}")
        self.check_fails("guest.py", str(file), says="other.json is not what host.py invite writes: KeyError")

    def test_not_shared(self) -> None:
        """What the gateway has against an invitation is said."""
        place = ["--url", self.gateway.http, "--project", self.project]
        self.check_fails("host.py", *place, "invite", "--minutes", "-5", says="400: .*has to be in the future")
        gateway = Gateway(storage="memory:")
        self.addCleanup(gateway.kill)
        self.check_fails("host.py", "--url", gateway.http, "invite", says="400: .*no secret for them is configured")


class PageTestCase(ExamplesTestCase):
    """Pages as a reader serves them, that reach the gateway over a network that can fail."""

    def setUp(self) -> None:
        super().setUp()
        served = Process(
            [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(EXAMPLES)],
            environment(),
            new_directory(),
        )
        self.addCleanup(served.kill)
        self.origin = "http://localhost:" + served.wait_for(r"port (\d+)", START_S)[1]
        parts = urlsplit(self.gateway.http)
        assert parts.hostname and parts.port
        self.network = Proxy((parts.hostname, parts.port))
        self.addCleanup(self.network.close)
        self.browser: Browser = start_browser(self)

    def open(self, name: str, gateway: str = "") -> Page:
        """Open a page, at another gateway where one is given."""
        query = {"gateway": gateway or f"http://127.0.0.1:{self.network.port}", "project": self.project}
        return self.browser.open(f"{self.origin}/{name}?{urlencode(query)}")

    def shown(self, page: Page) -> Any:
        """The items of its list."""
        return page.evaluate("Array.from(document.querySelectorAll('li'), one => one.textContent)")

    def wait_for_items(self, page: Page, count: int) -> None:
        """Wait until so many are shown."""
        page.wait_for(f"document.querySelectorAll('li').length >= {count}")

    def wait_for_state(self, page: Page, state: str) -> None:
        """Wait until the page says how its connection is."""
        page.wait_for(f"document.getElementById('state').textContent === {json.dumps(state)}")


class ChatTests(PageTestCase):
    """Broadcast: all pages that are open."""

    def say(self, page: Page, text: str) -> None:
        """Write a line as a user does."""
        page.fill("document.getElementById('text')", text)
        page.press("Enter")

    def test_two_pages(self) -> None:
        """Each of two pages sees what both say, once and in order, also what is said while the network is down."""
        anna, ben = pages = [self.open("chat.html"), self.open("chat.html")]
        for page, name in zip(pages, ("Anna", "Ben"), strict=True):
            self.wait_for_state(page, "open")
            page.fill("document.getElementById('name')", name)
        expected = []
        for number in range(3):
            for page, name in zip(pages, ("Anna", "Ben"), strict=True):
                self.say(page, f"line {number}")
                expected.append(f"{name}: line {number}")
                for one in pages:
                    self.wait_for_items(one, len(expected))
        self.network.cut()
        for page in pages:
            page.wait_for("document.getElementById('state').textContent !== 'open'")
        self.say(anna, "one")
        self.say(anna, "<b>two</b>")
        self.network.restore()
        expected += ["Anna: one", "Anna: <b>two</b>"]
        for page in pages:
            self.wait_for_items(page, len(expected))
        self.say(ben, "end")  # what came twice would have come before that
        expected.append("Ben: end")
        for page in pages:
            page.wait_for("document.querySelector('li:last-child').textContent === 'Ben: end'")
            self.assertEqual(self.shown(page), expected)
            self.assertEqual(page.errors, [])

    def test_late(self) -> None:
        """Who comes later reads what was said before."""
        self.http().post("chat", {"name": "Anna", "text": "before"})
        late = self.open("chat.html")
        self.wait_for_items(late, 1)
        self.assertEqual(self.shown(late), ["Anna: before"])

    def test_no_gateway(self) -> None:
        """A page that does not reach the gateway says so."""
        self.network.cut()
        page = self.open("chat.html")
        self.wait_for_state(page, f"no gateway at http://127.0.0.1:{self.network.port}")


class PhoneTests(PageTestCase):
    """A phone that is offline now and then."""

    def post(self, *texts: str) -> list[str]:
        """Post to its inbox.

        :return: the paths of the messages.
        """
        answer = self.http().post("inbox", *texts)
        self.assertEqual(answer.status, 201)
        paths: list[str] = answer.json["resources"]
        return paths

    def offline(self, page: Page) -> None:
        """Take its network away, and see that it has noticed."""
        self.network.cut()
        page.wait_for("document.getElementById('state').textContent !== 'open'")

    def test_network_cut(self) -> None:
        """What was posted while it had no network is shown once it has, each message once and in order."""
        page = self.open("phone.html")
        self.post("m0", "m1")
        self.wait_for_items(page, 2)
        self.offline(page)
        self.post(*(f"m{number}" for number in range(2, 12)))
        self.assertEqual(self.shown(page), ["m0", "m1"])
        self.network.restore()
        self.wait_for_items(page, 12)
        self.post("m12")  # what came twice would have come before that
        page.wait_for("document.querySelector('li:last-child').textContent === 'm12'")
        self.assertEqual(self.shown(page), [f"m{number}" for number in range(13)])
        self.assertEqual(page.errors, [])

    def test_switched_off(self) -> None:
        """So is what was posted while it was off; and what it had shown before is still there, once."""
        page = self.open("phone.html")
        self.post("m0", "m1")
        self.wait_for_items(page, 2)
        page.close()
        # A page that is being closed may still be given a message, and acknowledge it.
        until(lambda: not self.http()("GET", "/v2/queues/inbox/durables").json["durables"][0]["attached"], TIMEOUT_S, "off")
        self.post("m2", "m3")
        page = self.open("phone.html")
        self.wait_for_items(page, 4)
        self.post("m4")
        page.wait_for("document.querySelector('li:last-child').textContent === 'm4'")
        self.assertEqual(self.shown(page), [f"m{number}" for number in range(5)])

    def test_gap(self) -> None:
        """Where a message was removed before it was read, the page shows that something is missing, and then what is left."""
        page = self.open("phone.html")
        self.post("m0")
        self.wait_for_items(page, 1)
        self.offline(page)
        paths = self.post("m1", "m2", "m3")
        self.assertEqual(self.http()("DELETE", paths[1]).status, 204)
        self.network.restore()
        self.wait_for_items(page, 4)
        self.post("m4")
        page.wait_for("document.querySelector('li:last-child').textContent === 'm4'")
        self.assertEqual(self.shown(page), ["m0", "… something that came meanwhile is gone …", "m1", "m3", "m4"])
