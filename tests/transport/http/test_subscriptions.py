"""Subscriptions over HTTP: what is sent and answered, for queues and for topics."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import PROJECT, FailingStorage, HttpApi, Response
from zaqar_gateway.errors import StoreFault, StoreUnavailable
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.model import Context
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import clock_at_epoch
from zaqar_gateway.transport.http.admission import Admission

KEY = "s3cr3t"
HOOK, OTHER = "http://example.org/a", "https://example.org/b"
RULE, BODY, UPDATE = "Invalid API request", "Invalid request body", "Unable to update subscription"


class SubscriptionsCase(SynchronousTestCase):
    """A site over an empty store."""

    queue = "/v2/queues/q"
    other = "/v2/topics/q"

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.storage = MemoryStorage(self.clock)
        self.api = self.site()
        self.base = f"{self.queue}/subscriptions"

    def site(self, **options: Any) -> HttpApi:
        return HttpApi(self.storage, keys=(KEY,), clock=self.clock, **options)

    def create(self, subscriber: str = HOOK, **members: Any) -> str:
        response = self.api("POST", self.base, {"subscriber": subscriber, **members})
        self.assertEqual((response.status, response.header("Location")), (201, self.base), response.body)
        self.assertEqual(list(response.json), ["subscription_id"])
        return str(response.json["subscription_id"])

    def assertRefused(self, response: Response, status: int, title: str, told: str = "") -> None:
        self.assertEqual((response.status, response.title), (status, title), response.body)
        self.assertEqual(set(response.json), {"title", "description"})
        self.assertIn(told, response.json["description"])


class QueueTests(SubscriptionsCase):
    """Subscriptions of queues."""

    def test_shown(self) -> None:
        """A subscription has seven keys; options are shown as they were given, but for escapes of characters that need none."""
        body = rb'''{"subscriber": "http://example.org/a", "ttl": 60, "x": [1],
            "options": {"a":  1.0, "b": "\u00e9\ud83d\uDE00\u0022\u0001\n\\u00e9\\\u00e9"}}'''
        subscription_id = self.api("POST", self.base, body).json["subscription_id"]
        self.clock.advance(7.9)
        response = self.api("GET", f"{self.base}/{subscription_id}")
        shown = {
            "id": subscription_id,
            "source": "q",
            "subscriber": HOOK,
            "ttl": 60,
            "age": 7,
            "options": {"a": 1.0, "b": 'é\U0001f600"\x01\n\\u00e9\\é'},
            "confirmed": False,
        }
        self.assertEqual((response.status, response.json), (200, shown))
        self.assertIn(r'{"a":  1.0, "b": "é😀\"\u0001\n\\u00e9\\é"}'.encode(), response.body)
        link = {"rel": "next", "href": f"{self.base}?marker={subscription_id}"}
        self.assertEqual(self.api("GET", self.base).json, {"subscriptions": [shown], "links": [link]})

    def test_unknown_members(self) -> None:
        """Members that HTTP does not know are ignored, those among them that a connection may subscribe itself with."""
        self.create(echo=True, start=7, durable=None, window="x", acknowledge=[], deadline=-1, claim={"ttl": 1})

    def test_missing(self) -> None:
        """Without a queue there are none; ids of nothing are 404, save where they are deleted."""
        self.assertEqual(self.api("GET", self.base).json, {"subscriptions": [], "links": []})
        for path in ("nada", "a" * 1000, "0" * 24):
            one = f"{self.base}/{path}"
            self.assertRefused(self.api("GET", one), 404, "Not found")
            self.assertRefused(self.api("PATCH", one, {"ttl": 300}), 404, "Not found")
            self.assertRefused(self.api("PUT", f"{one}/confirm", {"confirmed": True}), 404, "Not found")
            self.assertEqual(self.api("DELETE", one).status, 204)

    def test_queue_is_made(self) -> None:
        """The queue is made with its first subscription, and not with one that is refused."""
        self.api("POST", self.base, {})
        collection = self.queue.rpartition("/")[0]
        name = collection.rpartition("/")[2]
        self.assertEqual(self.api("GET", collection).json[name], [])
        self.create()
        self.assertEqual([one["name"] for one in self.api("GET", collection).json[name]], ["q"])

    def test_pages(self) -> None:
        """Following the links shows each once, in the order of ids; unknown parameters are neither read nor repeated."""
        ids = sorted(self.create(f"http://a/{number}") for number in range(7))
        href, seen = f"{self.base}?limit=3&detailed=true", []
        while True:
            page = self.api("GET", href).json
            if not page["subscriptions"]:
                break
            seen.append([one["id"] for one in page["subscriptions"]])
            (link,) = page["links"]
            href = link["href"]
            self.assertEqual(href, f"{self.base}?limit=3&marker={seen[-1][-1]}")
        self.assertEqual(seen, [ids[:3], ids[3:6], ids[6:]])
        self.assertEqual(page["links"], [])
        for limit, title in (("0", RULE), ("21", RULE), ("x", "Invalid parameter")):
            self.assertRefused(self.api("GET", f"{self.base}?limit={limit}"), 400, title, "limit")

    def test_refused(self) -> None:
        """What breaks a rule says which."""
        for body, title, told in (
            (None, RULE, "Missing parameter"),
            ({}, RULE, "Missing parameter"),
            ({"ttl": 60}, RULE, "Missing parameter"),
            ({"subscriber": "fake"}, RULE, "must be supported in the list"),
            ({"subscriber": "email://x"}, RULE, "must be supported in the list"),
            ({"subscriber": None}, RULE, "null"),
            ({"subscriber": ""}, RULE, "empty"),
            ({"subscriber": 5}, RULE, "string"),
            ({"subscriber": HOOK, "options": "x"}, RULE, "must be a dict"),
            ({"subscriber": HOOK, "options": []}, RULE, "must be a dict"),
            ({"subscriber": HOOK, "ttl": "x"}, RULE, "must be an integer"),
            ({"subscriber": HOOK, "ttl": None}, RULE, "must be an integer"),
            ({"subscriber": HOOK, "ttl": 59}, RULE, "ttl"),
            ({"subscriber": HOOK, "ttl": 99999999999999999}, RULE, "ttl"),
            ({"subscriber": HOOK, "options": {"_retry_policy": []}}, RULE, "_retry_policy"),
            (b"{", BODY, "could not be parsed"),
            (b" ", BODY, "could not be parsed"),
            (b"5", BODY, "could not be parsed"),
            ([], BODY, "object"),
        ):
            self.assertRefused(self.api("POST", self.base, body), 400, title, told)

    def test_duplicates(self) -> None:
        """A subscriber again is 201 with the id that is there, and 409 once it is confirmed (appendix B)."""
        first = self.create(ttl=100, options={"a": 1})
        self.assertEqual(self.create(ttl=200, options={"a": 2}), first)
        confirm = f"{self.base}/{first}/confirm"
        response = self.api("PUT", confirm, {"confirmed": True})
        self.assertEqual((response.status, response.body, response.header("Location")), (204, b"", confirm))
        response = self.api("POST", self.base, {"subscriber": HOOK})
        self.assertRefused(response, 409, "Resource conflict")
        self.assertEqual(response.header("Location"), self.base)
        shown = self.api("GET", f"{self.base}/{first}").json
        self.assertEqual((shown["ttl"], shown["options"], shown["confirmed"]), (100, {"a": 1}, True))
        self.assertEqual(self.api("PUT", confirm, {"confirmed": False}).status, 204)
        self.assertEqual(self.create(), first)

    def test_update(self) -> None:
        """A change is 204 at the path that was asked."""
        one = f"{self.base}/{self.create(ttl=100)}"
        response = self.api("PATCH", one, {"subscriber": OTHER, "ttl": 60, "options": {"b": 2}, "x": 1})
        self.assertEqual((response.status, response.body, response.header("Location")), (204, b"", one))
        shown = self.api("GET", one).json
        self.assertEqual((shown["subscriber"], shown["ttl"], shown["options"]), (OTHER, 60, {"b": 2}))
        self.create(HOOK)
        self.assertRefused(self.api("PATCH", one, {"subscriber": HOOK}), 409, "Resource conflict")
        self.assertEqual(self.api("PATCH", one, {"subscriber": OTHER}).status, 204)

    def test_update_refused(self) -> None:
        """A bad change says what is bad, also where there is nothing to change."""
        for body, title, told in (
            (None, BODY, "body"),
            ({}, RULE, "empty"),
            ([], RULE, "Subscriptions must be a dict."),
            ([1], RULE, "Subscriptions must be a dict."),
            (b"{", BODY, "could not be parsed"),
            (b"5", BODY, "could not be parsed"),
            ({"ttl": "invalid"}, RULE, "must be an integer"),
            ({"ttl": 59}, RULE, "ttl"),
            ({"options": 1}, RULE, "must be a dict"),
            ({"subscriber": "fake"}, RULE, "must be supported in the list"),
            ({"confirmed": True}, UPDATE, "subscriber"),
            ({"ttl": None}, UPDATE, "subscriber"),
        ):
            response = self.api("PATCH", f"{self.base}/x", body)
            self.assertRefused(response, 400, title, told)
            self.assertNotIn("{", response.json["description"])

    def test_confirm_refused(self) -> None:
        """Nothing but a boolean confirms, also where there is nothing to confirm."""
        wrong: list[Any] = [{}, {"confirmed": "true"}, {"confirmed": 1}, {"confirmed": None}, {"x": True}]
        for body in wrong:
            response = self.api("PUT", f"{self.base}/x/confirm", body)
            self.assertRefused(response, 400, RULE)
            self.assertEqual(response.json["description"], "The 'confirmed' should be boolean.")
        unread: list[tuple[Any, str]] = [(None, "body"), ([], "object"), (b"{", "could not be parsed")]
        for body, told in unread:
            self.assertRefused(self.api("PUT", f"{self.base}/x/confirm", body), 400, BODY, told)

    def test_lifetime(self) -> None:
        """A subscription is gone when its ttl is over, and its subscriber free again."""
        first = self.create(ttl=60)
        self.clock.advance(60)
        self.assertRefused(self.api("GET", f"{self.base}/{first}"), 404, "Not found")
        self.assertEqual(self.api("GET", self.base).json["subscriptions"], [])
        self.assertNotEqual(self.create(), first)

    def test_purge(self) -> None:
        """A purge takes subscriptions where they are named, or nothing is."""
        for body, left in (
            ({"resource_types": []}, 1),
            ({"resource_types": ["messages"]}, 1),
            ({"resource_types": ["subscriptions"]}, 0),
            ({"resource_types": ["subscriptions", "messages"]}, 0),
            (None, 0),
        ):
            self.create()
            self.api("POST", f"{self.queue}/messages", {"messages": [{"body": 1}]})
            self.assertEqual(self.api("POST", f"{self.queue}/purge", body).status, 204)
            self.assertEqual(len(self.api("GET", self.base).json["subscriptions"]), left)
            kept = body is not None and "messages" not in body["resource_types"]
            self.assertEqual(self.api("GET", f"{self.queue}/stats").json["messages"]["total"] > 0, kept)
            self.api("POST", f"{self.queue}/purge")

    def test_apart(self) -> None:
        """Another project, another queue, and the other kind of the same name have none of them."""
        subscription_id = self.create()
        for base, project in (
            (self.base, "other"),
            (self.base.replace("/q/", "/r/"), PROJECT),
            (f"{self.other}/subscriptions", PROJECT),
        ):
            mine: dict[str, str | None] = {"X-Project-ID": project}
            one = f"{base}/{subscription_id}"
            self.assertEqual(self.api("GET", base, None, mine).json["subscriptions"], [])
            self.assertEqual(self.api("GET", one, None, mine).status, 404)
            self.assertEqual(self.api("PATCH", one, {"ttl": 60}, mine).status, 404)
            self.assertEqual(self.api("PUT", f"{one}/confirm", {"confirmed": True}, mine).status, 404)
            self.assertEqual(self.api("DELETE", one, None, mine).status, 204)
        shown = self.api("GET", f"{self.base}/{subscription_id}").json
        self.assertEqual((shown["ttl"], shown["confirmed"]), (3600, False))

    def test_signed_confirmation(self) -> None:
        """A signed path confirms with its method alone; EXTRA-SPEC plays no part (API reference, "Extra specs")."""
        subscription_id = self.create()
        path = f"{self.base}/{subscription_id}/confirm"
        signed = UrlSigner((KEY,), self.clock).sign(PROJECT, [path], ["PUT"], int(self.clock.seconds()) + 60)
        headers: dict[str, str | None] = {
            "URL-Signature": signed.signature,
            "URL-Expires": signed.expires,
            "URL-Methods": "PUT",
            "URL-Paths": path,
        }
        for more in ({}, {"EXTRA-SPEC": "messagecode:123456"}):
            self.assertEqual(self.api("PUT", path, {"confirmed": True}, {**headers, **more}).status, 204)
        self.assertTrue(self.api("GET", f"{self.base}/{subscription_id}").json["confirmed"])
        for method, target, name, value in (
            ("GET", path.removesuffix("/confirm"), "URL-Methods", "PUT"),
            ("PUT", path.replace("/q/", "/r/"), "URL-Methods", "PUT"),
            ("PUT", path, "URL-Methods", "GET"),
            ("PUT", path, "X-Project-ID", "other"),
            ("PUT", path, "URL-Signature", signed.signature[:-1]),
            ("PUT", path, "URL-Signature", ""),
        ):
            response = self.api(method, target, {"confirmed": False}, {**headers, name: value})
            self.assertEqual((response.status, response.json), (404, {"title": "404 Not Found"}))

    def test_no_identity_service(self) -> None:
        """A trust that cannot be made is 503, with the time to wait; nothing is stored."""
        response = self.api("POST", self.base, {"subscriber": "trust+http://a"})
        self.assertRefused(response, 503, "Service temporarily unavailable", "few seconds")
        self.assertEqual(response.header("Retry-After"), "2")
        self.assertEqual(self.api("GET", self.base).json["subscriptions"], [])
        self.create("trust+http://a", options={"trust_id": "mine"})

    def test_store_fails(self) -> None:
        """A failure of the store is 503 for each of them."""
        for error in (StoreFault(), StoreUnavailable("away")):
            api = HttpApi(FailingStorage(error))
            for method, path, body in (
                ("GET", self.base, None),
                ("POST", self.base, {"subscriber": HOOK}),
                ("GET", f"{self.base}/a", None),
                ("PATCH", f"{self.base}/a", {"ttl": 60}),
                ("PATCH", f"{self.base}/a", {"subscriber": HOOK}),
                ("DELETE", f"{self.base}/a", None),
                ("PUT", f"{self.base}/a/confirm", {"confirmed": True}),
                ("POST", f"{self.queue}/purge", {"resource_types": ["subscriptions"]}),
            ):
                self.assertRefused(api(method, path, body), 503, "Service temporarily unavailable")
        self.assertEqual(len(self.flushLoggedErrors(StoreFault)), 8)

    def test_methods(self) -> None:
        """Each place has its methods."""
        for path, allow in (
            (self.base, "GET, POST, OPTIONS"),
            (f"{self.base}/a", "DELETE, GET, PATCH, OPTIONS"),
            (f"{self.base}/a/confirm", "PUT, OPTIONS"),
        ):
            response = self.api("HEAD", path)
            self.assertEqual((response.status, response.header("Allow")), (405, allow))


class TopicTests(QueueTests):
    """The same for topics."""

    queue = "/v2/topics/q"
    other = "/v2/queues/q"


class TokenTests(SynchronousTestCase):
    """The caller's token."""

    def test_token(self) -> None:
        """It is part of who asks, unless a signature stands in its place."""
        admission = Admission(lambda headers: Context("p", roles=frozenset(("a",)), user="u"), ClientIds())
        headers = {b"client-id": b"3381af92-2b9e-11e3-b191-71861300734c", b"x-auth-token": b"secret"}
        self.assertEqual(admission.caller(headers).token, "secret")
        self.assertEqual(admission.caller(headers, "p").token, "")
        self.assertNotIn("secret", repr(admission.caller(headers)))


