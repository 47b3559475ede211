"""A server that speaks as much of the API as the benchmark asks for, in threads of the test's own process."""

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_Answer = tuple[int, Any]


class Queues:
    """Messages by queue; ids are numbers, so that their order is that of posting."""

    def __init__(self) -> None:
        self._queues: dict[str, dict[str, dict[str, Any]]] = {}
        self._lock = threading.Condition()
        self._last = 0
        self._subscribed: dict[str, list[socket.socket]] = {}
        self.is_odd = False  # sends pings besides, and every other push to the first socket late
        self._late: list[tuple[socket.socket, bytes]] = []

    def _next_id(self) -> str:
        self._last += 1
        return f"{self._last:012x}"

    def create(self, queue: str) -> None:
        """Create a queue."""
        self._queues.setdefault(queue, {})

    def remove(self, queue: str) -> None:
        """Delete a queue."""
        self._queues.pop(queue, None)

    def purge(self, queue: str) -> None:
        """Delete all messages of a queue."""
        with self._lock:
            self._queues[queue].clear()

    def __len__(self) -> int:
        return len(self._queues)

    def post(self, queue: str, messages: list[dict[str, Any]]) -> list[str]:
        """Store messages; their ids."""
        with self._lock:
            ids = [self._next_id() for _ in messages]
            for each, message in zip(ids, messages, strict=True):
                self._queues[queue][each] = {"id": each, "body": message["body"], "claim": None}
                self._push(queue, message["body"])
            self._lock.notify_all()
            return ids

    def subscribe(self, queue: str, sock: socket.socket) -> None:
        """Push to a socket what is posted from now on."""
        with self._lock:
            self._subscribed.setdefault(queue, []).append(sock)

    def _push(self, queue: str, body: Any) -> None:
        text = json.dumps({"queue_name": queue, "body": body, "Message_Type": "Notification"}).encode()
        push = b"\x81" + _size(len(text)) + text
        late, self._late = self._late, []
        for number, sock in enumerate(self._subscribed.get(queue, ())):
            if not self.is_odd:
                sock.sendall(push)
            elif number == 0 and not late:
                self._late.append((sock, push))
            else:
                sock.sendall(b"\x89\x02hi" + push[:9])
                sock.sendall(push[9:])
        for sock, each in late:
            sock.sendall(each)

    def claim(self, queue: str, limit: int) -> tuple[str, list[dict[str, Any]]]:
        """Claim the first free messages."""
        with self._lock:
            claim = self._next_id()
            taken: list[dict[str, Any]] = []
            for message in self._queues[queue].values():
                if len(taken) == limit:
                    break
                if message["claim"] is None:
                    message["claim"] = claim
                    taken.append(message)
            return claim, taken

    def page(self, queue: str, limit: int, marker: str) -> list[dict[str, Any]]:
        """Messages after a marker."""
        with self._lock:
            messages = self._queues.get(queue, {})
            ids = list(messages)
            start = ids.index(marker) + 1 if marker in messages else 0
            return [messages[each] for each in ids[start : start + limit]]

    def get(self, queue: str, message: str) -> dict[str, Any]:
        """One message."""
        return self._queues[queue][message]

    def delete(self, queue: str, ids: list[str]) -> None:
        """Delete messages."""
        with self._lock:
            for each in ids:
                self._queues[queue].pop(each, None)

    def delete_claimed(self, queue: str, message: str, claim: str | None) -> int:
        """Delete a message under a claim; the status."""
        with self._lock:
            if self._queues[queue][message]["claim"] != claim:
                return 403
            del self._queues[queue][message]
            return 204

    def pop(self, queue: str, count: int, wait_s: float = 0) -> list[dict[str, Any]]:
        """Take the first messages out, once there are some."""
        with self._lock:
            if wait_s:
                self._lock.wait_for(lambda: self._queues[queue], wait_s)
            return [self._queues[queue].pop(each) for each in list(self._queues[queue])[:count]]


def _http(queues: Queues, method: str, target: str, body: Any) -> _Answer:
    parts = urlsplit(target)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    _, _, _, queue, *rest = parts.path.split("/")

    def shown(message: dict[str, Any]) -> dict[str, Any]:
        claim = f"?claim_id={message['claim']}" if message["claim"] else ""
        href = f"/v2/queues/{queue}/messages/{message['id']}{claim}"
        return {"id": message["id"], "href": href, "ttl": 60, "age": 0, "body": message["body"]}

    match method, rest:
        case "PUT", []:
            queues.create(queue)
            return 201, None
        case "DELETE", []:
            queues.remove(queue)
            return 204, None
        case "POST", ["purge"]:
            queues.purge(queue)
            return 204, None
        case "POST", ["messages"]:
            ids = queues.post(queue, body["messages"])
            return 201, {"resources": [f"/v2/queues/{queue}/messages/{each}" for each in ids]}
        case "POST", ["claims"]:
            _, taken = queues.claim(queue, int(query["limit"]))
            return (201, {"messages": [shown(each) for each in taken]}) if taken else (204, None)
        case "GET", ["messages"]:
            found = queues.page(queue, int(query["limit"]), query.get("marker", ""))
            end = found[-1]["id"] if found else query.get("marker", "")
            href = f"/v2/queues/{queue}/messages?limit={query['limit']}&echo=true&marker={end}"
            return 200, {"messages": [shown(each) for each in found], "links": [{"rel": "next", "href": href}]}
        case "GET", ["messages", message]:
            return 200, shown(queues.get(queue, message))
        case "DELETE", ["messages"]:
            if "pop" in query:
                return 200, {"messages": [shown(each) for each in queues.pop(queue, int(query["pop"]), int(query.get("wait", 0)))]}
            queues.delete(queue, query["ids"].split(","))
            return 204, None
        case "DELETE", ["messages", message]:
            return queues.delete_claimed(queue, message, query.get("claim_id")), None
    return 404, {"title": "404 Not Found"}


