"""A whole gateway that is told by its settings to ask Keystone."""

from __future__ import annotations

import json

import websocket
from twisted.trial.unittest import SynchronousTestCase

from tests.keystone_server import KeystoneServer, shared_keystone
from tests.system.gateway import CLIENT, Gateway, Http, new_directory


def gateway_at(server: KeystoneServer, **settings: str) -> Gateway:
    """A gateway that asks a Keystone."""
    password = new_directory() / "password"
    password.write_text(f"{server.gateway.password}\n")
    return Gateway(
        storage="memory:",
        settings={
            "AUTH_STRATEGY": "keystone",
            "KEYSTONE_AUTHTOKEN_AUTH_URL": server.url,
            "KEYSTONE_AUTHTOKEN_USERNAME": server.gateway.name,
            "KEYSTONE_AUTHTOKEN_PASSWORD_FILE": str(password),
            "KEYSTONE_AUTHTOKEN_PROJECT_NAME": "service",
            **settings,
        },
    )


class KeystoneTests(SynchronousTestCase):
    """From settings to answers."""

    def test_tokens(self) -> None:
        """Both listeners ask for a token of the Keystone in the settings; the log has no secret."""
        server = shared_keystone()
        uri = "https://keystone.example"
        gateway = gateway_at(server, KEYSTONE_AUTHTOKEN_WWW_AUTHENTICATE_URI=uri, LOG_LEVEL="debug")
        self.addCleanup(gateway.kill)
        http, token, alpha = Http(gateway.http, "any"), server.token(server.ann, "alpha"), server.projects["alpha"]
        refused = http("GET", "/v2/queues")
        self.assertEqual(refused.status, 401)
        self.assertEqual(refused.headers["WWW-Authenticate"], f'Keystone uri="{uri}"')
        created = http("PUT", "/v2/queues/q", None, {"X-Auth-Token": token})
        self.assertEqual(created.status, 201, str(created))
        socket = websocket.create_connection(gateway.websocket)
        self.addCleanup(socket.close)
        headers = {"Client-ID": CLIENT, "X-Project-ID": alpha, "X-Auth-Token": token}
        for action, expected in (("queue_list", 403), ("authenticate", 200), ("queue_list", 200)):
            socket.send(json.dumps({"action": action, "headers": headers}))
            reply = json.loads(socket.recv())
            self.assertEqual(reply["headers"]["status"], expected, reply)
        self.assertEqual(reply["body"], {"queues": [{"name": "q"}]})
        socket.close()
        gateway.stop()
        for secret in (token, server.gateway.password):
            self.assertNotIn(secret, gateway.output)
        self.assertIn("X-Auth-Token: $TOKEN", gateway.output)
        self.assertNotIn("there is no authentication", gateway.output)

    def test_trust(self) -> None:
        """A subscription whose subscriber wants a token gets a trust from the caller, which ends with it."""
        server = shared_keystone()
        gateway = gateway_at(
            server,
            TRUSTEE_AUTH_URL=server.url,
            TRUSTEE_USERNAME=server.trustee.name,
            TRUSTEE_PASSWORD=server.trustee.password,
        )
        self.addCleanup(gateway.kill)
        http, token = Http(gateway.http, "any"), server.token(server.ann, "alpha")
        subscriptions, sent = "/v2/queues/q/subscriptions", {"X-Auth-Token": token}
        subscriber = {"subscriber": "trust+http://127.0.0.1:9/", "ttl": 600, "options": {"a": 1}}
        created = http("POST", subscriptions, subscriber, sent)
        self.assertEqual(created.status, 201, str(created))
        one = f"{subscriptions}/{created.json['subscription_id']}"
        options = http("GET", one, None, sent).json["options"]
        self.assertEqual(set(options), {"a", "trust_id"})
        trust = f"/OS-TRUST/trusts/{options['trust_id']}"
        status, _, body = server.call("GET", trust, None, sent)
        self.assertEqual((status, body["trust"]["project_id"]), (200, server.projects["alpha"]))
        self.assertEqual(http("DELETE", one, None, sent).status, 204)
        self.assertEqual(server.call("GET", trust, None, sent)[0], 404)
        gateway.stop()
