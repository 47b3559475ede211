"""What the scenarios ask of a server, as bytes, and what they find in its replies, over either transport.

Replies are read with a few searches, because parsing each one would cost the client more than sending it.  Every reply
is still counted out (so many ids, so many bodies), and one in :data:`THOROUGH` is parsed and compared in full.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from bench.load.engine import Reply, Unexpected
from bench.load.http import request
from bench.load.websocket import frame

BODY_BYTES = 200
THOROUGH = 64  # one reply in so many is looked at in full
CLIENT_ID = "3381af92-2b9e-11e3-b191-71861300734c"
PROJECT = "bench"
MESSAGE_TTL_S = 86400
CLAIM_TTL_S = 300
CLAIM_GRACE_S = 60

BODY: dict[str, str] = {"bench_body": "x" * (BODY_BYTES - len('{"bench_body":""}'))}
_BODY_MARK = b'"bench_body"'  # nowhere else in a request, since WebSocket replies echo those
_ID = re.compile(rb'"id"\s*:\s*"([\w-]+)"')
_HTTP_POSTED = re.compile(rb'/messages/([\w-]+)"')
_HTTP_CLAIM = re.compile(rb'claim_id=([\w-]+)"')
_HTTP_NEXT = re.compile(rb'"href"\s*:\s*"([^"?]+/messages\?[^"]*)"')
_WS_POSTED = re.compile(rb'"message_ids"\s*:\s*\[([^\]]*)\]')
_WS_CLAIM = re.compile(rb'"claim_id"\s*:\s*"([\w-]+)"')


def dumps(value: object) -> bytes:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


def expect(reply: Reply, status: int) -> None:
    """
    :raises Unexpected: the status is another one.
    """
    if reply.status != status:
        raise Unexpected(f"status {reply.status} instead of {status}: {reply.body[:300].decode(errors='replace')}")


class Api(ABC):
    """Requests on one queue, and the reading of their replies.  Ids and cursors are bytes as they came.

    :ivar body: of each message, as JSON has it; may be set before the first post.
    """

    transport: str
    statuses = {"post": 201, "claim": 201, "delete": 204, "read": 200}

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.body = BODY
        self._looked = 0
        self._posts: dict[tuple[int, int], bytes] = {}

    # Requests

    def post(self, count: int, ttl_s: int = MESSAGE_TTL_S) -> bytes:
        """Post so many messages."""
        if (count, ttl_s) not in self._posts:
            messages = [{"ttl": ttl_s, "body": self.body}] * count
            self._posts[count, ttl_s] = self._post({"messages": messages})
        return self._posts[count, ttl_s]

    @abstractmethod
    def _post(self, document: dict[str, Any]) -> bytes: ...

    @abstractmethod
    def create_queue(self) -> bytes:
        """Create the queue."""

    @abstractmethod
    def delete_queue(self) -> bytes:
        """Delete the queue and its messages."""

    @abstractmethod
    def purge_queue(self) -> bytes:
        """Delete all messages of the queue."""

    @abstractmethod
    def claim(self, limit: int) -> bytes:
        """Claim up to so many messages."""

    @abstractmethod
    def delete(self, message: bytes, claim: bytes) -> bytes:
        """Delete one claimed message."""

    @abstractmethod
    def delete_many(self, messages: Sequence[bytes]) -> bytes:
        """Delete these messages."""

    @abstractmethod
    def get(self, message: bytes) -> bytes:
        """Get one message."""

    @abstractmethod
    def page(self, limit: int, cursor: bytes) -> bytes:
        """List a page; the cursor is empty for the first one."""

    @abstractmethod
    def pop(self, limit: int, wait_s: int = 0) -> bytes:
        """Take messages out; where there are none, wait for them so long."""

    # Replies

    def posted(self, reply: Reply, count: int) -> list[bytes]:
        """
        :return: the ids of the messages, in the order posted.
        :raises Unexpected: not so many were stored.
        """
        expect(reply, 201)
        ids = self._posted_ids(reply.body)
        if len(ids) != count:
            raise Unexpected(f"{len(ids)} ids for {count} posted messages")
        return ids

    @abstractmethod
    def _posted_ids(self, body: bytes) -> list[bytes]: ...

    def claimed(self, reply: Reply, count: int) -> tuple[bytes, list[bytes]]:
        """
        :return: the id of the claim, the ids of its messages.
        :raises Unexpected: the claim has another number of messages.
        """
        ids = self.messages(reply, count, status=201)
        found = self._claim_id.search(reply.body)
        if found is None:
            raise Unexpected("a claim without an id")
        return found[1], ids

    _claim_id: re.Pattern[bytes]

    def messages(self, reply: Reply, count: int, status: int = 200) -> list[bytes]:
        """
        :return: the ids of the messages in the reply.
        :raises Unexpected: there are more or fewer of them, or their bodies are not what was posted.
        """
        expect(reply, status)
        ids = _ID.findall(reply.body)
        bodies = reply.body.count(_BODY_MARK)
        if len(ids) != count or bodies != count:
            raise Unexpected(f"{len(ids)} ids and {bodies} bodies instead of {count} messages")
        self._looked += 1
        if self._looked % THOROUGH == 1:
            self._look(reply.body, ids)
        return ids

    def _look(self, body: bytes, ids: Sequence[bytes]) -> None:
        try:
            found = self._message_list(json.loads(body))
            bodies = [message["body"] for message in found]
            if [message["id"].encode() for message in found] != ids or len(set(ids)) != len(ids):
                raise Unexpected("messages twice, or ids that are not those of messages")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise Unexpected(f"not a list of messages ({error!r}): {body[:200]!r}") from None
        if any(each != self.body for each in bodies):
            raise Unexpected(f"a body is not what was posted: {bodies[0]!r}")

    @abstractmethod
    def _message_list(self, document: Any) -> Any: ...

    @abstractmethod
    def next_cursor(self, reply: Reply, ids: Sequence[bytes]) -> bytes:
        """Where the page after this one starts.

        :raises Unexpected: the reply does not tell.
        """

    @abstractmethod
    def cursor_after(self, message: bytes, limit: int) -> bytes:
        """Where the page after this message starts."""


class HttpApi(Api):
    """The API over HTTP.  A cursor is the path and query of a page."""

    transport = "http"
    _claim_id = _HTTP_CLAIM

    def __init__(self, queue: str, host: str, token: str = "") -> None:
        super().__init__(queue)
        self._headers = {
            "Host": host,
            "Client-ID": CLIENT_ID,
            "X-Project-ID": PROJECT,
            "Accept": "application/json",
            **({"X-Auth-Token": token} if token else {}),
        }
        self._path = f"/v2/queues/{queue}"
        self._before: dict[str, bytes] = {}
        tail = request("", "", self._headers)
        self._after = tail[tail.index(b" HTTP/1.1") :]
        self._claim_body = dumps({"ttl": CLAIM_TTL_S, "grace": CLAIM_GRACE_S})
        self._delete_start = f"DELETE {self._path}/messages/".encode()
        self._delete_many_start = f"DELETE {self._path}/messages?ids=".encode()
        self._get_start = f"GET {self._path}/messages/".encode()

    def _post(self, document: dict[str, Any]) -> bytes:
        return request("POST", f"{self._path}/messages", self._headers, dumps(document))

    def create_queue(self) -> bytes:
        return request("PUT", self._path, self._headers, b"{}")

    def delete_queue(self) -> bytes:
        return request("DELETE", self._path, self._headers)

    def purge_queue(self) -> bytes:
        return request("POST", f"{self._path}/purge", self._headers, dumps({"resource_types": ["messages"]}))

    def claim(self, limit: int) -> bytes:
        return request("POST", f"{self._path}/claims?limit={limit}", self._headers, self._claim_body)

    def delete(self, message: bytes, claim: bytes) -> bytes:
        return b"%b%b?claim_id=%b%b" % (self._delete_start, message, claim, self._after)

    def delete_many(self, messages: Sequence[bytes]) -> bytes:
        return b"%b%b%b" % (self._delete_many_start, b",".join(messages), self._after)

    def get(self, message: bytes) -> bytes:
        return b"%b%b%b" % (self._get_start, message, self._after)

    def page(self, limit: int, cursor: bytes) -> bytes:
        return b"GET %b%b" % (cursor or f"{self._path}/messages?limit={limit}&echo=true".encode(), self._after)

    def pop(self, limit: int, wait_s: int = 0) -> bytes:
        wait = f"&wait={wait_s}" if wait_s else ""
        return request("DELETE", f"{self._path}/messages?pop={limit}{wait}", self._headers)

    def _posted_ids(self, body: bytes) -> list[bytes]:
        return _HTTP_POSTED.findall(body)

    def _message_list(self, document: Any) -> Any:
        return document["messages"] if "messages" in document else [document]

    def next_cursor(self, reply: Reply, ids: Sequence[bytes]) -> bytes:
        found = _HTTP_NEXT.search(reply.body, reply.body.rfind(b'"links"'))
        if found is None:
            raise Unexpected("a page without a link to the next one")
        return found[1]

    def cursor_after(self, message: bytes, limit: int) -> bytes:
        return f"{self._path}/messages?limit={limit}&echo=true&marker=".encode() + message


class WebSocketApi(Api):
    """The API over WebSocket, in JSON.  A cursor is the id of the last message of a page."""

    transport = "websocket"
    _claim_id = _WS_CLAIM

    def __init__(self, queue: str) -> None:
        super().__init__(queue)
        self._delete_start = self._open("message_delete") + b',"message_id":"'
        self._delete_many_start = self._open("message_delete_many") + b',"message_ids":["'
        self._get_start = self._open("message_get") + b',"message_id":"'

    def _document(self, action: str, **body: Any) -> bytes:
        headers = {"Client-ID": CLIENT_ID, "X-Project-ID": PROJECT}
        return dumps({"action": action, "headers": headers, "body": {"queue_name": self.queue, **body}})

    def _open(self, action: str) -> bytes:
        """The document up to where more fields of its body may follow."""
        return self._document(action)[:-2]

    def _request(self, action: str, **body: Any) -> bytes:
        return frame(self._document(action, **body))

    def _post(self, document: dict[str, Any]) -> bytes:
        return self._request("message_post", **document)

    def create_queue(self) -> bytes:
        return self._request("queue_create")

    def delete_queue(self) -> bytes:
        return self._request("queue_delete")

    def purge_queue(self) -> bytes:
        return self._request("queue_purge", resource_types=["messages"])

    def claim(self, limit: int) -> bytes:
        return self._request("claim_create", limit=limit, ttl=CLAIM_TTL_S, grace=CLAIM_GRACE_S)

    def delete(self, message: bytes, claim: bytes) -> bytes:
        return frame(b'%b%b","claim_id":"%b"}}' % (self._delete_start, message, claim))

    def delete_many(self, messages: Sequence[bytes]) -> bytes:
        return frame(b'%b%b"]}}' % (self._delete_many_start, b'","'.join(messages)))

    def get(self, message: bytes) -> bytes:
        return frame(b'%b%b"}}' % (self._get_start, message))

    def page(self, limit: int, cursor: bytes) -> bytes:
        marker = {"marker": cursor.decode()} if cursor else {}
        return self._request("message_list", limit=limit, echo=True, **marker)

    def pop(self, limit: int, wait_s: int = 0) -> bytes:
        wait = {"wait": wait_s} if wait_s else {}
        return self._request("message_delete_many", pop=limit, **wait)

    def _posted_ids(self, body: bytes) -> list[bytes]:
        found = _WS_POSTED.search(body)
        return [each.strip(b' "') for each in found[1].split(b",")] if found and found[1].strip() else []

    def _message_list(self, document: Any) -> Any:
        messages = document["body"]["messages"]
        return [messages] if isinstance(messages, dict) else messages

    def next_cursor(self, reply: Reply, ids: Sequence[bytes]) -> bytes:
        return ids[-1]

    def cursor_after(self, message: bytes, limit: int) -> bytes:
        return message
