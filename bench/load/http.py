"""HTTP/1.1 as far as a load generator needs it: requests as ready bytes, replies by their Content-Length."""

from bench.load.engine import ProtocolFailure, Reply

_END = b"\r\n\r\n"
_NO_BODY = frozenset((204, 304))


def request(method: str, target: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """The bytes of one request; a body brings its own Content-Length and Content-Type."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + _END + body


class HttpReader:
    """Cuts the stream of one keep-alive connection into replies."""

    def __init__(self) -> None:
        self._rest = b""
        self.answer = b""  # nothing to send back on this transport

    def feed(self, data: bytes) -> list[Reply]:
        """Replies completed by ``data``.

        :raises ProtocolFailure: the reply has no length, or is not HTTP.
        """
        if self._rest:
            data = self._rest + data
        replies: list[Reply] = []
        start = 0
        while True:
            end = data.find(_END, start)
            if end < 0:
                break
            head = data[start:end].lower()
            body = end + 4
            try:
                status = int(head[9:12])
                at = head.find(b"\r\ncontent-length:")
                if at >= 0:
                    line_end = head.find(b"\r\n", at + 17)
                    stop = body + int(head[at + 17 :] if line_end < 0 else head[at + 17 : line_end])
                elif status in _NO_BODY:
                    stop = body
                else:
                    raise ProtocolFailure(f"a reply with status {status} has no Content-Length")
            except ValueError:
                raise ProtocolFailure(f"not an HTTP reply: {bytes(head[:80])!r}") from None
            if stop > len(data):
                break
            replies.append(Reply(status, data[body:stop]))
            start = stop
        self._rest = data[start:] if start else data
        return replies
