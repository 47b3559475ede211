"""A worker: is given tasks over a WebSocket as they come, does them, and posts the results.  Needs Autobahn, as producer.py.

    python examples/worker.py [--url ws://127.0.0.1:9000] [--project demo] [--seconds 3]

Tasks and results are those of ``examples/agent.py``; ``examples/producer.py`` posts tasks.  The gateway claims each task for this
worker, renews the claim while it lives, and gives the task to another worker as soon as it dies.  It ends with status 1 when
it loses the gateway: have systemd, or whatever keeps your services, start it again.
"""

from __future__ import annotations

import argparse
import json
from typing import Any
from urllib.parse import urlsplit

from autobahn.twisted.websocket import WebSocketClientFactory
from producer import Client  # examples/producer.py
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.task import deferLater, react


class Worker(Client):
    """A client to which tasks are pushed, between the answers to what it asks."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks: DeferredQueue[Any] = DeferredQueue()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        frame = json.loads(payload)
        if "request" in frame:
            super().onMessage(payload, isBinary)
        elif frame["Message_Type"] == "Message":
            self.tasks.put(frame)
        else:
            self.tasks.put(ConnectionError(frame["reason"]))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        super().onClose(wasClean, code, reason)
        self.tasks.put(ConnectionError(f"closed with {code}: {reason}"))


def is_task(body: object) -> bool:
    """Whether somebody has posted a task, and nothing else: what nobody can do would come back again and again."""
    return isinstance(body, dict) and "id" in body and isinstance(body.get("text"), str)


async def work(url: str, project: str, seconds: float) -> None:
    """Work until stopped.

    :raises ConnectionError: the gateway is gone, or gives no more tasks.
    """
    factory = WebSocketClientFactory(url)
    factory.protocol, factory.project, factory.noisy = Worker, project, False
    factory.opened = Deferred()
    parts = urlsplit(url)
    await HostnameEndpoint(reactor, parts.hostname, parts.port or 80, timeout=10).connect(factory)
    worker = await factory.opened
    await worker.ask("subscription_create", queue_name="shout-tasks", claim={"ttl": 60, "grace": 60}, window=1)
    while True:
        task = await worker.tasks.get()
        if isinstance(task, ConnectionError):
            raise task
        if not is_task(task["body"]):
            await worker.ask("message_acknowledge", queue_name="shout-tasks", message_ids=[task["id"]])
            print(f"dropped, for it is no task: {json.dumps(task['body'])[:64]}", flush=True)
            continue
        print(f"begun: {task['body']['text']}", flush=True)
        await deferLater(reactor, seconds)  # the work; what blocks belongs into twisted.internet.threads.deferToThread
        result = {"id": task["body"]["id"], "text": task["body"]["text"].upper()}
        # First the result, then the end of the task: a crash in between has it done twice rather than not at all.  The
        # second result has the key of the first one, and so is not stored.
        await worker.ask(
            "message_post",
            queue_name="shout-results",
            messages=[{"body": result, "ttl": 300}],
            idempotency_key=task["id"],
        )
        await worker.ask("message_acknowledge", queue_name="shout-tasks", message_ids=[task["id"]])
        print(f"done: {task['body']['text']}", flush=True)


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="ws://127.0.0.1:9000")
    parser.add_argument("--project", default="demo")
    parser.add_argument("--seconds", type=float, default=3, help="that a task takes; default: 3")
    given = parser.parse_args()

    async def run() -> None:
        try:
            await work(given.url, given.project, given.seconds)
        except (ConnectionError, ConnectError, RuntimeError) as error:
            raise SystemExit(f"{parser.prog}: {given.url}: {error}") from None

    react(lambda _: Deferred.fromCoroutine(run()))


if __name__ == "__main__":
    main()
