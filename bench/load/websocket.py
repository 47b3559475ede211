"""RFC 6455 as far as a load generator needs it: unfragmented frames, and the handshake of a client."""

import base64
import hashlib
import json
import os
import socket

from bench.load.engine import ProtocolFailure, Reply

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10
_STATUS = b'"status"'


def frame(payload: bytes, opcode: int = _TEXT) -> bytes:
    """One masked frame.  The mask key is zero, which is legal, and leaves the payload as it is."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
    return head + b"\0\0\0\0" + payload


def cut(data: bytes) -> tuple[list[tuple[int, bytes, int]], bytes]:
    """Cut a stream of frames of a server.

    :return: the first byte, the payload and the size of each whole frame, and the rest.
    :raises ProtocolFailure: a frame is masked.
    """
    found: list[tuple[int, bytes, int]] = []
    start, have = 0, len(data)
    while have - start >= 2:
        size, at = data[start + 1], start + 2
        if size == 126:
            size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        elif size == 127:
            size, at = int.from_bytes(data[at : at + 8], "big"), at + 8
        elif size > 127:
            raise ProtocolFailure("a masked frame from the server")
        if at + size > have:
            break
        found.append((data[start], data[at : at + size], at + size - start))
        start = at + size
    return found, data[start:]


def handshake(sock: socket.socket, host: str) -> bytes:
    """Turn a connected, blocking socket into a WebSocket.

    :return: bytes that came after the reply of the server, usually none.
    :raises ProtocolFailure: the server did not agree.
    """
    key = base64.b64encode(os.urandom(16))
    sock.sendall(
        b"GET / HTTP/1.1\r\nHost: " + host.encode() + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
    )
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(65536)
        if not more:
            raise ProtocolFailure("the connection closed during the WebSocket handshake")
        data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    if b" 101 " not in head.split(b"\r\n", 1)[0] or accept not in head:
        raise ProtocolFailure(f"no WebSocket there: {head[:80]!r}")
    return rest


def authenticate(sock: socket.socket, token: str, project: str, client: str) -> bytes:
    """Say on a blocking WebSocket who we are.

    :return: bytes that came after the reply, usually none.
    :raises ProtocolFailure: the server does not believe it.
    """
    headers = {"X-Auth-Token": token, "X-Project-ID": project, "Client-ID": client}
    sock.sendall(frame(json.dumps({"action": "authenticate", "headers": headers}).encode()))
    reader = WebSocketReader()
    while True:
        data = sock.recv(65536)
        if not data:
            raise ProtocolFailure("the connection closed while it was authenticated")
        for reply in reader.feed(data):
            if reply.status != 200:
                raise ProtocolFailure(f"not authenticated: {reply.body[:200]!r}")
            return reader.rest


def status_of(payload: bytes) -> int:
    """The status of a reply.  The echo of the request never has the word, since no request of ours has it."""
    at = payload.rfind(_STATUS)
    if at < 0:
        raise ProtocolFailure(f"a frame without a status: {payload[:80]!r}")
    digits = payload[at + len(_STATUS) : at + len(_STATUS) + 8].lstrip(b": ")[:3]
    if not digits.isdigit():
        raise ProtocolFailure(f"a frame without a status: {payload[-80:]!r}")
    return int(digits)


class WebSocketReader:
    """Cuts the stream of one connection into replies, and answers pings."""

    def __init__(self, rest: bytes = b"") -> None:
        self.rest = rest
        self.answer = b""

    def feed(self, data: bytes) -> list[Reply]:
        """Replies completed by ``data``; afterwards ``answer`` holds bytes that the server has to get.

        :raises ProtocolFailure: the server closed, or sent what this client does not take.
        """
        if self.rest:
            data = self.rest + data
        self.answer = b""
        frames, self.rest = cut(data)
        replies: list[Reply] = []
        for first, payload, _ in frames:
            opcode = first & 0x0F
            if first in (0x81, 0x82):
                replies.append(Reply(status_of(payload), payload))
            elif opcode == _PING:
                self.answer += frame(payload, _PONG)
            elif opcode == _CLOSE:
                raise ProtocolFailure(f"the server closed the WebSocket: {payload[2:]!r}")
            elif opcode != _PONG:
                raise ProtocolFailure("a fragmented or unknown frame from the server")
        return replies
