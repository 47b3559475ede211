"""A guest agent: claims tasks over HTTP, does them, and posts the results.  Needs Python's standard library only.

    python examples/agent.py [--once] [--url http://127.0.0.1:8888] [--project demo]

A task is a message ``{"id": ..., "text": ...}`` in the queue ``shout-tasks``; its result, ``{"id": ..., "text": ...}`` in
upper case, goes to the queue ``shout-results``.  Should the agent die within a task, its claim lapses after a minute and another
agent gets the task: the result is posted before the task is deleted, so that the task may be done twice but never not at all; the
second result has the key of the first one, and so is not stored.  ``examples/worker.py`` is given tasks over a WebSocket instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import uuid
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

PAUSE_S = 1.0


class Gateway:
    """The few calls that an agent needs."""

    def __init__(self, url: str, project: str) -> None:
        self.url = url.rstrip("/")
        self.headers = {
            "Client-ID": str(uuid.uuid4()),
            "X-Project-ID": project,
            "Content-Type": "application/json",
        }

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer of a request, ``None`` where there is none."""
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(self.url + path, data, self.headers, method=method), timeout=30) as response:
            text = response.read()
        return json.loads(text) if text else None

    def claim(self, wait_s: int) -> list[dict[str, Any]]:
        """Up to five tasks that are nobody else's for a minute.

        :param wait_s: for how long to wait for one, at most 20.
        """
        claim = self.call("POST", f"/v2/queues/shout-tasks/claims?limit=5&wait={wait_s}", {"ttl": 60, "grace": 60})
        return claim["messages"] if claim else []


def is_task(body: Any) -> bool:
    """Whether somebody has posted a task, and nothing else: what nobody can do would come back again and again."""
    return isinstance(body, dict) and "id" in body and isinstance(body.get("text"), str)


def work(gateway: Gateway, message: dict[str, Any]) -> None:
    """Do one task, tell its result, and only then delete it."""
    task = message["body"]
    if not is_task(task):
        gateway.call("DELETE", message["href"])
        print(f"dropped, for it is no task: {json.dumps(task)[:64]}", flush=True)
        return
    result = {"id": task["id"], "text": task["text"].upper()}
    posted = {"body": result, "ttl": 300, "idempotency_key": message["id"]}
    gateway.call("POST", "/v2/queues/shout-results/messages", {"messages": [posted]})
    gateway.call("DELETE", message["href"])  # the href carries the claim
    print(f"done: {task['text']}", flush=True)


def main() -> None:
    """Work until stopped, or until some tasks are done with ``--once``."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8888")
    parser.add_argument("--project", default="demo")
    parser.add_argument("--once", action="store_true", help="end when some tasks were done and none is left")
    given = parser.parse_args()
    gateway, did = Gateway(given.url, given.project), False
    while True:
        try:
            messages = gateway.claim(0 if given.once and did else 20)
            for message in messages:
                work(gateway, message)
        except HTTPError as error:
            if error.code not in (429, 503):
                raise SystemExit(f"{parser.prog}: {given.url}: {error}") from None
            time.sleep(PAUSE_S)  # the gateway asks to come back later; what was not done comes back when its claim lapses
            continue
        except OSError as error:
            print(f"no gateway at {given.url}, trying again: {error}", file=sys.stderr, flush=True)
            time.sleep(PAUSE_S)
            continue
        if given.once and did and not messages:
            return
        did = did or bool(messages)


if __name__ == "__main__":
    main()