def _websocket(queues: Queues, request: dict[str, Any]) -> _Answer:
    body = request.get("body", {})
    queue = body.get("queue_name", "")

    def shown(message: dict[str, Any], claim: str | None = None) -> dict[str, Any]:
        return {"id": message["id"], "claim_id": claim, "ttl": 60, "age": 0, "body": message["body"]}

    match request["action"]:
        case "queue_create":
            queues.create(queue)
            return 201, "created"
        case "queue_delete":
            queues.remove(queue)
            return 204, "removed"
        case "queue_purge":
            queues.purge(queue)
            return 204, "purged"
        case "authenticate":
            return 200, {"message": "Authentified."}
        case "message_post":
            return 201, {"message_ids": queues.post(queue, body["messages"])}
        case "claim_create":
            claim, taken = queues.claim(queue, body["limit"])
            return 201, {"claim_id": claim, "messages": [shown(each, claim) for each in taken]}
        case "message_list":
            return 200, {
                "messages": [shown(each) for each in queues.page(queue, body["limit"], body.get("marker", ""))]
            }
        case "message_get":
            return 200, {"messages": shown(queues.get(queue, body["message_id"]))}
        case "message_delete_many" if "pop" in body:
            return 200, {"messages": [shown(each) for each in queues.pop(queue, body["pop"], body.get("wait", 0))]}
        case "message_delete_many":
            queues.delete(queue, body["message_ids"])
            return 204, {}
        case "message_delete":
            return queues.delete_claimed(queue, body["message_id"], body.get("claim_id")), {}
    return 400, {"error": "not an action"}


class Responder:
    """Listeners for both transports, until the end of a ``with``."""

    def __init__(self) -> None:
        self.queues = Queues()
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self.http_port = self._listen(self._serve_http)
        self.websocket_port = self._listen(self._serve_websocket)
        return self

    def __exit__(self, *exc: object) -> None:
        for sock in self._open:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()
        for thread in self._threads:
            thread.join()

    def _start(self, function: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self, serve: Callable[[socket.socket], None]) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        self._open.append(listener)
        self._start(self._accept, listener, serve)
        port: int = listener.getsockname()[1]
        return port

    def _accept(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            self._open.append(sock)
            self._start(self._until_closed, serve, sock)

    @staticmethod
    def _until_closed(serve: Callable[[socket.socket], None], sock: socket.socket) -> None:
        try:
            serve(sock)
        except (OSError, EOFError):
            pass
        finally:
            sock.close()

    def _serve_http(self, sock: socket.socket) -> None:
        stream = sock.makefile("rb")
        while True:
            method, target, _ = _line(stream).split(" ")
            headers = {}
            while line := _line(stream):
                name, _, value = line.partition(":")
                headers[name.lower()] = value.strip()
            length = int(headers.get("content-length", 0))
            body = json.loads(stream.read(length)) if length else None
            status, document = _http(self.queues, method, target, body)
            answer = b"" if document is None else json.dumps(document).encode()
            size = b"" if status == 204 else b"Content-Length: %d\r\n" % len(answer)
            sock.sendall(b"HTTP/1.1 %d Status\r\n%b\r\n%b" % (status, size, answer))

    def _serve_websocket(self, sock: socket.socket) -> None:
        stream = sock.makefile("rb")
        key = b""
        while line := _line(stream):
            if line.lower().startswith("sec-websocket-key:"):
                key = line.split(":")[1].strip().encode()
        accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
        sock.sendall(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        while True:
            payload = _payload(stream)
            if payload == b"hi":  # a pong
                continue
            request = json.loads(payload)
            if request["action"] == "subscription_create":
                self.queues.subscribe(request["body"]["queue_name"], sock)
                status, body = 201, {"subscription_id": "s"}
            else:
                status, body = _websocket(self.queues, request)
            document = {"request": {**request, "api": "v2"}, "body": body, "headers": {"status": status}}
            answer = json.dumps(document).encode()
            sock.sendall(b"\x81" + _size(len(answer)) + answer)


def _line(stream: Any) -> str:
    line: bytes = stream.readline()
    if not line:
        raise EOFError
    return line.decode().rstrip("\r\n")


def _size(size: int) -> bytes:
    if size < 126:
        return bytes((size,))
    return b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")


def _payload(stream: Any) -> bytes:
    head = stream.read(2)
    if len(head) < 2:
        raise EOFError
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(stream.read(2), "big")
    elif size == 127:
        size = int.from_bytes(stream.read(8), "big")
    mask = stream.read(4)
    payload = stream.read(size)
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload)) if any(mask) else payload
