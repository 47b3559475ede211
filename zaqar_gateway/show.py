"""What ``--show`` does: a few requests of a producer and a worker to the gateway itself, printed with their answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from zaqar_gateway.transport.websocket.client import ask

_QUEUE = "tour"


class ShowFailed(Exception):
    """The gateway did not answer its own requests as it should."""


@implementer(IBodyProducer)
class _Body:
    """A body for twisted.web's client."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._body)
        done: Deferred[None] = Deferred()
        done.callback(None)
        return done

    def pauseProducing(self) -> None:
        """There is one write only."""

    resumeProducing = stopProducing = pauseProducing


async def show(reactor: Any, http: Sequence[Any], websocket: Sequence[Any], out: Callable[[str], None]) -> None:
    """Post over HTTP, claim over WebSocket, delete over HTTP.

    :param http: addresses of the HTTP listeners; the first TCP one is used.
    :param websocket: addresses of the WebSocket listeners, likewise.
    :param out: takes the lines.
    :raises ShowFailed: an answer is not what it has to be.
    """
    host = next((host for host in http if hasattr(host, "port")), None)
    if host is None:
        out("There is no TCP listener for HTTP without TLS to show anything with.")
        return
    socket = next((host for host in websocket if hasattr(host, "port")), host)
    client = str(uuid4())
    pool = HTTPConnectionPool(reactor, persistent=False)
    pool._factory.noisy = False  # twisted.web has no public way to keep it from logging each connection
    agent = Agent(reactor, connectTimeout=5, pool=pool)

    async def request(method: str, path: str, body: Any = None) -> Any:
        out(f"  {method} {path}{' ' + json.dumps(body) if body is not None else ''}")
        headers = Headers({"Client-ID": [client], "X-Project-ID": ["show"]})
        sent = None if body is None else _Body(json.dumps(body).encode())
        url = f"http://{_name(host)}:{host.port}{path}".encode()
        response = await agent.request(method.encode(), url, headers, sent)
        text = (await readBody(response)).decode()
        out(f"    {response.code} {text}")
        if response.code >= 300:
            raise ShowFailed(f"{method} {path} was answered with {response.code}")
        return json.loads(text) if text else None

    async def frame(action: str, **body: Any) -> Any:
        out(f"  {action} {json.dumps(body)}")
        sent = {"action": action, "headers": {"Client-ID": client, "X-Project-ID": "show"}, "body": body}
        endpoint = HostnameEndpoint(reactor, _name(socket).strip("[]"), socket.port, timeout=5)
        answer = json.loads(await ask(endpoint, json.dumps(sent).encode(), reactor))
        out(f"    {answer['headers']['status']} {json.dumps(answer['body'])}")
        if answer["headers"]["status"] >= 300:
            raise ShowFailed(f"{action} was answered with {answer['headers']['status']}")
        return answer["body"]

    out("A producer posts over HTTP:")
    await request("POST", f"/v2/queues/{_QUEUE}/messages", {"messages": [{"body": {"task": "resize"}, "ttl": 300}]})
    out("A worker claims over WebSocket:")
    claim = await frame("claim_create", queue_name=_QUEUE, ttl=60, grace=60, limit=1)
    message = claim["messages"][0]
    out("and deletes what it has done, over HTTP:")
    await request("DELETE", f"/v2/queues/{_QUEUE}/messages/{message['id']}?claim_id={claim['claim_id']}")
    await request("GET", f"/v2/queues/{_QUEUE}/stats")
    await request("DELETE", f"/v2/queues/{_QUEUE}")
    out("It works.  Ctrl-C stops the gateway; what is stored stays.")


def _name(host: Any) -> str:
    name: str = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.host, host.host)
    return f"[{name}]" if ":" in name else name
