"""Clients that log in to Keystone: openstacksdk, and python-zaqarclient over both of its transports."""

from __future__ import annotations

import json
from typing import Any

import openstack
from twisted.trial.unittest import SynchronousTestCase
from zaqarclient import transport
from zaqarclient.queues.client import Client
from zaqarclient.transport import errors
from zaqarclient.transport.request import Request

from tests.keystone_server import KeystoneServer, shared_keystone
from tests.system.gateway import Gateway
from tests.system.test_keystone import gateway_at


class KeystoneClientTests(SynchronousTestCase):
    """Clients of a gateway that asks a Keystone; ann may use the projects alpha and beta."""

    def setUp(self) -> None:
        self.server: KeystoneServer = shared_keystone()
        self.gateway: Gateway = gateway_at(self.server)
        self.addCleanup(self.gateway.kill)

    def names(self, project: str) -> list[str]:
        """The queues that openstacksdk sees in a project."""
        ann = self.server.ann
        connection = openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth_url=self.server.url,
            username=ann.name,
            password=ann.password,
            project_name=project,
            user_domain_id="default",
            project_domain_id="default",
            message_endpoint_override=self.gateway.http,
            message_api_version="2",
        )
        self.addCleanup(connection.close)
        return [queue.name for queue in connection.message.queues()]

    def test_http(self) -> None:
        """python-zaqarclient logs in and makes a queue, which openstacksdk sees in that project alone."""
        ann = self.server.ann
        options = {
            "os_auth_url": self.server.url,
            "os_username": ann.name,
            "os_password": ann.password,
            "os_project_name": "alpha",
            "os_user_domain_id": "default",
            "os_project_domain_id": "default",
        }
        client = Client(self.gateway.http, 2, {"auth_opts": {"backend": "keystone", "options": options}})
        queue = client.queue("by-http", force_create=True)
        queue.post([{"body": 1, "ttl": 300}])
        self.assertEqual([message.body for message in queue.messages(echo=True)], [1])
        self.assertIn("by-http", self.names("alpha"))
        self.assertEqual(self.names("beta"), [])

    def websocket(self, token: str) -> Any:
        """A connection of python-zaqarclient in alpha."""
        options = {"os_auth_token": token, "os_project_id": self.server.projects["alpha"]}
        conf = {"auth_opts": {"backend": "keystone", "options": options}}
        made = transport.get_transport_for(self.gateway.websocket, options=conf)
        self.addCleanup(made.cleanup)
        return made

    def test_websocket(self) -> None:
        """Over WebSocket it authenticates by its first frame."""
        asked = Request(self.gateway.websocket, "queue_create", content=json.dumps({"queue_name": "by-websocket"}))
        self.websocket(self.server.token(self.server.ann, "alpha")).send(asked)
        self.assertIn("by-websocket", self.names("alpha"))

    def test_refused(self) -> None:
        """A token that is not valid is an error that both transports tell as one of authentication."""
        conf = {"auth_opts": {"backend": "keystone", "options": {"os_auth_token": "nonsense"}}}
        client = Client(self.gateway.http, 2, conf)
        self.assertRaises(errors.UnauthorizedError, client.queue, "q", force_create=True)
        asked = Request(self.gateway.websocket, "queue_list")
        self.assertRaises(errors.UnauthorizedError, self.websocket("nonsense").send, asked)
