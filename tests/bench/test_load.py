"""Tests of the load generator: cutting streams into replies, and the loop over real sockets."""

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from bench.load import ceiling
from bench.load.engine import Client, Connection, LoadFailed, Operation, ProtocolFailure, Reply, Unexpected
from bench.load.http import HttpReader, request
from bench.load.websocket import WebSocketReader, cut, frame, status_of


def reply(status: int, body: bytes, *headers: bytes) -> bytes:
    """An HTTP reply."""
    lines = [b"HTTP/1.1 %d Some Reason" % status, *headers]
    if status != 204:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def server_frame(payload: bytes, first: int = 0x81) -> bytes:
    """A frame as servers send it."""
    masked = frame(payload)
    head = masked[: masked.index(b"\0\0\0\0" + payload)]
    return bytes((first, head[1] & 0x7F)) + head[2:] + payload


class HttpTests(SynchronousTestCase):
    def test_request(self) -> None:
        """A body brings its length and type; without a body there is neither."""
        self.assertEqual(
            request("POST", "/v2/x", {"Host": "a"}, b"{}"),
            b"POST /v2/x HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        )
        self.assertEqual(request("GET", "/", {"Host": "a"}), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    def test_any_cut(self) -> None:
        """Replies are the same wherever the stream is cut."""
        stream = reply(201, b'{"a": 1}', b"X-Other: b") + reply(204, b"") + reply(200, b"")
        expected = [Reply(201, b'{"a": 1}'), Reply(204, b""), Reply(200, b"")]
        self.assertEqual(HttpReader().feed(stream), expected)
        for at in range(len(stream)):
            reader = HttpReader()
            self.assertEqual(reader.feed(stream[:at]) + reader.feed(stream[at:]), expected)

    def test_header_spelling(self) -> None:
        """The length is found in any spelling, as the first header or the last."""
        for stream in (
            b"HTTP/1.1 200 OK\r\ncontent-length:2\r\nA: b\r\n\r\nok",
            b"HTTP/1.1 200 OK\r\nA: b\r\nCONTENT-LENGTH:   2\r\n\r\nok",
        ):
            self.assertEqual(HttpReader().feed(stream), [Reply(200, b"ok")])

    def test_not_understood(self) -> None:
        """A reply without a length, or that is not HTTP, is a failure of the protocol."""
        for stream in (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"hello there you\r\n\r\n"):
            self.assertRaises(ProtocolFailure, HttpReader().feed, stream)


class WebSocketTests(SynchronousTestCase):
    payload = b'{"request": {"action": "x"}, "body": {}, "headers": {"status": 201}}'

    def test_cut(self) -> None:
        """Frames of each length are cut, in whatever parts they come; a masked one is refused."""
        payloads = [b"", b"a" * 125, b"b" * 126, b"c" * 70_000]
        stream = b"".join(map(server_frame, payloads))
        for at in (0, 1, 2, 3, 130, 260, len(stream) - 1, len(stream)):
            first, rest = cut(stream[:at])
            second, nothing = cut(rest + stream[at:])
            self.assertEqual(([each[1] for each in first + second], nothing), (payloads, b""))
        self.assertRaises(ProtocolFailure, cut, b"\x81\x81\0\0\0\0a")

    def test_frame(self) -> None:
        """A client's frame is masked, by a key of zeros, with a length of one, two or eight bytes."""
        self.assertEqual(frame(b"abc"), b"\x81\x83\0\0\0\0abc")
        self.assertEqual(frame(b"a" * 126)[:8], b"\x81\xfe\x00\x7e\0\0\0\0")
        self.assertEqual(frame(b"a" * 65536)[:14], b"\x81\xff\0\0\0\0\0\x01\0\0\0\0\0\0")

    def test_any_cut(self) -> None:
        """Replies are the same wherever the stream is cut, whatever their length."""
        long = b'{"headers":{"status":204},"body":"' + b"x" * 300 + b'"}'
        stream = server_frame(self.payload) + server_frame(long)
        expected = [Reply(201, self.payload), Reply(204, long)]
        for at in range(len(stream)):
            reader = WebSocketReader()
            self.assertEqual(reader.feed(stream[:at]) + reader.feed(stream[at:]), expected)

    def test_very_long(self) -> None:
        """A length may have eight bytes."""
        long = b'{"headers":{"status":200},"body":"' + b"x" * 70_000 + b'"}'
        self.assertEqual(WebSocketReader().feed(server_frame(long)), [Reply(200, long)])

    def test_ping(self) -> None:
        """A ping is answered with its own payload, and is not a reply."""
        reader = WebSocketReader()
        self.assertEqual(
            reader.feed(server_frame(b"hi", 0x89) + server_frame(self.payload)), [Reply(201, self.payload)]
        )
        self.assertEqual(reader.answer, frame(b"hi", 10))

    def test_not_understood(self) -> None:
        """A close, a fragment, a masked frame and a frame without status are failures of the protocol."""
        for stream in (
            server_frame(b"\x03\xe8bye", 0x88),
            server_frame(b"{", 0x01),
            frame(self.payload),
            server_frame(b'{"body": {}}'),
        ):
            self.assertRaises(ProtocolFailure, WebSocketReader().feed, stream)

    def test_status(self) -> None:
        """The status is found with blanks and without."""
        self.assertEqual([status_of(b'{"status":404}'), status_of(b'{"status" : 200}')], [404, 200])


class Script:
    """A server of one connection at a time that sends, for each request of ten bytes, what a script says."""

    def __init__(self, answers: Iterator[bytes | None]) -> None:
        self._answers = answers
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def connect(self) -> Connection:
        """A connection to it."""
        return Connection(socket.create_connection(self._listener.getsockname()), HttpReader())

    def _serve(self) -> None:
        for _ in range(2):
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, sock.makefile("rb") as stream:
                while len(stream.read(10)) == 10:
                    answer = next(self._answers)
                    if answer is None:
                        break
                    sock.sendall(answer)

    def close(self) -> None:
        """Serve no more."""
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread, which closing would not
        self._thread.join()
        self._listener.close()


class ClientTests(SynchronousTestCase):
    def run_script(self, *answers: bytes | None, operations: int, lanes: int = 1) -> tuple[list[int], Client, Script]:
        script = Script(iter(answers))
        client = Client(script.connect, 1, patience_s=10)
        self.addCleanup(script.close)
        self.addCleanup(client.close)
        seen: list[int] = []

        def operation() -> Operation:
            got = yield b"0123456789"
            seen.append(got.status)
            if got.status >= 500:
                raise Unexpected(f"status {got.status}")

        self.load = client.run(operation, operations=operations, lanes=lanes)
        return seen, client, script

    def test_pipelined(self) -> None:
        """With several lanes, every operation gets its own reply, in order."""
        seen, _, _ = self.run_script(*(reply(210 + each, b"{}") for each in range(8)), operations=8, lanes=4)
        self.assertEqual(seen, list(range(210, 218)))
        self.assertEqual((len(self.load.latencies), self.load.errors), (8, 0))
        self.assertTrue(self.load.seconds >= max(self.load.latencies) > 0)

    def test_errors_are_counted(self) -> None:
        """An operation that fails counts as an error, not as an operation; the first few are kept."""
        self.run_script(*[reply(500, b"")] * 7, reply(200, b""), operations=8)
        self.assertEqual((self.load.errors, len(self.load.latencies)), (7, 1))
        self.assertEqual(self.load.complaints, ["status 500"] * 5)

    def test_lost_connection(self) -> None:
        """A lost connection is an error of what waited, and is replaced."""
        seen, _, _ = self.run_script(reply(200, b""), None, reply(201, b""), operations=3)
        self.assertEqual((seen, self.load.errors), ([200, 201], 1))
        self.assertEqual(self.load.complaints, ["the server closed the connection"])

    def test_hopeless(self) -> None:
        """A server that refuses everything is given up."""
        error = self.assertRaises(LoadFailed, self.run_script, *[reply(503, b"")] * 300, operations=300)
        self.assertIn("status 503", str(error))

    def test_several_requests(self) -> None:
        """An operation of several requests is one operation, from its first request to its last reply."""
        script = Script(iter([reply(201, b""), reply(204, b"")]))
        self.addCleanup(script.close)
        client = Client(script.connect, 1)
        self.addCleanup(client.close)
        statuses = []

        def operation() -> Operation:
            statuses.append((yield b"aaaaabbbbb").status)
            statuses.append((yield b"cccccddddd").status)

        load = client.run(operation, operations=1)
        self.assertEqual((statuses, len(load.latencies)), ([201, 204], 1))

    def test_idle(self) -> None:
        """The time in which the connections are looked at in vain is not the load's own."""
        script = Script(iter([reply(200, b"")]))
        self.addCleanup(script.close)
        client = Client(script.connect, 1)
        self.addCleanup(client.close)
        real, looks = client._poll, 0

        def poll(wait_s: float) -> list[tuple[int, int]]:
            nonlocal looks
            looks += 1
            return [] if looks < 4 else real.poll(10)

        self.patch(client, "_poll", SimpleNamespace(poll=poll, close=real.close))

        def operation() -> Operation:
            yield b"0123456789"

        load = client.run(operation, operations=1)
        self.assertEqual((len(load.latencies), looks), (1, 4))
        self.assertTrue(0 < load.idle <= load.seconds)

    def test_unasked(self) -> None:
        """A reply that nobody asked for ends the run."""
        self.assertRaises(LoadFailed, self.run_script, reply(200, b"") * 2, operations=1)


class CeilingTests(SynchronousTestCase):
    def test_both_transports(self) -> None:
        """The generator runs against the responder that does nothing."""
        for transport in ("http", "websocket"):
            rate, cpu_us = ceiling.measure(transport, 2, 4, 0.02, None)
            self.assertTrue(rate > 0 and cpu_us > 0)
