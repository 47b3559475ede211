"""A producer: posts tasks over one WebSocket and collects their results.  Needs Autobahn, which the gateway brings.

    python examples/producer.py [--url ws://127.0.0.1:9000] [--project demo] [--timeout 60] TEXT [TEXT ...]

The tasks are done by ``examples/agent.py``; where none have been for so many seconds, it gives up.
"""

from __future__ import annotations

import argparse
import json
import sys
import uuid
from collections import deque
from typing import Any
from urllib.parse import urlsplit

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater, react

PAUSE_S = 0.3


class Client(WebSocketClientProtocol):
    """Sends actions; answers come back in the same order."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: deque[Deferred[Any]] = deque()

    def onConnect(self, response: Any) -> None:
        self.headers = {"Client-ID": str(uuid.uuid4()), "X-Project-ID": self.factory.project}

    def onOpen(self) -> None:
        self.factory.opened.callback(self)

    def ask(self, action: str, **body: Any) -> Deferred[Any]:
        """The body of the answer to one action."""
        self.sendMessage(json.dumps({"action": action, "headers": self.headers, "body": body}).encode())
        answer: Deferred[Any] = Deferred()
        self.waiting.append(answer)
        return answer

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        answer = json.loads(payload)
        if answer["headers"]["status"] >= 400:
            self.waiting.popleft().errback(RuntimeError(answer["body"]))
        else:
            self.waiting.popleft().callback(answer["body"])

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        opening = [] if self.factory.opened.called else [self.factory.opened]
        for answer in [*opening, *self.waiting]:
            answer.errback(ConnectionError(f"closed with {code}: {reason}"))


class NoResults(Exception):
    """Nobody has done the tasks in time."""


async def produce(url: str, project: str, timeout_s: float, texts: list[str]) -> None:
    """Post tasks, then take results until each has come.

    :raises NoResults: for so many seconds none has.
    """
    factory = WebSocketClientFactory(url)
    factory.protocol, factory.project, factory.noisy = Client, project, False
    factory.opened = Deferred()
    parts = urlsplit(url)
    endpoint = HostnameEndpoint(reactor, parts.hostname, parts.port or 80, timeout=10)
    await endpoint.connect(factory)
    client = await factory.opened
    tasks = {str(uuid.uuid4()): text for text in texts}
    await client.ask(
        "message_post",
        queue_name="shout-tasks",
        messages=[{"body": {"id": task, "text": text}, "ttl": 300} for task, text in tasks.items()],
    )
    last = reactor.seconds()
    while tasks:
        popped = await client.ask("message_delete_many", queue_name="shout-results", pop=20)
        for message in popped["messages"]:
            result = message["body"]
            if tasks.pop(result["id"], None) is not None:  # a result may come twice
                print(result["text"], flush=True)
        if popped["messages"]:
            last = reactor.seconds()
        elif reactor.seconds() >= last + timeout_s:
            raise NoResults(f"{len(tasks)} tasks have no result after {timeout_s:g} s; is examples/agent.py running?")
        else:
            await deferLater(reactor, PAUSE_S)
    client.sendClose(1000)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="ws://127.0.0.1:9000")
    parser.add_argument("--project", default="demo")
    parser.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="without a result; default: 60")
    parser.add_argument("texts", nargs="+", metavar="TEXT")
    given = parser.parse_args(sys.argv[1:])

    async def run() -> None:
        try:
            await produce(given.url, given.project, given.timeout, given.texts)
        except (NoResults, ConnectionError, ConnectError, RuntimeError) as error:
            raise SystemExit(f"{parser.prog}: {error}") from None

    react(lambda _: Deferred.fromCoroutine(run()))


if __name__ == "__main__":
    main()
