"""The policy file and the audit log of a gateway that runs."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.system.gateway import (
    CLIENT,
    CONSOLE,
    START_S,
    TWISTD,
    Http,
    Process,
    Socket,
    environment,
    new_directory,
    until,
)
from tests.system.test_launch import LISTENERS, LaunchTestCase

CHANGE_S = 90.0
"""How long a change of a file may take to be seen; machines that test are busy."""


class PolicyTests(LaunchTestCase):
    """``policy.yaml`` beside the configuration."""

    def setUp(self) -> None:
        self.directory = new_directory()
        self.config = self.directory / "gateway.toml"
        self.config.write_text('[storage]\nuri = "memory:"\n', encoding="utf-8")

    def write(self, text: str) -> None:
        """Replace the policy file, as operators should."""
        new = self.directory / "policy.new"
        new.write_text(text, encoding="utf-8")
        new.rename(self.directory / "policy.yaml")

    def test_changes(self) -> None:
        """Rules count on both transports; a change is seen without a restart, and a broken file changes nothing."""
        self.write('"queues:create": "role:boss"\n"queue:get": "!"\n')
        gateway = self.gateway("--config", str(self.config), storage="memory:")
        self.assertIn("queue:get is no rule of this service, and no rule refers to it; is queues:get meant?", gateway.output)
        with closing(Http(gateway.http, "p")) as http, closing(Socket(gateway.websocket, "p")) as socket:

            def created(roles: str) -> tuple[int, int]:
                by_http = http("PUT", "/v2/queues/q", headers={"X-ROLES": roles}).status
                headers = {"Client-ID": CLIENT, "X-Project-ID": "p", "X-ROLES": roles}
                socket.raw(json.dumps({"action": "queue_create", "headers": headers, "body": {"queue_name": "q"}}))
                return by_http, socket.receive().status

            self.assertEqual(created("member"), (403, 403))
            self.assertEqual(created("boss"), (201, 204))
            self.write('"queues:create": "role:"')
            gateway.wait_for(r"the rules from before stay in force: .*policy\.yaml, line 1: queues:create: ", CHANGE_S)
            self.assertEqual(created("member"), (403, 403))
            self.write('"queues:create": "role:member"')
            until(lambda: created("member") == (204, 204), CHANGE_S, "a change of the policy")
            self.assertEqual(created("boss"), (403, 403))
            (self.directory / "policy.yaml").unlink()
            gateway.wait_for(r"policy\.yaml is gone", CHANGE_S)
            self.assertEqual(created("boss"), (403, 403))
        gateway.stop()

    def test_appears(self) -> None:
        """A file that was not there at start is read when it comes."""
        gateway = self.gateway("--config", str(self.config), storage="memory:")
        with closing(Http(gateway.http, "p")) as http:
            self.assertEqual(http("GET", "/v2/queues").status, 200)
            self.write('{"queues:get_all": "!"}')
            until(lambda: http("GET", "/v2/queues").status == 403, CHANGE_S, "a policy that is new")
        gateway.stop()

    def test_refused(self) -> None:
        """A file that cannot be used ends the start, and check-config says the same."""
        self.write('"queues:create": "role:"\n"a": "rule:b"\n')
        path = self.directory / "policy.yaml"
        told = f"{path}, line 1: queues:create: 'role:' has nothing behind its colon.\n"
        told += f"{path}, line 2: a: rule:b refers to a rule that does not exist.\n"
        checked = self.console("check-config", "--config", str(self.config))
        self.assertEqual((checked.returncode, checked.stdout, checked.stderr), (1, "", told))
        for command in ([*CONSOLE, "run"], TWISTD):
            process = Process([*command, *LISTENERS, "--config", str(self.config)], environment(), self.directory)
            self.assertNotEqual(process.end(START_S), 0)
            self.assertIn(f"zaqar-gateway cannot start: {told}", process.output)
            self.assertNotIn("Traceback", process.output)

    def test_no_admin_mode(self) -> None:
        """Without admin mode WebSocket has no operations of administrators, whatever a frame says of itself."""
        gateway = self.gateway(storage="memory:")
        frame = {"action": "delivery_overview", "headers": {"Client-ID": CLIENT, "X-Project-ID": "p", "X-ROLES": "admin"}}
        with closing(Socket(gateway.websocket, "p")) as socket:
            socket.raw(json.dumps(frame))
            reply = socket.receive()
        self.assertEqual((reply.status, reply.error), (400, "delivery_overview is not a valid action"))
        gateway.stop()


class AuditTests(LaunchTestCase):
    """The file of the audit log."""

    def lines(self, path: Path) -> list[Any]:
        """What is in it."""
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def test_file(self) -> None:
        """Requests on both transports are lines, whatever level is logged; SIGHUP opens the file again and ends nothing."""
        path = new_directory() / "audit.log"
        gateway = self.gateway(storage="memory:", settings={"LOG_AUDIT_FILE": str(path), "LOG_LEVEL": "error"})
        with closing(Http(gateway.http, "p")) as http, closing(Socket(gateway.websocket, "p")) as socket:
            created = http("PUT", "/v2/queues/q")
            http.post("q", 1)
            self.assertEqual(socket("queue_delete", queue_name="q").status, 204)
            first, second = self.lines(path)
            self.assertEqual(first["request_id"], created.headers["x-openstack-request-id"])
            self.assertRegex(first["peer"], r"^127\.0\.0\.1:\d+$")
            self.assertEqual((first["operation"], first["transport"], first["status"]), ("queue_create", "http", 201))
            self.assertEqual((second["operation"], second["transport"], second["status"]), ("queue_delete", "websocket", 204))
            self.assertRegex(second["peer"], r"^127\.0\.0\.1:\d+$")
            path.rename(path.with_name("audit.log.1"))
            gateway.signal(signal.SIGHUP)
            until(path.exists, CHANGE_S, "a new file")
            self.assertEqual(http("PUT", "/v2/queues/q").status, 201)
            self.assertEqual([line["operation"] for line in self.lines(path)], ["queue_create"])
        gateway.signal(signal.SIGTERM)
        gateway.end()
        self.assertNotIn("queue_create", gateway.output)

    def test_cannot_open(self) -> None:
        """A file that cannot be opened ends the start."""
        path = new_directory() / "nowhere" / "audit.log"
        process = Process(
            [*TWISTD, *LISTENERS, "--storage", "memory:"],
            environment({"ZAQAR_GATEWAY_LOG_AUDIT_FILE": str(path)}),
            path.parent.parent,
        )
        self.assertNotEqual(process.end(START_S), 0)
        self.assertIn(f"cannot start: the audit log {path} cannot be opened: No such file or directory; log.audit_file", process.output)
        self.assertNotIn("Traceback", process.output)
