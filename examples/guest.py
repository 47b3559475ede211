"""A guest agent: answers what it is asked, and holds nothing but a pre-signed URL.  Needs Python's standard library only.

    python examples/guest.py guest.json

``guest.json`` is what ``examples/host.py invite`` has written: where the gateway is, and a signature for the messages of one
queue until some instant.  Host and guest talk in that queue, and a listing leaves out what its own client has posted.  A
request is ``{"ask": "hostname"}``, its reply ``{"reply_to": <id of the request>, "reply": ...}``.

It ends with status 1 when it loses the gateway, or its time is over: have systemd, or whatever keeps your services, start
it again.  A request that it has not answered waits for it.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ANSWERS = {
    "hostname": platform.node,
    "system": platform.platform,
    "python": platform.python_version,
}
"""What it may be asked, and what says the answer."""


class Failed(Exception):
    """The gateway refuses, or is not there.

    :ivar status: of its answer; 0: there was none.
    """

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


class Gateway:
    """Requests of one client.

    :param url: of the gateway.
    :param headers: that say who asks.
    """

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url = url.rstrip("/")
        self.headers = {"Client-ID": str(uuid.uuid4()), "Content-Type": "application/json", **headers}

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON answer of a request, ``None`` where there is none.

        :raises Failed: the text says why.
        """
        data = None if body is None else json.dumps(body).encode()
        while True:
            try:
                # Longer than the longest wait.
                with urlopen(Request(self.url + path, data, self.headers, method=method), timeout=60) as response:
                    text = response.read()
                return json.loads(text) if text else None
            except HTTPError as error:
                if error.code not in (429, 503):
                    raise Failed(f"{error.code}: {error.read().decode(errors='replace')}", error.code) from None
                time.sleep(int(error.headers.get("Retry-After", 1)))  # the gateway asks to come back later
            except OSError as error:
                raise Failed(f"no gateway at {self.url}: {getattr(error, 'reason', error)}") from None

    def messages(self, path: str) -> Iterator[Any]:
        """What others post, as it comes: each message once, and ``None`` after each answer.

        :param path: of a listing.
        """
        while True:
            page = self.call("GET", path)  # answered when there is something, or after 20 seconds
            yield from page["messages"]
            if page["links"]:
                path = page["links"][0]["href"]  # goes on behind the last message
            yield None


def serve(gateway: Gateway, path: str) -> None:
    """Answer requests until stopped.

    :param path: of the messages of the queue.
    """
    for message in gateway.messages(f"{path}?wait=20"):
        match message:
            case {"id": request, "body": {"ask": str(question)}, "href": href}:
                answer = ANSWERS.get(question, lambda: f"ask one of {', '.join(ANSWERS)}")()
                # First the reply, then the end of the request.  A crash in between has it answered again, and the second
                # reply is not stored, since it has the key of the first one.
                reply = {"body": {"reply_to": request, "reply": answer}, "ttl": 300, "idempotency_key": request}
                gateway.call("POST", path, {"messages": [reply]})
                gateway.call("DELETE", href)
                print(f"answered: {question}", flush=True)


def main() -> None:
    """Read what it was given, and serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="what host.py invite has written")
    given = parser.parse_args()
    try:
        invited = json.loads(given.file.read_text())
        headers = {
            "X-Project-ID": invited["project"],
            "URL-Signature": invited["signature"],
            "URL-Expires": invited["expires"],
            "URL-Methods": ",".join(invited["methods"]),
            "URL-Paths": ",".join(invited["paths"]),
        }
        serve(Gateway(invited["url"], headers), invited["paths"][0])
    except Failed as error:
        refused = f"the gateway does not accept this URL, which is good until {invited['expires']} UTC; ask for another"
        raise SystemExit(f"{parser.prog}: {refused if error.status == 404 else error}") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise SystemExit(f"{parser.prog}: {given.file} is not what host.py invite writes: {error!r}") from None


if __name__ == "__main__":
    main()
