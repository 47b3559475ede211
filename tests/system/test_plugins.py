"""The plug-ins of ``examples/``: installed as their users would install them, and used by a gateway."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.system.gateway import (
    CONSOLE,
    ROOT,
    START_S,
    TWISTD,
    Gateway,
    Http,
    Process,
    Socket,
    environment,
    new_directory,
)
from tests.system.receiver import Receiver

INSTALL_S = 300
TRIAL_S = 600

CONFIG = r"""
[storage]
message_filters = ["redact"]

[transport]
subscriber_types = ["http", "https", "sms"]

[notifier.sms]
url = "URL"
account = "a"

[filter.redact]
members = ["password"]

[filter.redact.refuse]
"card number" = '\b[0-9]{16}\b'
"""

REFUSAL = "messages[0].body has a card number in it, which may not be posted here."
CARD = {"card": "1234567812345678"}

_sites: list[Path] = []


def site() -> Path:
    """A directory into which pip has installed the examples; the same for all tests."""
    if not _sites:
        work = new_directory()
        # pip builds in the place of the source, which is not ours to change.
        for name in ("filter", "backend", "notifier"):
            shutil.copytree(ROOT / "examples" / name, work / name, ignore=shutil.ignore_patterns("_trial_temp*"))
        subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
                *("--disable-pip-version-check", "--target", str(work / "site")),
                *(str(work / name) for name in ("filter", "backend", "notifier")),
            ],
            check=True,
            timeout=INSTALL_S,
        )
        _sites.append(work / "site")
    return _sites[0]


def path() -> str:
    """``PYTHONPATH`` for a process that finds them and the package that is tested."""
    return os.pathsep.join((str(site()), environment().get("PYTHONPATH", "")))


class PluginTests(SynchronousTestCase):
    """A gateway with all of them."""

    def setUp(self) -> None:
        self.directory = new_directory()
        self.provider = Receiver()
        self.addCleanup(self.provider.close)
        self.config = self.directory / "gateway.toml"
        self.settings = CONFIG.replace("URL", self.provider.url)
        self.config.write_text(self.settings)

    def gateway(self) -> Gateway:
        """One that is ready."""
        gateway = Gateway(
            *("--config", str(self.config)),
            storage=f"journal://{self.directory}/data",
            command=["env", f"PYTHONPATH={path()}", *TWISTD],
        )
        self.addCleanup(gateway.kill)
        return gateway

    def test_filter(self) -> None:
        """What either transport posts is redacted, or refused whole with the text of the filter."""
        gateway = self.gateway()
        with closing(Http(gateway.http, "p")) as http, closing(Socket(gateway.websocket, "p")) as socket:
            secret = {"user": "u", "password": {"plain": "s3cr3t"}}
            redacted = {"user": "u", "password": "***"}
            self.assertEqual(http.post("q", secret).status, 201)
            self.assertEqual(socket("message_post", queue_name="q", messages=[{"body": [secret]}]).status, 201)
            self.assertEqual(http.all_messages("q"), [redacted, [redacted]])
            refused = http.post("q", CARD, 1)
            self.assertEqual((refused.status, refused.json["description"]), (400, REFUSAL))
            reply = socket("message_post", queue_name="q", messages=[{"body": CARD}, {"body": 1}])
            self.assertEqual((reply.status, reply.error), (400, REFUSAL))
            topic = http("POST", "/v2/topics/t/messages", {"messages": [{"body": CARD}]})
            self.assertEqual((topic.status, topic.json["description"]), (400, REFUSAL))
            self.assertEqual(http.all_messages("q"), [redacted, [redacted]])
        gateway.stop()

    def test_data_survive_sigkill(self) -> None:
        """Messages, metadata and claims that were answered are there after SIGKILL and another start, and so on."""
        gateway = self.gateway()
        self.assertIn(f"messages are kept in the journal in {self.directory}/data", gateway.output)
        with closing(Http(gateway.http, "p")) as http:
            http("PUT", "/v2/queues/kept", {"colour": "blue"})
            self.assertEqual(http.post("kept", *range(6)).status, 201)
            self.assertEqual(http("DELETE", "/v2/queues/kept/messages?pop=1").json["messages"][0]["body"], 0)
            claim = http("POST", "/v2/queues/kept/claims?limit=2", {"ttl": 300, "grace": 60})
        gateway.signal(signal.SIGKILL)
        self.assertEqual(gateway.end(), -signal.SIGKILL)
        gateway = self.gateway()
        with closing(Http(gateway.http, "p")) as http:
            self.assertEqual(http("GET", "/v2/queues/kept").json["colour"], "blue")
            self.assertEqual(http.all_messages("kept"), [1, 2, 3, 4, 5])
            held = http("GET", claim.headers["Location"]).json["messages"]
            self.assertEqual([message["href"] for message in held], [one["href"] for one in claim.json["messages"]])
            self.assertEqual(http("DELETE", held[0]["href"]).status, 204)
            self.assertEqual(http.post("kept", 6).status, 201)
            self.assertEqual(http.all_messages("kept"), [2, 3, 4, 5, 6])
        gateway.stop()

    def test_notifier(self) -> None:
        """What is posted, as the filter leaves it, goes to the provider; a subscriber that cannot be one is refused with the text of the
        notifier."""
        gateway = self.gateway()
        with closing(Http(gateway.http, "p")) as http:
            refused = http("POST", "/v2/queues/q/subscriptions", {"subscriber": "sms:0170"})
            self.assertEqual(refused.status, 400)
            self.assertIn("subscriber has to be sms: and a number", refused.json["description"])
            self.assertEqual(http("POST", "/v2/queues/q/subscriptions", {"subscriber": "sms:+491701234567"}).status, 201)
            self.assertEqual(http.post("q", {"password": "s3cr3t"}).status, 201)
            (hook,) = self.provider.reach(bool, START_S)
            self.assertEqual(hook.json, {"account": "a", "to": "+491701234567", "text": '{"password": "***"}'})
        gateway.stop()

    def test_cannot_start(self) -> None:
        """Settings that the filter refuses, and a directory that is taken, end the start with a line that says why."""
        gateway = self.gateway()
        for settings, expected in (
            (self.settings, f"cannot start: {self.directory}/data is in use by another gateway"),
            (
                self.settings.replace("members", "member"),
                "cannot start: redact (zaqar-gateway-redact 1.0, entry point zaqar_gateway_redact:Redact of"
                " zaqar_gateway.filters) refuses its settings: Object contains unknown field `member`",
            ),
        ):
            self.config.write_text(settings)
            process = Process(
                [
                    *(*CONSOLE, "run", "--config", str(self.config), "--storage", f"journal://{self.directory}/data"),
                    *("--http", "tcp:0:interface=127.0.0.1", "--websocket", "tcp:0:interface=127.0.0.1"),
                ],
                environment({"PYTHONPATH": path()}),
                self.directory,
            )
            self.addCleanup(process.kill)
            self.assertEqual(process.end(START_S), 1, process.output)
            self.assertIn(expected, process.output)
            self.assertNotIn("Traceback", process.output)
        gateway.stop()

    def test_tests_of_the_examples(self) -> None:
        """The tests of all packages pass where they are installed, those of the contract of stores among them."""
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "twisted.trial",
                    "--reporter=summary",
                    f"--temp-directory={self.directory}/trial",
                ),
                *("zaqar_gateway_redact", "zaqar_gateway_journal", "zaqar_gateway_sms"),
            ],
            env=environment({"PYTHONPATH": path()}),
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TRIAL_S,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"Ran [0-9]{3,} tests")
