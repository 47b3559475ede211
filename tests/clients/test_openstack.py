"""``openstack messaging ...``: every command of python-zaqarclient's plug-in, as it is typed.

Commands are typed into the program's interactive mode, since starting it takes seconds: one serves all tests.
"""

from __future__ import annotations

import atexit
import json
import shlex
import subprocess
import sys
import threading
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from uuid import uuid4

from twisted.trial.unittest import SynchronousTestCase

from tests.clients.identity import IdentityService
from tests.keystone_server import Somebody, shared_keystone
from tests.system.gateway import ANSWER_S, CLIENT, GatewayTestCase, environment, new_directory
from tests.system.test_keystone import gateway_at

_PROGRAM = Path(sys.executable).with_name("openstack")
_END = "end_of_answer_"

RESERVED = {
    "_max_messages_post_size": 262144,
    "_default_message_ttl": 3600,
    "_default_message_delay": 0,
    "_dead_letter_queue": None,
    "_dead_letter_queue_messages_ttl": None,
    "_max_claim_count": None,
    "_enable_encrypt_messages": False,
}


class Console:
    """The interactive mode of ``openstack``.

    :param identity: the URL of the identity service.
    :param user: variables of the environment, without OS_, that say who asks.
    """

    def __init__(self, identity: str, **user: str) -> None:
        own = {
            "OS_AUTH_URL": identity,
            "OS_USER_DOMAIN_ID": "default",
            "OS_MESSAGE_CLIENT_ID": CLIENT,
            "HOME": str(new_directory()),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
            **{f"OS_{name}": value for name, value in user.items()},
        }
        self._process = subprocess.Popen(
            [str(_PROGRAM)],
            env={name: value for name, value in environment().items() if not name.startswith("OS_")} | own,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        atexit.register(self.close)

    def __call__(self, command: str, *arguments: str) -> str:
        """Type a command after ``messaging``.

        :param arguments: each a word of its own, however it is written.
        :return: what the program says, errors too.
        :raises AssertionError: it says nothing in time, or has ended.
        """
        # The program takes the quotes off a line, joins the words by blanks, and takes quotes off once more.
        words = [shlex.quote(shlex.quote(argument)) for argument in arguments]
        assert self._process.stdin and self._process.stdout
        # How it prompts is for people; what ends an answer here is the answer to another command.
        self._process.stdin.write(f"messaging {command} {' '.join(words)}\nmessaging ping -f shell --prefix {_END}\n")
        self._process.stdin.flush()
        too_late = threading.Timer(ANSWER_S, self._process.kill)
        too_late.start()
        said: list[str] = []
        try:
            for line in self._process.stdout:
                if line.startswith(_END):
                    return "".join(said)
                said.append(line)
        finally:
            too_late.cancel()
        raise AssertionError(f"openstack has ended after: {''.join(said)}")

    def close(self) -> None:
        """End it."""
        if self._process.poll() is None:
            self._process.communicate(timeout=ANSWER_S)


_shared: dict[str, tuple[str, Console]] = {}
"""By the gateway that it talks to: the project of the user, and the program."""


class CommandTests(GatewayTestCase):
    """Each test has a queue of its own in the project of the one console."""

    def setUp(self) -> None:
        super().setUp()
        if self.gateway.http not in _shared:
            project = uuid4().hex
            identity = IdentityService(self.gateway.http, project)
            atexit.register(identity.close)
            user = {"USERNAME": "user", "PASSWORD": "password", "PROJECT_ID": project}
            _shared[self.gateway.http] = project, Console(identity.url, **user)
        self.project, self.console = _shared[self.gateway.http]
        self.queue = f"q-{uuid4().hex}"
        self.path = f"/v2/queues/{self.queue}"
        self.outside = self.http(client=str(uuid4()))

    def show(self, command: str, *arguments: str) -> Any:
        """What a command shows, as JSON."""
        said = self.console(command, *arguments, "-f", "json")
        try:
            return json.loads(said)
        except ValueError:
            raise AssertionError(f"{command} {' '.join(arguments)} says {said}") from None

    def do(self, command: str, *arguments: str) -> None:
        """A command that succeeds without a word."""
        self.assertEqual(self.console(command, *arguments), "")

    def refused(self, told: str, command: str, *arguments: str) -> None:
        """A command that fails and tells why."""
        self.assertIn(told, self.console(command, *arguments))

    def post(self, *bodies: Any) -> list[str]:
        """Post messages from outside, and return their ids."""
        return [path.rpartition("/")[2] for path in self.outside.post(self.queue, *bodies).json["resources"]]

    def test_every_command(self) -> None:
        """No command of the plug-in is left out here."""
        text = Path(__file__).read_text(encoding="utf-8")
        commands = [entry.name for entry in entry_points(group="openstack.messaging.v2")]
        self.assertGreaterEqual(len(commands), 32)
        for command in commands:
            self.assertIn(f'"{command.removeprefix("messaging_").replace("_", " ")}"', text)

    # -- the service ---------------------------------------------------------------------------------------------------

    def test_ping(self) -> None:
        """ping says that the service is there."""
        self.assertEqual(self.show("ping"), {"Pingable": True})

    def test_health(self) -> None:
        """health is for administrators, which nobody is without authentication: the answer names the role."""
        self.refused("Code: 403. Title: Not authorized. Description: You need the role admin", "health")

    def test_homedoc(self) -> None:
        """homedoc prints the document of resources."""
        document = json.loads(self.console("homedoc"))
        self.assertEqual(document["resources"]["rel/queue"]["href-template"], "/v2/queues/{queue_name}")

    # -- queues --------------------------------------------------------------------------------------------------------

    def test_queues(self) -> None:
        """Queues are created, listed by pages and with details, and deleted."""
        for number in range(3):
            name = f"{self.queue}-{number}"
            self.assertEqual(self.show("queue create", name), {"Name": name})
        first = self.show("queue list", "--marker", self.queue, "--limit", "2", "--with_count")
        self.assertEqual([queue["Name"] for queue in first], [f"{self.queue}-{number}" for number in range(2)])
        (last,) = self.show("queue list", "--marker", f"{self.queue}-1", "--limit", "1", "--detailed")
        href = f"/v2/queues/{self.queue}-2"
        self.assertEqual(last, {"Name": f"{self.queue}-2", "Metadata_Dict": RESERVED, "Href": href})
        self.do("queue delete", f"{self.queue}-2")
        self.do("queue delete", f"{self.queue}-2")
        self.assertEqual(len(self.outside("GET", f"/v2/queues?name={self.queue}").json["queues"]), 2)
        for number in range(2):
            self.do("queue delete", f"{self.queue}-{number}")
        self.refused("limit is 0; it has to be from 1 to 20", "queue list", "--limit", "0")

    def test_metadata(self) -> None:
        """Metadata is replaced as a whole by what is set, and shown with the reserved keys."""
        self.show("queue create", self.queue)
        self.do("queue set metadata", self.queue, json.dumps({"colour": "blue", "_default_message_ttl": 120}))
        shown = {"Metadata": {**RESERVED, "colour": "blue", "_default_message_ttl": 120}}
        self.assertEqual(self.show("queue get metadata", self.queue), shown)
        self.do("queue set metadata", self.queue, json.dumps({"shape": ["round", None]}))
        self.assertEqual(self.outside("GET", self.path).json, {**RESERVED, "shape": ["round", None]})
        wrong = json.dumps({"_default_message_ttl": 5})
        self.refused("_default_message_ttl is 5", "queue set metadata", self.queue, wrong)
        self.refused("Code: 404. Title: Not found", "queue set metadata", "none", "{}")

    def test_stats_and_purge(self) -> None:
        """Stats count what there is; purge removes it, as a whole or by kind."""
        self.post(1, 2)
        subscriber = {"subscriber": "http://example.org/hook"}
        self.assertEqual(self.outside("POST", f"{self.path}/subscriptions", subscriber).status, 201)
        stats = self.show("queue stats", self.queue)["Stats"]["messages"]
        self.assertEqual((stats["free"], stats["claimed"], stats["total"]), (2, 0, 2))
        self.assertEqual({*stats["oldest"], *stats["newest"]}, {"href", "age", "created"})
        self.do("queue purge", self.queue, "--resource_types", "messages")
        self.assertEqual(self.outside.all_messages(self.queue), [])
        self.assertEqual(len(self.outside("GET", f"{self.path}/subscriptions").json["subscriptions"]), 1)
        self.post(3)
        self.do("queue purge", self.queue)
        self.assertEqual(self.show("queue stats", self.queue)["Stats"]["messages"]["total"], 0)
        self.assertEqual(self.outside("GET", f"{self.path}/subscriptions").json["subscriptions"], [])

    def test_signed_url(self) -> None:
        """What a signed URL says is enough to read and post, by somebody without a token."""
        words = ("--paths", "messages,claims", "--methods", "GET,POST", "--ttl-seconds", "600")
        shared = self.show("queue signed url", self.queue, *words)
        self.assertEqual((shared["Methods"], shared["Project ID"]), ("GET,POST", self.project))
        self.assertEqual(shared["Paths"], f"{self.path}/claims,{self.path}/messages")
        headers = {f"URL-{name}": shared[name] for name in ("Signature", "Expires", "Methods", "Paths")}
        posted = self.outside("POST", f"{self.path}/messages", {"messages": [{"body": 1}]}, headers)
        self.assertEqual(posted.status, 201)
        self.assertEqual(self.outside("DELETE", f"{self.path}/messages?pop=1", None, headers).status, 404)
        self.refused("each of them has to be one of messages", "queue signed url", self.queue, "--paths", "stats")

    # -- messages ------------------------------------------------------------------------------------------------------

    def test_messages(self) -> None:
        """Messages are posted, and listed with those of this client and claimed ones as far as is asked for."""
        bodies = [{"n": [1, "ü"]}, "two", None]
        self.do("message post", self.queue, json.dumps([{"body": body, "ttl": 300} for body in bodies]))
        self.assertEqual(self.outside.all_messages(self.queue), bodies)
        self.assertEqual(self.show("message list", self.queue), [])
        self.assertEqual(len(self.show("message list", self.queue, "--client-id", str(uuid4()))), 3)
        shown = self.show("message list", self.queue, "--echo", "--limit", "2", "--include-delayed")
        self.assertEqual([message["Body"] for message in shown], bodies[:2])
        self.assertEqual((shown[0]["TTL"], shown[0]["Claim ID"]), (300, None))
        self.outside("POST", f"{self.path}/claims?limit=2")
        self.assertEqual(len(self.show("message list", self.queue, "--echo")), 1)
        self.assertEqual(len(self.show("message list", self.queue, "--echo", "--include-claimed")), 3)
        self.refused("messages[0].ttl is 5 seconds", "message post", self.queue, json.dumps([{"body": 1, "ttl": 5}]))

    def test_messages_by_id(self) -> None:
        """Messages are listed by their ids."""
        ids = self.post(0, 1, 2)
        found = self.show("message list", self.queue, "--message-ids", f"{ids[2]},{ids[0]}")
        self.assertEqual([(message["ID"], message["Body"]) for message in found], [(ids[2], 2), (ids[0], 0)])
        self.refused("None of the messages exists here", "message list", self.queue, "--message-ids", "nada")

    # -- claims --------------------------------------------------------------------------------------------------------

    def test_claims(self) -> None:
        """A claim is created, shown, renewed and released.

        "claim query" and "claim renew" show no ids of messages, with any server: they look for them under another name.
        """
        ids = self.post({"n": 0}, {"n": 1}, {"n": 2})
        made = self.show("claim create", self.queue, "--ttl", "100", "--grace", "60", "--limit", "2")
        self.assertEqual([(one["Message_ID"], one["Messages"]) for one in made], [(ids[0], {"n": 0}), (ids[1], {"n": 1})])
        (claim_id,) = {one["Claim_ID"] for one in made}
        shown = self.show("claim query", self.queue, claim_id)
        self.assertEqual([(one["Message"], one["TTL"]) for one in shown], [({"n": 0}, 3600), ({"n": 1}, 3600)])
        renewed = self.show("claim renew", self.queue, claim_id, "--ttl", "7200", "--grace", "60")
        self.assertEqual([one["Message"] for one in renewed], [{"n": 0}, {"n": 1}])
        claim = self.outside("GET", f"{self.path}/claims/{claim_id}").json
        self.assertEqual((claim["ttl"], claim["messages"][0]["ttl"]), (7200, 7260))
        self.do("claim release", self.queue, claim_id)
        self.refused("Code: 404. Title: Not found", "claim query", self.queue, claim_id)
        again = self.show("claim create", self.queue)
        self.assertEqual([one["Message_ID"] for one in again], ids)
        self.assertEqual(self.show("claim create", self.queue), [])
        self.refused("ttl is 59", "claim create", self.queue, "--ttl", "59")

    # -- subscriptions -------------------------------------------------------------------------------------------------

    def test_subscriptions(self) -> None:
        """A subscription is created, listed, shown, updated and deleted."""
        made = [
            self.show("subscription create", self.queue, f"http://example.org/{number}", "600", "--options", '{"a": [1]}')
            for number in range(2)
        ]
        ids = sorted(one["ID"] for one in made)
        expected = {"Subscriber": "http://example.org/0", "TTL": 600, "Options": {"a": [1]}}
        self.assertEqual(made[0], {"ID": made[0]["ID"], **expected})
        listed = self.show("subscription list", self.queue)
        self.assertEqual([one["ID"] for one in listed], ids)
        self.assertEqual(self.show("subscription list", self.queue, "--limit", "1", "--marker", ids[0]), listed[1:])
        shown = self.show("subscription show", self.queue, made[0]["ID"])
        self.assertEqual({name: shown[name] for name in expected}, expected)
        self.assertIs(shown["Confirmed"], False)
        changes = ("--subscriber", "mailto:a@example.org", "--ttl", "700", "--options", '{"from": "b@example.org"}')
        self.console("subscription update", self.queue, made[0]["ID"], *changes)
        found = self.outside("GET", f"{self.path}/subscriptions/{made[0]['ID']}").json
        self.assertEqual(
            (found["subscriber"], found["ttl"], found["options"]),
            ("mailto:a@example.org", 700, {"from": "b@example.org"}),
        )
        self.do("subscription delete", self.queue, ids[0])
        self.do("subscription delete", self.queue, ids[0])
        self.assertEqual([one["ID"] for one in self.show("subscription list", self.queue)], ids[1:])
        self.refused("Code: 404. Title: Not found", "subscription show", self.queue, ids[0])
        self.refused("must be supported in the list", "subscription create", self.queue, "fake://x", "600")

    # -- pools and flavors ---------------------------------------------------------------------------------------------

    def test_pools_and_flavors(self) -> None:
        """Without pooling there are neither pools nor flavors, and every command says so (API reference, "Pools")."""
        for command, *arguments in (
            ("pool create", "p", "redis://127.0.0.1", "1"),
            ("pool list",),
            ("pool show", "p"),
            ("pool update", "p", "--pool_weight", "2"),
            ("pool delete", "p"),
            ("flavor create", "f", "--pool_list", "p"),
            ("flavor list",),
            ("flavor show", "f"),
            ("flavor update", "f", "--pool_list", "p"),
            ("flavor delete", "f"),
        ):
            self.refused("Code: 404. Title: 404 Not Found", command, *arguments)


class KeystoneTests(SynchronousTestCase):
    """The program with a real Keystone."""

    def setUp(self) -> None:
        self.server = shared_keystone()
        self.gateway = gateway_at(self.server, ADMIN_MODE="true")
        self.addCleanup(self.gateway.kill)

    def console(self, who: Somebody, project: str) -> Console:
        """The program as somebody uses it."""
        made = Console(
            self.server.url,
            USERNAME=who.name,
            PASSWORD=who.password,
            PROJECT_NAME=project,
            PROJECT_DOMAIN_ID="default",
            MESSAGING_ENDPOINT_OVERRIDE=self.gateway.http,
        )
        self.addCleanup(made.close)
        return made

    def test_users(self) -> None:
        """A user works in the project of the login, and an administrator sees the health of the service."""
        user, admin = self.console(self.server.ann, "alpha"), self.console(self.server.admin, "admin")
        self.assertEqual(json.loads(user("queue create", "q", "-f", "json")), {"Name": "q"})
        self.assertEqual(user("message post", "q", '[{"body": 1}]'), "")
        (message,) = json.loads(user("message list", "q", "--echo", "-f", "json"))
        self.assertEqual(message["Body"], 1)
        self.assertIn("You need the role admin", user("health"))
        self.assertEqual(json.loads(admin("queue list", "-f", "json")), [])
        health = json.loads(admin("health"))
        self.assertEqual((health["storage_reachable"], health["message_volume"]["total"]), (True, 1))
