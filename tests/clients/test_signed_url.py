"""python-zaqarclient and curl, with pre-signed URLs."""

from __future__ import annotations

import re
import subprocess
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from zaqarclient.queues.client import Client
from zaqarclient.transport import errors

from tests.programs import program
from tests.system.gateway import ANSWER_S, ROOT, SECRET, GatewayTestCase, environment, new_directory


class ClientTests(GatewayTestCase):
    """A client that shares, and one that uses what was shared."""

    def setUp(self) -> None:
        super().setUp()
        options = {"os_project_id": self.project}
        self.owner = self.client({"backend": "noauth", "options": options})
        self.queue = self.owner.queue("q", force_create=True)

    def client(self, auth: dict[str, Any]) -> Any:
        """A client; each has a Client-ID of its own."""
        return Client(self.gateway.http, version=2, conf={"auth_opts": auth})

    def holder(self, shared: dict[str, Any]) -> Any:
        """The queue as the holder of what was shared sees it."""
        options = {"os_project_id": shared["project"], **shared}
        return self.client({"backend": "signed-url", "options": options}).queue("q", auto_create=False)

    def test_share(self) -> None:
        """signed_url says what is shared, and until when."""
        before = datetime.now(UTC)
        shared = self.queue.signed_url(paths=["messages", "claims"], ttl_seconds=600, methods=["POST", "GET"])
        after = datetime.now(UTC)
        expires = datetime.fromisoformat(shared["expires"] + "+00:00")
        self.assertLessEqual(before + timedelta(seconds=599), expires)
        self.assertLessEqual(expires, after + timedelta(seconds=600))
        self.assertEqual(shared["paths"], ["/v2/queues/q/claims", "/v2/queues/q/messages"])
        self.assertEqual((shared["methods"], shared["project"]), (["GET", "POST"], self.project))

    def test_use(self) -> None:
        """The holder posts, lists, claims and deletes as far as that was shared."""
        methods = ["GET", "POST", "DELETE"]
        queue = self.holder(self.queue.signed_url(paths=["messages", "claims"], methods=methods))
        queue.post([{"body": number, "ttl": 60} for number in range(3)])
        self.assertEqual([message.body for message in queue.messages(echo=True)], [0, 1, 2])
        claimed = [message for message in queue.claim(ttl=60, grace=60, limit=2)]
        self.assertEqual([message.body for message in claimed], [0, 1])
        for message in claimed:
            message.delete()
        self.assertEqual([message.body for message in self.queue.messages(echo=True)], [2])

    def test_nothing_else(self) -> None:
        """What was not shared is not there."""
        self.queue.post([{"body": 1, "ttl": 60}])
        queue = self.holder(self.queue.signed_url())
        self.assertEqual([message.body for message in queue.messages()], [1])
        for refused in (
            lambda: queue.post([{"body": 2, "ttl": 60}]),
            lambda: queue.claim(ttl=60, grace=60),
            lambda: queue.signed_url(),
            lambda: queue.delete(),
            lambda: queue.metadata(force_reload=True),
        ):
            self.assertRaises(errors.ResourceNotFound, refused)

    def test_altered(self) -> None:
        """What the holder alters is not there."""
        shared = self.queue.signed_url()
        for changed in ({"methods": ["GET", "POST"]}, {"project": "another"}, {"expires": "2999-01-01T00:00:00"}):
            queue = self.holder({**shared, **changed})
            self.assertRaises(errors.ResourceNotFound, queue.messages)

    def test_refused(self) -> None:
        """A share that breaks the rules is told as malformed, with the reason."""
        error = self.assertRaises(errors.MalformedRequest, self.queue.signed_url, paths=["stats"])
        self.assertIn("stats", str(error))
        self.assertRaises(errors.MalformedRequest, self.queue.signed_url, ttl_seconds=-1)

    def test_nothing_in_the_log(self) -> None:
        """Neither the secret nor a signature is in the log of the gateway."""
        shared = self.queue.signed_url()
        self.holder({**shared, "signature": shared["signature"][::-1]})
        self.assertRaises(errors.ResourceNotFound, self.holder({**shared, "methods": ["PUT"]}).messages)
        for secret in (SECRET, shared["signature"]):
            self.assertNotIn(secret, self.gateway.output)


class CurlTests(GatewayTestCase):
    """The example of the documentation."""

    def test_example(self) -> None:
        """The lines of the section on pre-signed URLs work one after the other in a shell."""
        program("curl")
        text = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
        section = re.split(r"\n(?=[^\n]+\n-{5,}\n)", text.partition("Pre-signed URLs\n---")[2])[0]
        lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
        script = "\n".join(lines).replace("127.0.0.1:8888", urlsplit(self.gateway.http).netloc)
        script = script.replace("demo", self.project)
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            env=environment(),
            cwd=new_directory(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertIn(f'"project":"{self.project}"', done.stdout)
        self.assertIn('"resources":["/v2/queues/tasks/messages/', done.stdout)
        self.assertIn('"body":"from outside"', done.stdout)
        self.assertEqual(self.http().all_messages("tasks"), ["from outside"])
