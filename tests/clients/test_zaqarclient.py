"""python-zaqarclient: every class of it for API v2, over both of its transports.

What a call has done is looked at from outside, with plain requests.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from zaqarclient import transport
from zaqarclient.queues.client import Client
from zaqarclient.queues.v2.flavor import Flavor
from zaqarclient.queues.v2.message import Message
from zaqarclient.queues.v2.pool import Pool
from zaqarclient.queues.v2.queues import Queue
from zaqarclient.transport import errors
from zaqarclient.transport.request import Request

from tests.system.gateway import ANSWER_S, GatewayTestCase, Socket, until
from zaqar_gateway.operations.registry import NOT_IMPLEMENTED

RESERVED = {
    "_max_messages_post_size": 262144,
    "_default_message_ttl": 3600,
    "_default_message_delay": 0,
    "_dead_letter_queue": None,
    "_dead_letter_queue_messages_ttl": None,
    "_max_claim_count": None,
    "_enable_encrypt_messages": False,
}


class HttpTransportTests(GatewayTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client = self.new_client()
        self.outside = self.http(client=str(uuid4()))

    def new_client(self, project: str = "") -> Any:
        """A client; each has a Client-ID of its own."""
        options = {"os_project_id": project or self.project}
        return Client(self.gateway.http, version=2, conf={"auth_opts": {"backend": "noauth", "options": options}})

    def queue(self, name: str = "q", **options: Any) -> Any:
        """A queue that exists."""
        return self.client.queue(name, force_create=True, **options)

    def posted(self, count: int, **more: Any) -> tuple[Any, list[str]]:
        """A queue with messages 0 to count - 1, and their ids."""
        queue = self.queue()
        answer = queue.post([{"body": number, "ttl": 300, **more} for number in range(count)])
        return queue, [href.rpartition("/")[2] for href in answer["resources"]]

    def stored(self, name: str = "q") -> list[Any]:
        """The bodies in a queue."""
        return self.outside.all_messages(name)

    # -- the service ---------------------------------------------------------------------------------------------------

    def test_ping(self) -> None:
        """ping says that the service is there."""
        self.assertIs(self.client.ping(), True)

    def test_health(self) -> None:
        """health is for administrators, which a client without authentication cannot say to be."""
        self.assertRaises(errors.ForbiddenError, self.client.health)
        self.assertEqual(self.outside("GET", "/v2/health", None, {"X-ROLES": "admin"}).status, 200)

    def test_homedoc(self) -> None:
        """homedoc is the document of resources; the client asks for "/v2/", whatever its URL ends with."""
        self.assertEqual(self.client.homedoc()["resources"]["rel/queue"]["href-template"], "/v2/queues/{queue_name}")

    def test_project_by_default(self) -> None:
        """Without a project the client sends one that says so."""
        client = Client(self.gateway.http, version=2, conf={"auth_opts": {"backend": "noauth"}})
        client.queue("mine", force_create=True)
        listed = self.outside("GET", "/v2/queues", None, {"X-Project-ID": "fake_project_id_for_noauth"}).json
        self.assertIn("mine", [queue["name"] for queue in listed["queues"]])
        self.assertEqual(self.outside("GET", "/v2/queues").json["queues"], [])

    def test_wrong_client_id(self) -> None:
        """A Client-ID that is no UUID is told as a request that is malformed."""
        conf = {"auth_opts": {"backend": "noauth"}, "client_uuid": "worker-1"}
        error = self.assertRaises(errors.MalformedRequest, list, self._queues(Client(self.gateway.http, 2, conf)))
        self.assertIn("Wrong UUID value", str(error))

    @staticmethod
    def _queues(client: Any) -> Any:
        # A generator, so that the request is made where the error is expected.
        yield from client.queues()[0]

    # -- queues --------------------------------------------------------------------------------------------------------

    def test_create(self) -> None:
        """force_create makes a queue; without it nothing is made."""
        self.client.queue("lazy")
        self.assertEqual(self.outside("GET", "/v2/queues").json["queues"], [])
        self.queue("made")
        self.queue("made")
        self.assertEqual([each["name"] for each in self.outside("GET", "/v2/queues").json["queues"]], ["made"])

    def test_exists(self) -> None:
        """exists asks with HEAD, takes 405 for yes, and so says yes of any queue, with any server of API v2."""
        self.assertIs(self.queue().exists(), True)
        self.assertIs(self.client.queue("none").exists(), True)

    def test_ensure_exists(self) -> None:
        """ensure_exists with force_create makes the queue."""
        self.client.queue("later").ensure_exists(force_create=True)
        self.assertEqual([each["name"] for each in self.outside("GET", "/v2/queues").json["queues"]], ["later"])

    def test_delete(self) -> None:
        """delete removes the queue with its messages, and again without an error."""
        queue, _ = self.posted(2)
        queue.delete()
        queue.delete()
        self.assertEqual(self.outside("GET", "/v2/queues").json["queues"], [])
        self.assertEqual(self.stored(), [])

    def test_list(self) -> None:
        """queues lists by name, with hrefs, and with metadata where they are asked for."""
        for name in ("b", "a", "c"):
            self.queue(name).metadata({"of": name})
        listed, count = self.client.queues(detailed=True)
        found = list(listed)
        self.assertIsNone(count)
        self.assertEqual([queue.name for queue in found], ["a", "b", "c"])
        self.assertTrue(all(isinstance(queue, Queue) for queue in found))
        self.assertEqual(found[1].href, "/v2/queues/b")
        self.assertEqual(found[1].metadata(), {"of": "b", **RESERVED})
        self.assertEqual([queue.name for queue in self.client.queues(marker="a", limit=1)[0]], ["b"])

    def test_list_with_filters(self) -> None:
        """queues takes a part of the name, and values of metadata."""
        for name in ("blue-1", "blue-2", "red"):
            self.queue(name).metadata({"size": len(name), "colour": name[:3]})
        for wanted, query in (
            (["blue-1", "blue-2"], {"name": "ue-"}),
            (["blue-1", "blue-2"], {"size": 6}),
            (["red"], {"colour": "red", "size": 3}),
            ([], {"colour": "red", "size": 6}),
        ):
            self.assertEqual([queue.name for queue in self.client.queues(**query)[0]], wanted, query)

    def test_list_with_count(self) -> None:
        """with_count gives the number of all queues of the project beside a page of them."""
        for number in range(4):
            self.queue(f"q{number}")
        listed, count = self.client.queues(with_count=True, limit=2)
        self.assertEqual(([queue.name for queue in listed], count), (["q0", "q1"], 4))

    def test_list_all(self) -> None:
        """A stream of queues follows the links through all pages."""
        names = [f"q{number:02}" for number in range(23)]
        for name in names:
            self.queue(name)
        self.assertEqual(len(list(self.client.queues()[0])), 10)
        self.assertEqual([queue.name for queue in self.client.queues(limit=5)[0].stream()], names)

    def test_projects(self) -> None:
        """A client of another project sees nothing."""
        self.posted(1)
        other = self.new_client(uuid4().hex)
        self.assertEqual(list(other.queues()[0]), [])
        self.assertEqual(list(other.queue("q").messages(echo=True)), [])

    def test_metadata(self) -> None:
        """metadata sets by PATCH what it is given and removes the rest, reserved keys that it saw included."""
        queue = self.queue()
        self.assertEqual(queue.metadata(), RESERVED)
        changed = queue.metadata({"colour": "blue", "size": 3, "_default_message_ttl": 120})
        self.assertEqual(changed, {**RESERVED, "colour": "blue", "size": 3, "_default_message_ttl": 120})
        self.assertEqual(self.outside("GET", "/v2/queues/q").json, changed)
        changed = queue.metadata({"size": 4, "shape": ["round", {"r": 1}]})
        self.assertEqual(changed, {**RESERVED, "size": 4, "shape": ["round", {"r": 1}]})
        self.assertEqual(queue.metadata(force_reload=True), self.outside("GET", "/v2/queues/q").json)
        self.assertEqual(queue.metadata({}), RESERVED)
        self.assertEqual(queue.metadata_dict, RESERVED)

    def test_metadata_of_a_missing_queue(self) -> None:
        """It can be read, and cannot be changed."""
        queue = self.client.queue("none")
        self.assertEqual(queue.metadata(), RESERVED)
        self.assertRaises(errors.ResourceNotFound, queue.metadata, {"a": 1})

    def test_wrong_metadata(self) -> None:
        """A reserved key out of range is refused, and its name is in the error."""
        error = self.assertRaises(errors.MalformedRequest, self.queue().metadata, {"_default_message_ttl": 5})
        self.assertIn("_default_message_ttl", str(error))

    def test_stats(self) -> None:
        """stats counts what is free and what is claimed, and names the oldest and the newest message."""
        queue, ids = self.posted(3)
        queue.claim(ttl=60, grace=60, limit=1)
        stats = queue.stats["messages"]
        self.assertEqual((stats["free"], stats["claimed"], stats["total"]), (2, 1, 3))
        for edge, message in (("oldest", ids[0]), ("newest", ids[2])):
            self.assertEqual(stats[edge]["href"], f"/v2/queues/q/messages/{message}")
            self.assertEqual(set(stats[edge]), {"href", "age", "created"})
        self.assertEqual(self.client.queue("none").stats, {"messages": {"free": 0, "claimed": 0, "total": 0}})

    def test_purge(self) -> None:
        """purge removes the messages, of which kinds it is told, and leaves the queue."""
        queue, _ = self.posted(3)
        queue.metadata({"kept": 1})
        queue.purge(resource_types=["subscriptions"])
        self.assertEqual(len(self.stored()), 3)
        queue.purge(resource_types=["messages"])
        self.assertEqual(self.stored(), [])
        queue.post({"body": 1})
        queue.purge()
        self.assertEqual(self.stored(), [])
        self.assertEqual(queue.metadata(force_reload=True)["kept"], 1)
        self.assertRaises(errors.MalformedRequest, queue.purge, ["nonsense"])

    # -- messages ------------------------------------------------------------------------------------------------------

    def test_post(self) -> None:
        """post takes one message or several, with bodies of any JSON, and makes the queue."""
        bodies = [{"a": [1, None, "ü"]}, "text", 5, None, [], True, 1.5]
        answer = self.client.queue("new").post([{"body": body, "ttl": 60} for body in bodies])
        self.assertEqual(len(answer["resources"]), len(bodies))
        self.client.queue("new").post({"body": "alone"})
        self.assertEqual(self.stored("new"), [*bodies, "alone"])

    def test_wrong_posts(self) -> None:
        """What the API refuses is an error that says why, and stores nothing."""
        queue = self.queue()
        for message, told in (
            ({"body": 1, "ttl": 59}, "ttl"),
            ({"ttl": 60}, "body"),
            ({"body": "x" * 262144}, "bytes"),
            (["no object"], "messages"),
            ([], "messages"),
        ):
            error = self.assertRaises(errors.MalformedRequest, queue.post, message)
            self.assertIn(told, str(error))
        self.assertEqual(self.stored(), [])

    def test_message(self) -> None:
        """message is one message by its id."""
        queue, ids = self.posted(2)
        message = queue.message(ids[1])
        self.assertIsInstance(message, Message)
        self.assertEqual((message.id, message.body, message.ttl), (ids[1], 1, 300))
        self.assertEqual((message.href, message.claim_id), (f"/v2/queues/q/messages/{ids[1]}", None))
        self.assertRaises(errors.ResourceNotFound, queue.message, "nada")

    def test_messages(self) -> None:
        """messages leaves out what the same client posted, unless it asks for an echo."""
        queue, ids = self.posted(3)
        self.assertEqual(list(queue.messages()), [])
        self.assertEqual([message.id for message in queue.messages(echo=True)], ids)
        another = self.new_client().queue("q")
        self.assertEqual([message.body for message in another.messages()], [0, 1, 2])
        self.assertEqual([message.body for message in another.messages(limit=1, marker=ids[0])], [1])

    def test_messages_claimed(self) -> None:
        """Claimed messages are listed where they are asked for, with their claim."""
        queue, ids = self.posted(3)
        claim = queue.claim(ttl=60, grace=60, limit=2)
        self.assertEqual([message.id for message in queue.messages(echo=True)], ids[2:])
        found = list(queue.messages(echo=True, include_claimed=True))
        self.assertEqual([message.claim_id for message in found], [claim.id, claim.id, None])

    def test_messages_all(self) -> None:
        """A stream of messages follows the links through all pages, and ends."""
        queue, ids = self.posted(45)
        found = queue.messages(echo=True, limit=20).stream()
        self.assertEqual([message.id for message in found], ids)
        self.assertEqual(len(list(queue.messages(echo=True))), 10)

    def test_messages_delayed(self) -> None:
        """In a queue with a delay, messages come after it; a listing can include them, which the client just passes on."""
        queue = self.queue()
        queue.metadata({"_default_message_delay": 900})
        queue.post([{"body": "late"}, {"body": "now", "delay": 0}])
        self.assertEqual([message.body for message in queue.messages(echo=True)], ["now"])
        self.assertEqual([message.body for message in queue.messages(echo=True, include_delayed=True)], ["late", "now"])

    def test_messages_by_id(self) -> None:
        """messages with ids gives those that exist, in their order; the ids go as repeated parameters."""
        queue, ids = self.posted(4)
        self.assertEqual([message.body for message in queue.messages(ids[2], "nada", ids[0])], [2, 0])
        self.assertRaises(errors.ResourceNotFound, queue.messages, "nada")
        self.assertRaises(errors.MalformedRequest, queue.messages, *ids * 6)

    def test_delete_message(self) -> None:
        """delete of a message removes it, and again without an error."""
        queue, ids = self.posted(2)
        message = queue.message(ids[0])
        message.delete()
        message.delete()
        self.assertEqual(self.stored(), [1])

    def test_delete_messages(self) -> None:
        """delete_messages removes those with the ids, claimed ones too, and ignores others."""
        queue, ids = self.posted(4)
        queue.claim(ttl=60, grace=60, limit=1)
        queue.delete_messages(ids[0], ids[2], "nada")
        self.assertEqual(self.stored(), [1, 3])

    def test_pop(self) -> None:
        """pop removes the oldest messages that are free, and returns them."""
        queue, ids = self.posted(5)
        queue.claim(ttl=60, grace=60, limit=1)
        self.assertEqual([message.id for message in queue.pop()], ids[1:2])
        popped = list(queue.pop(count=10))
        self.assertEqual([message.body for message in popped], [2, 3, 4])
        self.assertEqual({message.claim_count for message in popped}, {0})
        self.assertEqual(list(queue.pop()), [])
        self.assertEqual(self.stored(), [0])
        self.assertRaises(errors.MalformedRequest, queue.pop, 21)

    # -- claims --------------------------------------------------------------------------------------------------------

    def test_claim(self) -> None:
        """claim takes the oldest messages; deleting them through it needs no more words."""
        queue, ids = self.posted(5)
        claim = queue.claim(ttl=120, grace=60, limit=3)
        messages = list(claim)
        self.assertEqual([message.id for message in messages], ids[:3])
        self.assertEqual({message.claim_id for message in messages}, {claim.id})
        self.assertEqual(claim.ttl, 120)
        self.assertIn(claim.age, (0, 1))
        for message in messages:
            message.delete()
        self.assertEqual(self.stored(), [3, 4])

    def test_claim_by_id(self) -> None:
        """A claim is found again by its id, with what is left in it.

        Iterating over a claim that was found by its id gives the messages, since they are read with it.
        """
        queue, ids = self.posted(3)
        made = queue.claim(ttl=120, grace=60, limit=3)
        next(iter(made)).delete()
        found = self.new_client().queue("q").claim(id=made.id)
        self.assertEqual([message.id for message in found], ids[1:])
        self.assertEqual(found.ttl, 120)

    def test_claim_of_nothing(self) -> None:
        """A claim of nothing has no id and no messages."""
        claim = self.queue().claim(ttl=60, grace=60)
        self.assertIsNone(claim.id)
        self.assertEqual(list(claim), [])

    def test_claim_without_times(self) -> None:
        """The client sends null for a ttl and a grace that it was not given, which no server of API v2 takes."""
        queue, _ = self.posted(1)
        error = self.assertRaises(errors.MalformedRequest, queue.claim)
        self.assertRegex(str(error), "ttl|grace")

    def test_claimed_message_without_its_claim(self) -> None:
        """A claimed message is not deleted without its claim."""
        queue, ids = self.posted(1)
        message = queue.message(ids[0])
        queue.claim(ttl=60, grace=60)
        self.assertRaises(errors.ForbiddenError, message.delete)
        self.assertEqual(self.stored(), [0])

    def test_update_claim(self) -> None:
        """update renews a claim; a message that would expire before it is kept longer."""
        queue, ids = self.posted(1)
        claim = queue.claim(ttl=60, grace=60)
        claim.update(ttl=600, grace=90)
        self.assertEqual(claim.ttl, 600)
        shown = self.outside("GET", f"/v2/queues/q/claims/{claim.id}").json
        self.assertEqual((shown["ttl"], shown["messages"][0]["ttl"]), (600, 690))
        self.assertRaises(errors.MalformedRequest, claim.update, ttl=59)
        self.assertRaises(errors.ResourceNotFound, queue.claim(id="nada").update, ttl=60, grace=60)

    def test_release_claim(self) -> None:
        """delete of a claim frees its messages, at their old place."""
        queue, ids = self.posted(3)
        claim = queue.claim(ttl=60, grace=60, limit=1)
        claim.delete()
        self.assertEqual([message.id for message in queue.claim(ttl=60, grace=60)], ids)
        self.assertRaises(errors.ResourceNotFound, claim._get)
        held = queue.message(ids[0])
        held.href = f"{held.href.partition('?')[0]}?claim_id={claim.id}"
        self.assertRaises((errors.MalformedRequest), held.delete)

    def test_worker(self) -> None:
        """A producer and two workers: every message is handed out once."""
        queue, ids = self.posted(30)
        done: list[str] = []
        workers = [self.new_client().queue("q") for _ in range(2)]
        while len(done) < 30:
            for worker in workers:
                for message in worker.claim(ttl=60, grace=60, limit=7):
                    message.delete()
                    done.append(message.id)
        self.assertEqual(done, ids)
        self.assertEqual(queue.stats["messages"]["total"], 0)

    def test_dead_letters(self) -> None:
        """After as many claims as allowed a message is moved to the dead letter queue.

        The client cannot set these keys in an existing queue: it adds a key that it saw as null, and then removes it in
        the same request, with any server.  So the queue is made with them.
        """
        self.queue("dead")
        self.outside("PUT", "/v2/queues/q", {"_max_claim_count": 2, "_dead_letter_queue": "dead"})
        queue = self.queue()
        queue.post({"body": "poison"})
        for _ in range(2):
            claim = queue.claim(ttl=60, grace=60)
            self.assertEqual([message.body for message in claim], ["poison"])
            claim.delete()
        self.assertEqual(list(queue.claim(ttl=60, grace=60)), [])
        self.assertEqual((self.stored(), self.stored("dead")), ([], ["poison"]))

    # -- subscriptions -------------------------------------------------------------------------------------------------

    def test_subscribe(self) -> None:
        """subscription makes one and shows it; an id shows the same one."""
        made = self.client.subscription("q", subscriber="http://example.org/hook", ttl=90, options={"a": [1]})
        shown = (made.subscriber, made.ttl, made.options, made.age, made.confirmed)
        self.assertEqual(shown, ("http://example.org/hook", 90, {"a": [1]}, 0, False))
        found = self.client.subscription("q", id=made.id)
        self.assertEqual((found.subscriber, found.ttl, found.options), shown[:3])
        self.assertRaises(errors.ResourceNotFound, self.client.subscription, "q", id="nada")

    def test_subscribe_again(self) -> None:
        """A subscriber again is the same subscription, until it is confirmed."""
        made = self.client.subscription("q", subscriber="mailto:a@example.org")
        self.assertEqual(self.client.subscription("q", subscriber="mailto:a@example.org").id, made.id)
        path = f"/v2/queues/q/subscriptions/{made.id}/confirm"
        self.assertEqual(self.outside("PUT", path, {"confirmed": True}).status, 204)
        self.assertRaises(errors.ConflictError, self.client.subscription, "q", subscriber="mailto:a@example.org")

    def test_subscriptions(self) -> None:
        """subscriptions lists them, and goes on by the link of a page."""
        ids = {self.client.subscription("q", subscriber=f"http://example.org/{number}").id for number in range(12)}
        self.assertEqual({one.id for one in self.client.subscriptions("q", limit=20)}, ids)
        self.assertEqual({one.id for one in self.queue().subscriptions()}, ids)
        first = [one.id for one in self.client.subscriptions("q", limit=5)]
        rest = [one.id for one in self.client.subscriptions("q", limit=20, marker=first[-1])]
        self.assertEqual(first + rest, sorted(ids))
        self.assertEqual(list(self.client.subscriptions("none")), [])

    def test_update_subscription(self) -> None:
        """update changes what it is told; delete ends a subscription, and so does a purge."""
        made = self.client.subscription("q", subscriber="http://example.org/hook")
        made.update({"ttl": 1000, "subscriber": "http://example.org/other"})
        found = self.client.subscription("q", id=made.id)
        self.assertEqual((found.ttl, found.subscriber), (1000, "http://example.org/other"))
        self.assertRaises(errors.MalformedRequest, made.update, {"ttl": 1})
        found.delete()
        self.assertRaises(errors.ResourceNotFound, made.update, {"ttl": 100})
        self.client.subscription("q", subscriber="http://example.org/hook")
        self.queue().purge(resource_types=["subscriptions"])
        self.assertEqual(list(self.client.subscriptions("q")), [])

    def test_wrong_subscriptions(self) -> None:
        """What the API refuses is an error that says why."""
        for members, told in (
            ({"subscriber": "fake"}, "must be supported in the list"),
            ({"subscriber": "http://a", "ttl": 59}, "ttl"),
            ({"subscriber": "http://a", "ttl": "x"}, "must be an integer"),
            ({"subscriber": "http://a", "options": "x"}, "must be a dict"),
        ):
            error = self.assertRaises(errors.MalformedRequest, self.client.subscription, "q", **members)
            self.assertIn(told, str(error))

    def test_subscriptions_all(self) -> None:
        """A stream of subscriptions follows the links through all pages, in the order of their ids."""
        ids = sorted(self.client.subscription("q", subscriber=f"http://example.org/{n}").id for n in range(12))
        self.assertEqual([one.id for one in self.client.subscriptions("q", limit=5).stream()], ids)

    # -- pools and flavors ---------------------------------------------------------------------------------------------

    def test_pools_and_flavors(self) -> None:
        """Without pooling there are neither pools nor flavors, and every call says so (API reference, "Pools")."""
        pool = self.client.pool("p", auto_create=False)
        flavor = self.client.flavor("f", auto_create=False)
        self.assertIsInstance(pool, Pool)
        self.assertIsInstance(flavor, Flavor)
        for refused in (
            self.client.pools,
            lambda: self.client.pool("p", uri="redis://127.0.0.1", weight=1),
            pool.get,
            lambda: pool.update({"weight": 2}),
            pool.delete,
            self.client.flavors,
            lambda: self.client.flavor("f", pool_list=["p"]),
            flavor.get,
            lambda: flavor.update({"pool_list": ["p"]}),
            flavor.delete,
        ):
            error = self.assertRaises(errors.ResourceNotFound, refused)
            self.assertIn("404 Not Found", str(error))


class WebSocketTransportTests(GatewayTestCase):
    """The client's WebSocket transport.

    Its higher calls put names into the parameters of a request, which this transport does not send, with any server; so,
    as its own documentation says, requests are made by hand here, each action once.
    """

    def setUp(self) -> None:
        super().setUp()
        options = {"os_auth_token": "none", "os_project_id": self.project}
        conf = {"auth_opts": {"backend": "noauth", "options": options}}
        self.endpoint = self.gateway.websocket
        self.transport = transport.get_transport_for(self.endpoint, options=conf)
        self.addCleanup(self.transport.cleanup)
        self.outside = self.http(client=str(uuid4()))

    def send(self, action: str, **body: Any) -> Any:
        """Send a request; an error is raised by the client."""
        return self.transport.send(Request(self.endpoint, action, content=json.dumps(body)))

    def ask(self, action: str, **body: Any) -> Any:
        """The body of the answer."""
        return self.send(action, **body).deserialized_content

    def test_authenticate(self) -> None:
        """The first frame is an authentication, which is answered where there is no authentication."""
        answer = self.transport.send(Request(self.endpoint, "authenticate", headers={"X-Auth-Token": "none"}))
        self.assertEqual((answer.status_code, answer.deserialized_content), (200, {"message": "Authentified."}))

    def test_on_the_port_of_http(self) -> None:
        """The transport works on the port of HTTP too."""
        self.endpoint = self.gateway.http.replace("http", "ws", 1)
        self.assertEqual(self.ask("queue_list"), {"queues": []})

    def test_queues(self) -> None:
        """Queues are made, listed, shown and removed."""
        self.assertEqual(self.send("queue_create", queue_name="a", metadata={"k": 1}).status_code, 201)
        self.assertEqual(self.send("queue_create", queue_name="a").status_code, 204)
        self.assertEqual(self.ask("queue_create", queue_name="b"), "Queue b created.")
        self.assertEqual(
            self.ask("queue_list", detailed=True),
            {"queues": [{"name": "a", "metadata": {"k": 1}}, {"name": "b", "metadata": {}}]},
        )
        self.assertEqual(self.ask("queue_list", limit=1, marker="a"), {"queues": [{"name": "b"}]})
        self.assertEqual(self.ask("queue_get", queue_name="a"), {"k": 1})
        self.assertEqual(self.outside("GET", "/v2/queues/a").json["k"], 1)
        self.assertEqual(self.send("queue_delete", queue_name="a").status_code, 204)
        self.assertEqual([each["name"] for each in self.outside("GET", "/v2/queues").json["queues"]], ["b"])

    def test_stats_and_purge(self) -> None:
        """Stats count, and a purge empties."""
        self.ask("message_post", queue_name="q", messages=[{"body": 1}, {"body": 2}])
        stats = self.ask("queue_get_stats", queue_name="q")["messages"]
        self.assertEqual((stats["free"], stats["claimed"], stats["total"]), (2, 0, 2))
        self.assertEqual(self.send("queue_purge", queue_name="q", resource_types=["messages"]).status_code, 204)
        self.assertEqual(self.outside.all_messages("q"), [])
        self.assertRaises(errors.ResourceNotFound, self.send, "queue_get_stats", queue_name="none")

    def test_messages(self) -> None:
        """Messages are posted, listed, shown, deleted and popped."""
        bodies = [{"a": ["ü", None]}, 1, "two", None]
        ids = self.ask("message_post", queue_name="q", messages=[{"body": body, "ttl": 90} for body in bodies])[
            "message_ids"
        ]
        self.assertEqual(self.outside.all_messages("q"), bodies)
        self.assertEqual(self.ask("message_list", queue_name="q"), {"messages": []})
        listed = self.ask("message_list", queue_name="q", echo=True, limit=3)["messages"]
        self.assertEqual([message["id"] for message in listed], ids[:3])
        self.assertEqual(set(listed[0]), {"id", "claim_id", "ttl", "age", "body"})
        shown = self.ask("message_get", queue_name="q", message_id=ids[0])["messages"]
        self.assertEqual((shown["body"], shown["ttl"], shown["claim_id"]), (bodies[0], 90, None))
        found = self.ask("message_get_many", queue_name="q", message_ids=[ids[2], "nada", ids[1]])["messages"]
        self.assertEqual([message["body"] for message in found], ["two", 1])
        self.assertEqual(self.send("message_delete", queue_name="q", message_id=ids[0]).status_code, 204)
        self.assertEqual(self.send("message_delete_many", queue_name="q", message_ids=ids[1:2]).status_code, 204)
        popped = self.ask("message_delete_many", queue_name="q", pop=5)["messages"]
        self.assertEqual([(message["body"], message["claim_count"]) for message in popped], [("two", 0), (None, 0)])
        self.assertEqual(self.outside.all_messages("q"), [])
        self.assertRaises(errors.ResourceNotFound, self.send, "message_get", queue_name="q", message_id=ids[0])

    def test_claims(self) -> None:
        """Claims are made, shown, renewed and released."""
        ids = self.ask("message_post", queue_name="q", messages=[{"body": n, "ttl": 90} for n in range(3)])[
            "message_ids"
        ]
        made = self.ask("claim_create", queue_name="q", ttl=60, grace=60, limit=2)
        claim = made["claim_id"]
        self.assertEqual([message["id"] for message in made["messages"]], ids[:2])
        self.assertEqual({message["claim_id"] for message in made["messages"]}, {claim})
        self.assertEqual(self.send("claim_update", queue_name="q", claim_id=claim, ttl=600, grace=60).status_code, 204)
        shown = self.ask("claim_get", queue_name="q", claim_id=claim)
        self.assertEqual((shown["ttl"], [message["ttl"] for message in shown["messages"]]), (600, [660, 660]))
        body = {"queue_name": "q", "message_id": ids[0]}
        self.assertRaises(errors.ForbiddenError, self.send, "message_delete", **body)
        self.assertEqual(self.send("message_delete", **body, claim_id=claim).status_code, 204)
        self.assertEqual(self.send("claim_delete", queue_name="q", claim_id=claim).status_code, 204)
        self.assertRaises(errors.ResourceNotFound, self.send, "claim_get", queue_name="q", claim_id=claim)
        self.assertRaises(
            errors.MalformedRequest, self.send, "message_delete", **{**body, "message_id": ids[1]}, claim_id=claim
        )
        again = self.ask("claim_create", queue_name="q")
        self.assertEqual([message["id"] for message in again["messages"]], ids[1:])
        self.assertEqual(self.send("claim_create", queue_name="q").status_code, 204)

    def test_subscriptions(self) -> None:
        """Subscriptions are made, listed, shown and deleted; a second one for a subscriber is a conflict."""
        made = self.ask("subscription_create", queue_name="q", subscriber="http://example.org/hook", ttl=90)
        self.assertEqual(made["message"], "Subscription q created.")
        one = {"queue_name": "q", "subscription_id": made["subscription_id"]}
        shown = self.ask("subscription_get", **one)
        self.assertEqual((shown["subscriber"], shown["ttl"]), ("http://example.org/hook", 90))
        self.assertEqual(self.ask("subscription_list", queue_name="q"), {"subscriptions": [shown]})
        again = {"queue_name": "q", "subscriber": "http://example.org/hook"}
        error = self.assertRaises(errors.ConflictError, self.send, "subscription_create", **again)
        self.assertIn("Subscription q not created.", str(error))
        self.assertEqual(self.send("subscription_delete", **one).status_code, 204)
        self.assertRaises(errors.ResourceNotFound, self.send, "subscription_get", **one)

    def test_pushes(self) -> None:
        """A socket that subscribed gets what is posted, as it is posted; the client reads it with ``recv``."""
        made = self.ask("subscription_create", queue_name="q", ttl=90)
        self.assertEqual(made["message"], "Subscription q created.")
        more = {"ttl": 3600, "queue_name": "q", "Message_Type": "Notification"}
        self.outside.post("q", {"n": 1}, "ü")
        self.assertEqual([self.transport.recv() for _ in range(2)], [{"body": {"n": 1}, **more}, {"body": "ü", **more}])
        self.assertEqual(
            self.send("subscription_delete", queue_name="q", subscription_id=made["subscription_id"]).status_code, 204
        )
        self.outside.post("q", "nobody is told")
        self.assertEqual(len(self.ask("message_list", queue_name="q", echo=True)["messages"]), 3)

    def test_own_posts(self) -> None:
        """A subscribed socket that posts gets its answer before the pushes: the client takes the next frame as its answer."""
        self.ask("subscription_create", queue_name="q")
        for number in range(20):
            ids = self.ask("message_post", queue_name="q", messages=[{"body": number}, {"body": -number}])["message_ids"]
            self.assertEqual(len(ids), 2)
            self.assertEqual([self.transport.recv()["body"] for _ in range(2)], [number, -number])

    def test_subscriptions_of_a_socket(self) -> None:
        """A second subscription of a socket to a queue is a conflict, and all of them end with the socket."""
        self.ask("subscription_create", queue_name="q")
        self.assertRaises(errors.ConflictError, self.send, "subscription_create", queue_name="q")
        self.ask("subscription_create", queue_name="r")
        (listed,) = self.outside("GET", "/v2/queues/q/subscriptions").json["subscriptions"]
        self.assertRegex(listed["subscriber"], "^http://(127.0.0.1|localhost):")
        self.transport.cleanup()
        paths = [f"/v2/queues/{queue}/subscriptions" for queue in ("q", "r")]
        until(
            lambda: not any(self.outside("GET", path).json["subscriptions"] for path in paths),
            ANSWER_S,
            "the end of the subscriptions of a socket that was closed",
        )

    def test_declared_actions(self) -> None:
        """Actions that the API declares and no server runs are told as such, and the connection stays."""
        for action in sorted(NOT_IMPLEMENTED):
            answer = self.transport.send(Request(self.endpoint, action, content="{}"))
            self.assertEqual(answer.status_code, 501, action)
            self.assertIn(action, answer.deserialized_content["error"])
        self.assertEqual(self.ask("queue_list"), {"queues": []})

    def test_errors(self) -> None:
        """What was wrong is in the error that the client raises, and the connection stays."""
        error = self.assertRaises(errors.MalformedRequest, self.send, "message_list", queue_name="q", limit=0)
        self.assertIn("limit", str(error))
        error = self.assertRaises(errors.MalformedRequest, self.send, "no_such_thing")
        self.assertIn("no_such_thing is not a valid action", str(error))
        self.assertEqual(self.ask("queue_list"), {"queues": []})

    def test_higher_calls(self) -> None:
        """A call of the client object reaches the server, without the parameters that its transport leaves out."""
        options = {"os_auth_token": "none", "os_project_id": self.project}
        client = Client(self.endpoint, version=2, conf={"auth_opts": {"backend": "noauth", "options": options}})
        self.outside("PUT", "/v2/queues/there")
        self.assertEqual([queue.name for queue in client.queues(limit=1)[0]], ["there"])
        error = self.assertRaises(errors.MalformedRequest, client.queue("there").post, {"body": 1})
        self.assertIn("queue_name", str(error))

    def test_both_transports(self) -> None:
        """What one transport of the client posted, the other one claims."""
        conf = {"auth_opts": {"backend": "noauth", "options": {"os_project_id": self.project}}}
        Client(self.gateway.http, version=2, conf=conf).queue("q").post({"body": "over HTTP"})
        claim = self.ask("claim_create", queue_name="q")
        self.assertEqual([message["body"] for message in claim["messages"]], ["over HTTP"])
        self.ask("message_post", queue_name="q", messages=[{"body": "over WebSocket"}])
        found = list(Client(self.gateway.http, version=2, conf=conf).queue("q").claim(ttl=60, grace=60))
        self.assertEqual([message.body for message in found], ["over WebSocket"])

    def test_another_socket(self) -> None:
        """A plain socket sees what this one posted: it has another Client-ID."""
        self.ask("message_post", queue_name="q", messages=[{"body": 1}])
        plain: Socket = self.socket()
        self.assertEqual([message["body"] for message in plain("message_list", queue_name="q").body["messages"]], [1])
