"""Whom a guest agent works for: invites it with a pre-signed URL, and asks it.  Needs Python's standard library only.

    python examples/host.py [--url http://127.0.0.1:8888] [--project demo] [--queue guest-1] invite [--minutes 60] > guest.json
    python examples/host.py [...] ask hostname

The gateway needs a secret to sign with, ``signed_url.secret_key``.  ``examples/guest.py`` is the guest.
"""

from __future__ import annotations

import argparse
import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from guest import Failed, Gateway  # examples/guest.py


def invite(gateway: Gateway, queue: str, minutes: float) -> dict[str, Any]:
    """All that a guest needs to read, post and delete messages in one queue, and to do nothing else."""
    expires = datetime.now(UTC) + timedelta(minutes=minutes)
    asked = {
        "paths": ["messages"],
        "methods": ["GET", "POST", "DELETE"],
        "expires": expires.strftime("%Y-%m-%dT%H:%M:%S"),
    }
    return {"url": gateway.url, **gateway.call("POST", f"/v2/queues/{queue}/share", asked)}


def ask(gateway: Gateway, queue: str, question: str, timeout_s: float) -> Any:
    """What the guest replies.

    :raises Failed: there is no reply in time, give or take the 20 seconds of a wait.
    """
    path = f"/v2/queues/{queue}/messages"
    request = {"body": {"ask": question}, "ttl": 300, "idempotency_key": str(uuid.uuid4())}
    href = gateway.call("POST", path, {"messages": [request]})["resources"][0]
    asked, give_up = href.rsplit("/", 1)[1], time.monotonic() + timeout_s
    wait = max(1, min(20, int(timeout_s)))
    for message in gateway.messages(f"{path}?wait={wait}&marker={asked}"):  # a reply comes after its request
        match message:
            case {"body": {"reply_to": to, "reply": reply}, "href": href} if to == asked:
                gateway.call("DELETE", href)
                return reply
        if time.monotonic() > give_up:
            break
    raise Failed(f"no reply within {timeout_s:g} s; is examples/guest.py running?")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", default="http://127.0.0.1:8888")
    parser.add_argument("--project", default="demo")
    parser.add_argument("--queue", default="guest-1", help="that this guest has for itself; default: guest-1")
    commands = parser.add_subparsers(dest="command", required=True)
    inviting = commands.add_parser("invite", help="write what a guest needs")
    inviting.add_argument("--minutes", type=float, default=60, help="for which it is good; default: 60")
    asking = commands.add_parser("ask", help="ask the guest")
    asking.add_argument("question")
    asking.add_argument("--timeout", type=float, default=60, metavar="SECONDS", help="without a reply; default: 60")
    given = parser.parse_args()
    gateway = Gateway(given.url, {"X-Project-ID": given.project})
    try:
        if given.command == "invite":
            print(json.dumps(invite(gateway, given.queue, given.minutes), indent=2))
        else:
            print(ask(gateway, given.queue, given.question, given.timeout))
    except Failed as error:
        raise SystemExit(f"{parser.prog}: {error}") from None


if __name__ == "__main__":
    main()
