"""python-zaqarclient: pools and flavors, as an administrator."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zaqarclient.queues.v2.client import Client
from zaqarclient.transport import errors

from tests.system.gateway import Gateway, Http

ALL_BUT_DURABLE = ["FIFO", "CLAIMS", "AOD", "HIGH_THROUGHPUT"]


class AdminClient(Client):  # type: ignore[misc]
    """Says that it has the role of an administrator, which the client has no option for without authentication."""

    def _request_and_transport(self) -> Any:
        request, transport = super()._request_and_transport()
        request.headers["X-ROLES"] = "admin"
        return request, transport


class PoolTests(SynchronousTestCase):
    """What the client does, against a gateway all of whose stores are in memory."""

    def setUp(self) -> None:
        settings = {"ADMIN_MODE": "true", "POOLING": "true", "ENABLE_VIRTUAL_POOL": "true"}
        self.gateway = Gateway(storage="memory:", settings=settings)
        self.addCleanup(self.gateway.kill)
        auth = {"backend": "noauth", "options": {"os_project_id": "p"}}
        self.client = AdminClient(self.gateway.http, version=2, conf={"auth_opts": auth})

    def test_pools(self) -> None:
        """Pools are made, read, changed, listed and removed."""
        pools = {name: self.client.pool(name, uri=f"memory:{name}", weight=10) for name in ("a", "b", "c")}
        self.assertEqual(pools["a"].get()["weight"], 10)
        pools["a"].update({"weight": 20, "options": {"x": 1}})
        self.assertEqual(pools["a"].get()["weight"], 20)
        self.assertEqual([pool.name for pool in self.client.pools(limit=2)], ["a", "b"])
        self.assertEqual([pool.name for pool in self.client.pools(marker="b", detailed=True)], ["c"])
        with self.assertRaises(errors.ConflictError):
            self.client.pool("d", uri="memory:a", weight=1)
        pools["c"].delete()
        with self.assertRaises(errors.ResourceNotFound):
            pools["c"].get()

    def test_flavors(self) -> None:
        """Flavors are made, read, changed, listed and removed, and queues are put in their pools."""
        for name in ("a", "b"):
            self.client.pool(name, uri=f"memory:{name}", weight=10)
        flavor = self.client.flavor("fast", pool_list=["a"])
        self.assertEqual(
            flavor.get(),
            {"name": "fast", "href": "/v2/flavors/fast", "pool_list": ["a"], "capabilities": ALL_BUT_DURABLE},
        )
        outside = Http(self.gateway.http, "p")
        self.addCleanup(outside.close)
        self.assertEqual(outside("PUT", "/v2/queues/q", {"_flavor": "fast"}).status, 201)
        queue = self.client.queue("q", force_create=False)
        self.assertEqual(queue.metadata(force_reload=True)["_flavor"], "fast")
        queue.post([{"body": 1, "ttl": 60}])
        with self.assertRaises(errors.ForbiddenError):
            self.client.pool("a", uri="memory:a", weight=1, auto_create=False).delete()
        flavor.update({"pool_list": ["b"]})
        self.assertEqual([flavor.name for flavor in self.client.flavors(detailed=True)], ["fast"])
        self.assertEqual([message.body for message in queue.messages(echo=True)], [1])
        flavor.delete()
        self.assertEqual(list(self.client.flavors()), [])
        health = self.client.health()
        self.assertEqual(health["a"]["message_volume"]["total"], 1)
        self.assertEqual(health["b"]["message_volume"]["total"], 0)
