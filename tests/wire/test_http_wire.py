"""HTTP as bytes on a real socket: framing, order, bounds, reuse, WebSocket on the same port."""

from __future__ import annotations

import json
from typing import Any

from tests.helpers import CLIENT, PROJECT, Response
from tests.transport.websocket.client import handshake
from tests.wire.calls import REQUEST_ID
from tests.wire.gateway import Gateway, HttpConnection, WireCase, request_bytes, request_head
from zaqar_gateway.limits import Limits
from zaqar_gateway.operations.registry import PATCH_TYPE

Q = "/v2/queues/q"
M = f"{Q}/messages"


def post(*bodies: Any) -> bytes:
    """The bytes of a post."""
    return request_bytes("POST", M, {"messages": [{"body": body} for body in bodies]})


def chunked(*parts: bytes, method: str = "POST", target: str = M, end: bytes = b"0\r\n\r\n") -> bytes:
    """A request with a chunked body."""
    head = request_head(method, target, {"Transfer-Encoding": "chunked"}) + b"\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + end


class HttpWireTests(WireCase):
    """A gateway over memory."""

    async def http(self, limits: Limits | None = None) -> HttpConnection:
        self.gateway: Gateway = self.start(self.memory(), limits)
        return await self.gateway.http()

    async def bodies(self) -> list[Any]:
        """The bodies of all messages of the queue."""
        page = await (await self.gateway.http()).ask("GET", f"{M}?echo=true&limit=20")
        return [message["body"] for message in page.json["messages"]]

    # -- order -----------------------------------------------------------------------------------------------------------

    async def test_pipelining(self) -> None:
        """Requests written in one go take effect, and are answered, in their order."""
        http = await self.http()
        reads = request_bytes("GET", f"{M}?echo=true&limit=20")
        http.write(b"".join(post(number) + reads for number in range(20)))
        for number in range(20):
            self.assertEqual((await http.response()).status, 201)
            page = (await http.response()).json
            self.assertEqual([message["body"] for message in page["messages"]], list(range(number + 1)))

    async def test_pipelining_past_errors(self) -> None:
        """An error in the middle, with or without a body, does not disturb its neighbours."""
        http = await self.http(Limits(post_size_max=256))
        wanted = []
        data = b""
        for method, target, body, headers, status in (
            ("PUT", Q, None, {}, 201),
            ("GET", "/v2/nope", None, {}, 404),
            ("POST", "/v2/nope", b"x" * 100, {}, 404),
            ("POST", M, b"{", {}, 400),
            ("POST", M, b"x" * 2048, {}, 400),
            ("HEAD", Q, None, {}, 405),
            ("PATCH", Q, b"[]", {}, 415),
            ("PATCH", Q, b"[]", {"Content-Type": PATCH_TYPE}, 200),
            ("GET", Q, b"a body that nobody reads", {}, 200),
            ("DELETE", Q, b"x" * 300000, {}, 204),
            ("OPTIONS", Q, b"x", {}, 200),
            ("GET", Q, None, {"Accept": "text/html"}, 406),
            ("GET", Q, None, {"Client-ID": None}, 400),
            ("GET", "/v2/ping", None, {}, 204),
            ("GET", Q, None, {}, 200),
        ):
            data += request_bytes(method, target, body, headers)
            wanted.append((method, status))
        http.write(data)
        found = [(method, (await http.response(head=method == "HEAD")).status) for method, _ in wanted]
        self.assertEqual(found, wanted)

    async def test_byte_by_byte(self) -> None:
        """A request may come in any pieces."""
        http = await self.http()
        await http.ask("PUT", Q)
        for byte in post("é") + chunked(b'{"messages": [', b'{"body": 2}]}'):
            http.write(bytes((byte,)))
        self.assertEqual([(await http.response()).status for _ in range(2)], [201, 201])
        self.assertEqual(await self.bodies(), ["é", 2])

    async def test_headers_in_any_case(self) -> None:
        """Names of headers have no case (API reference, 1.3)."""
        http = await self.http()
        body = b'{"messages": [{"body": 1}]}'
        head = (
            f"POST {M} HTTP/1.1\r\nhOST: x\r\ncLIENT-id: {CLIENT}\r\nx-project-id:\t{PROJECT} \r\nCONTENT-LENGTH: 27\r\n\r\n"
        )
        http.write(head.encode() + body)
        self.assertEqual((await http.response()).status, 201)

    # -- bodies ----------------------------------------------------------------------------------------------------------

    async def test_chunked(self) -> None:
        """A chunked body is read as any other, its extensions and trailers are dropped (API reference, 6.2 item 22)."""
        http = await self.http()
        text = b'{"messages": [{"body": "chunked"}]}'
        http.write(chunked(text))
        http.write(chunked(*(text[at : at + 1] for at in range(len(text)))))
        http.write(chunked(text, end=b"0;a=b\r\nX-Trailer: 1\r\n\r\n"))
        http.write(chunked(method="PUT", target=Q))
        http.write(chunked(b'{"a": 1}', method="PUT", target="/v2/queues/r"))
        http.write(chunked())
        statuses = [(await http.response()).status for _ in range(6)]
        self.assertEqual(statuses, [201, 201, 201, 204, 201, 400])
        self.assertEqual(await self.bodies(), ["chunked"] * 3)

    async def test_chunked_limits(self) -> None:
        """A chunked body is under the same limits, and its 400 reaches a client that writes all (6.2 item 22; 1.10)."""
        http = await self.http(Limits(queue_metadata_max=64, post_size_max=256))
        body = b'{"messages": [{"body": "%b"}]}'
        for size, status in ((256, 201), (257, 400), (8 * 256, 400), (100 * 256, 400)):
            text = body % (b"x" * (size - len(body) + 2))
            http.write(chunked(*(text[at : at + 100] for at in range(0, size, 100))))
            response = await http.response()
            self.assertEqual(response.status, status, size)
            if status == 400:
                self.assertEqual(response.title, "Invalid API request")
        self.assertEqual((await http.ask("GET", "/v2/ping")).status, 204)
        self.assertEqual(len(await self.bodies()), 1)

    async def test_form_in_chunks(self) -> None:
        """A chunked form is a body like any other form; an empty one is none (API reference, 1.6)."""
        http = await self.http()
        form = {"Transfer-Encoding": "chunked", "Content-Type": "application/x-www-form-urlencoded"}
        http.write(request_head("PUT", Q, form) + b"\r\n3\r\na=b\r\n0\r\n\r\n")
        self.assertEqual((await http.response()).title, "Invalid Content-Type")
        http.write(request_head("PUT", Q, form) + b"\r\n0\r\n\r\n")
        self.assertEqual((await http.response()).status, 201)

    async def test_malformed_chunks(self) -> None:
        """Broken framing is a 400, after which the connection ends; nothing of what follows is a request."""
        for broken in (
            b"x\r\n", b"-1\r\nab\r\n0\r\n\r\n", b"2\r\nabc\r\n0\r\n\r\n", b"5\nabcde\n0\n\n", b"0x2\r\nab\r\n0\r\n\r\n",
            b" 2\r\nab\r\n0\r\n\r\n", b"fffffffffffffffff\r\n", b"2\r\nab0\r\n\r\n",
        ):  # fmt: skip
            http = await self.http()
            http.write(request_head("POST", M, {"Transfer-Encoding": "chunked"}) + b"\r\n" + broken + post("smuggled"))
            response = await http.response()
            self.assertEqual((response.status, response.header("Connection")), (400, "close"), broken)
            self.assertEqual(await http.rest(), b"")
            self.assertEqual(await self.bodies(), [], broken)

    async def test_ambiguous_framing(self) -> None:
        """Two lengths, or a length and chunks, are refused, and nothing of what follows is a request (RFC 9112, 6.3)."""
        inner = post("smuggled")
        for headers, content in (
            ({"Content-Length": "4", "Transfer-Encoding": "chunked"}, b"0\r\n\r\n"),
            ({"Content-Length": "4\r\nContent-Length: 5"}, b"abcd"),
            ({"Content-Length": "4, 4"}, b"abcd"),
            ({"Content-Length": "+4"}, b"abcd"),
            ({"Content-Length": "-4"}, b"abcd"),
            ({"Content-Length": "0x4"}, b"abcd"),
            ({"Content-Length": "4 4"}, b"abcd"),
            ({"Content-Length": ""}, b"abcd"),
            ({"Content-Length": "x"}, b"abcd"),
            ({"Content-Length": "9" * 30}, b"abcd"),
            ({"Transfer-Encoding": "chunked, chunked"}, b"0\r\n\r\n"),
            ({"Transfer-Encoding": "xchunked"}, b"0\r\n\r\n"),
            ({"Transfer-Encoding": "identity"}, b"abcd"),
            ({"Transfer-Encoding ": "chunked"}, b"0\r\n\r\n"),
            ({"X": "a\nTransfer-Encoding: chunked"}, b"0\r\n\r\n"),
            ({"X": "a\r\n b"}, b""),
            ({" X": "a"}, b""),
            ({"X\x00": "a"}, b""),
            ({"X": "a\x00"}, b""),
            ({"Host": "a\r\nHost: b"}, b""),
            ({"Host": None}, b""),
        ):
            http = await self.http()
            http.write(request_head("POST", M, headers) + b"\r\n" + content + inner)
            response = await http.response()
            self.assertIn(response.status, (400, 501), headers)
            self.assertTrue(REQUEST_ID.fullmatch(response.header("x-openstack-request-id") or ""))
            self.assertEqual(set(response.json), {"title", "description"})
            self.assertEqual(await http.rest(), b"", headers)
            self.assertEqual(await self.bodies(), [], headers)

    async def test_no_length(self) -> None:
        """Without a length and without chunks there is no body, and it is never 411 (API reference, 1.6)."""
        http = await self.http()
        self.assertEqual((await http.ask("PUT", Q)).status, 201)
        self.assertEqual((await http.ask("POST", f"{Q}/claims")).status, 204)
        self.assertEqual((await http.ask("POST", f"{Q}/purge")).status, 204)
        self.assertEqual((await http.ask("POST", M)).title, "Invalid request body")

    async def test_short_body(self) -> None:
        """A body that ends early is a 400 (API reference, 1.10)."""
        for data in (post("early")[:-3], chunked(b'{"messages": [{"body": "early"}]}', end=b"")):
            http = await self.http()
            http.write(data)
            http.transport.loseWriteConnection()
            self.assertEqual((await http.response()).status, 400)
            self.assertEqual(await http.rest(), b"")
            self.assertEqual(await self.bodies(), [])

    async def test_client_that_closes_its_side(self) -> None:
        """A client that has asked and closed its side gets its answers."""
        http = await self.http()
        http.write(post(1) + post(2))
        http.transport.loseWriteConnection()
        self.assertEqual([(await http.response()).status for _ in range(2)], [201, 201])
        self.assertEqual(await http.rest(), b"")

    async def test_expect(self) -> None:
        """A client that waits is told to go on, or gets its answer instead (RFC 9110, 10.1.1)."""
        http = await self.http()
        text = b'{"messages": [{"body": 1}]}'
        expecting = {"Expect": "100-continue", "Content-Length": str(len(text))}
        for _ in range(2):
            http.write(request_head("POST", M, expecting) + b"\r\n")
            self.assertEqual((await http.response()).status, 100)
            http.write(text)
            self.assertEqual((await http.response()).status, 201)
        http.write(request_head("POST", M, {"Expect": "100-continue", "Transfer-Encoding": "chunked"}) + b"\r\n")
        self.assertEqual((await http.response()).status, 100)
        http.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(text), text))
        self.assertEqual((await http.response()).status, 201)
        http.write(request_head("PUT", Q, {"Expect": "100-continue"}) + b"\r\n")
        self.assertEqual((await http.response()).status, 204)
        http.write(request_head("POST", M, {**expecting, "Content-Length": "300000"}) + b"\r\n")
        self.assertEqual((await http.response()).status, 400)
        http = await self.gateway.http()
        http.write(request_head("POST", M, {**expecting, "Expect": "a miracle"}) + b"\r\n")
        self.assertEqual((await http.response()).status, 417)

    async def oversize(self, limits: Limits, method: str, target: str, factor: int, headers: dict[str, str]) -> Response:
        """The answer to a body so many times the limit, all of which is written before anything is read; the connection
        has to be good for another request."""
        http = await self.http(limits)
        size = factor * (limits.queue_metadata_max if method in ("PUT", "PATCH") else limits.post_size_max)
        http.transport.pauseProducing()  # type: ignore[attr-defined]
        http.write(request_bytes(method, target, b"x" * size, headers) + request_bytes("GET", "/v2/ping"))
        await self.written(http)
        http.transport.resumeProducing()  # type: ignore[attr-defined]
        response = await http.response()
        again = await http.response()
        self.assertEqual(again.status, 204)
        return response

    async def written(self, http: HttpConnection) -> None:
        """Wait until all has been handed to the operating system."""
        from twisted.internet import reactor
        from twisted.internet.task import deferLater

        transport: Any = http.transport
        while transport.dataBuffer or transport._tempDataBuffer:
            await deferLater(reactor, 0.001)

    async def test_oversize(self) -> None:
        """Bodies of 8 and of 100 times the limit are 400, which reaches a client that writes before it reads, and the
        connection goes on (API reference, 1.10)."""
        patch = {"Content-Type": PATCH_TYPE}
        for limits in (Limits(queue_metadata_max=64, post_size_max=256), Limits()):
            for method, target, headers in (("PUT", Q, {}), ("PATCH", Q, patch), ("POST", M, {})):
                for factor in (8, 100):
                    response = await self.oversize(limits, method, target, factor, headers)
                    self.assertEqual((response.status, response.title), (400, "Invalid API request"), (method, factor))

    async def test_oversize_of_others(self) -> None:
        """Bodies that are bounded by nothing else are accepted up to the size of a post (API reference, 1.10)."""
        http = await self.http()
        text = b'{"x": "' + b"x" * (262144 - 9) + b'"}'
        self.assertEqual((await http.ask("POST", f"{Q}/claims", text)).status, 204)
        self.assertEqual((await http.ask("PATCH", f"{Q}/claims/a", text)).status, 404)
        types = b'{"resource_types": [], ' + text[1:-24] + b'"}'
        self.assertEqual((await http.ask("POST", f"{Q}/purge", types)).status, 204)

    # -- methods ---------------------------------------------------------------------------------------------------------

    async def test_head(self) -> None:
        """The response to HEAD has no body, whatever it is, and the next response follows (RFC 9110, 9.3.2)."""
        http = await self.http()
        for target, status in ((Q, 405), ("/v2/ping", 204), ("/v2/nope", 404), ("/", 405), ("/v2/queues/a@b", 400)):
            http.write(request_bytes("HEAD", target) + request_bytes("GET", "/v2/ping"))
            self.assertEqual((await http.response(head=True)).status, status)
            self.assertEqual((await http.response()).status, 204)

    async def test_options(self) -> None:
        """OPTIONS has an empty body and a Content-Length, the asterisk form too."""
        http = await self.http()
        for target in (Q, "/v2/nope", "*"):
            response = await http.ask("OPTIONS", target)
            self.assertEqual((response.status, response.body), (200, b""))

    async def test_unknown_method(self) -> None:
        """A method that HTTP does not know is a 400 (API reference, 1.7)."""
        for method in ("FETCH", "get", "PROPFIND2"):
            http = await self.http()
            response = await http.ask(method, Q)
            self.assertEqual(response.status, 400)
            self.assertEqual(set(response.json), {"title", "description"})

    async def test_no_http(self) -> None:
        """What is no HTTP gets an answer at most, and the connection ends."""
        for data in (b"\x16\x03\x01\x02\x00\x01", b"hello\r\n\r\n", b"GET / HTTP/2.0\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n",
                     b"GET / HTTP/1.1\nHost: x\n\n", b"GET nope HTTP/1.1\r\nHost: x\r\n\r\n", b"\r\n\r\n\r\nGET"):  # fmt: skip
            http = await self.http()
            http.write(data)
            answer = await http.rest()
            self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), (data, answer))

    async def test_absolute_target(self) -> None:
        """A target in absolute form is its path (RFC 9112, 3.2.2)."""
        http = await self.http()
        self.assertEqual((await http.ask("PUT", f"http://example.org:8888{Q}")).status, 201)

    # -- connections -----------------------------------------------------------------------------------------------------

    async def test_http10(self) -> None:
        """HTTP/1.0 closes after the answer, or stays where the client asks for it."""
        http = await self.http()
        http.write(request_bytes("GET", Q, None, {"Host": None}).replace(b"HTTP/1.1", b"HTTP/1.0"))
        response = await http.response()
        self.assertEqual((response.status, response.header("Connection")), (200, "close"))
        self.assertEqual(await http.rest(), b"")
        http = await self.gateway.http()
        keep = request_bytes("GET", Q, None, {"Connection": "keep-alive"}).replace(b"HTTP/1.1", b"HTTP/1.0")
        for _ in range(2):
            http.write(keep)
            response = await http.response()
            self.assertEqual((response.status, response.header("Connection")), (200, "keep-alive"))

    async def test_close(self) -> None:
        """A client that asks for the end gets it after the answer; what it sends behind is no request."""
        http = await self.http()
        http.write(request_bytes("PUT", Q, None, {"Connection": "close"}) + post("ignored"))
        response = await http.response()
        self.assertEqual((response.status, response.header("Connection")), (201, "close"))
        self.assertEqual(await http.rest(), b"")
        self.assertEqual(await self.bodies(), [])

    async def test_reuse(self) -> None:
        """One connection serves many requests, errors among them."""
        http = await self.http()
        for number in range(50):
            self.assertEqual((await http.ask("POST", M, {"messages": [{"body": number}]})).status, 201)
            self.assertEqual((await http.ask("POST", M, b"[")).status, 400)
            self.assertEqual((await http.ask("GET", f"{M}/nada")).status, 404)
            self.assertEqual((await http.ask("GET", "/")).status, 300)
        self.assertFalse(http.ended)

    async def test_long_heads(self) -> None:
        """A head within the bounds passes, one beyond them is refused with 414 or 431."""
        http = await self.http()
        self.assertEqual((await http.ask("GET", f"{M}?ids=" + "a" * 7000)).status, 404)
        self.assertEqual((await http.ask("GET", Q, None, {"X-Trace": "x" * 20000})).status, 200)
        self.assertEqual((await http.ask("GET", f"{M}?ids=" + "a" * 9000)).status, 414)
        http = await self.gateway.http()
        self.assertEqual((await http.ask("GET", Q, None, {"X-Trace": "x" * 40000})).status, 431)

    async def test_every_response(self) -> None:
        """Every response has a length unless it can have none, a date, and no header twice (RFC 9110)."""
        http = await self.http()
        for method, target in (("GET", "/"), ("PUT", Q), ("GET", "/v2/nope"), ("POST", M), ("GET", Q), ("OPTIONS", Q)):
            response = await http.ask(method, target)
            names = [name.lower() for name, _ in response.headers]
            self.assertEqual(len(names), len(set(names)), names)
            self.assertIn(b"date", names)
            self.assertIn(b"content-length", names)

    # -- WebSocket on the same port ----------------------------------------------------------------------------------------

    async def test_upgrade(self) -> None:
        """The HTTP port upgrades to WebSocket on any path, also behind other requests, and both see one store."""
        http = await self.http()
        await http.ask("POST", M, {"messages": [{"body": "by HTTP"}]})
        for path in ("/", "/v2/queues/q", "/nope?x=1"):
            socket = await self.gateway.socket(upgraded=True)
            body = {"queue_name": "q", "echo": True}
            headers = {"Client-ID": CLIENT, "X-Project-ID": PROJECT}
            reply = await socket.ask({"action": "message_list", "headers": headers, "body": body})
            self.assertEqual([message["body"] for message in reply["body"]["messages"]], ["by HTTP"], path)
        http.write(request_bytes("GET", "/v2/ping") + handshake("/v2/any"))
        self.assertEqual((await http.response()).status, 204)
        head = await http.until(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)

    async def test_no_subprotocol(self) -> None:
        """A subprotocol that is offered is not selected (API reference, 4.1)."""
        http = await self.http()
        http.write(handshake("/", Sec_WebSocket_Protocol="messaging"))
        head = await http.until(b"\r\n\r\n")
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
        self.assertNotIn(b"protocol", head.lower().partition(b"\r\n")[2])

    async def test_frames_behind_the_handshake(self) -> None:
        """Frames that come with the handshake are answered."""
        from tests.transport.websocket.client import frame

        http = await self.http()
        request = {"action": "queue_list", "headers": {"Client-ID": CLIENT, "X-Project-ID": PROJECT}}
        http.write(handshake() + frame(json.dumps(request).encode()))
        await http.until(b"\r\n\r\n")
        self.assertIn(b'"status":200', await http.until(b"}}"))

    async def test_no_upgrade(self) -> None:
        """What asks for another protocol, or not with GET, is an ordinary request (RFC 9110, 7.8)."""
        http = await self.http()
        other = {"Connection": "Upgrade", "Upgrade": "h2c"}
        self.assertEqual((await http.ask("GET", Q, None, other)).status, 200)
        websocket = {"Connection": "Upgrade", "Upgrade": "websocket"}
        self.assertEqual((await http.ask("PUT", Q, None, websocket)).status, 201)
        self.assertEqual((await http.ask("GET", Q, None, {"Upgrade": "websocket"})).status, 200)