class DeliveryTests(SubscriptionsCase):
    """Deliveries that were given up, for operators."""

    admin: dict[str, str | None] = {"X-Roles": "admin"}

    def test_empty(self) -> None:
        """Where nothing was given up nothing is listed or sent again."""
        for base in ("/v2/queues/q/deliveries", "/v2/topics/q/deliveries"):
            response = self.api("GET", base, None, self.admin)
            self.assertEqual((response.status, response.json), (200, {"deliveries": [], "links": []}))
            for body in (None, {"ids": ["nada"]}):
                response = self.api("POST", base, body, self.admin)
                self.assertEqual((response.status, response.json), (200, {"count": 0}))
        self.assertEqual(self.api("GET", "/v2/deliveries", None, self.admin).json, {"deliveries": []})

    def test_admin(self) -> None:
        """They are for the role admin, and are served in admin mode only."""
        requests = (("GET", "/v2/deliveries"), ("GET", "/v2/queues/q/deliveries"), ("POST", "/v2/topics/q/deliveries"))
        plain = self.site(admin_mode=False)
        for method, path in requests:
            self.assertRefused(self.api(method, path), 403, "Not authorized")
            self.assertEqual(plain(method, path, None, self.admin).status, 404)

    def test_refused(self) -> None:
        """Ids are strings, one at least; a limit has its bounds."""
        base = "/v2/queues/q/deliveries"
        for body, title in (({"ids": "a"}, BODY), ({"ids": [1]}, BODY), ({"ids": []}, RULE), ([], BODY)):
            self.assertRefused(self.api("POST", base, body, self.admin), 400, title)
        self.assertRefused(self.api("GET", f"{base}?limit=21", None, self.admin), 400, RULE, "limit")
