"""Heads that differ in ids alone: whatever came before on a connection, each request means what it says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import CLIENT, OTHER_CLIENT, build_operations
from tests.transport.http.test_channel import Answer, Wired, answers
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.http.alike import SIZE_MAX, alike
from zaqar_gateway.transport.http.arguments import Asked
from zaqar_gateway.transport.http.request import Head

ONE, TWO, THREE = "0123456789abcdef01234567", "fedcba9876543210fedcba98", "00000000000000000000000a"


def connected(storage: MemoryStorage, clock: Clock) -> Wired:
    """A site over a store, and connections to it."""
    site: Any = build_operations(storage).site()
    return Wired(application=site, clock=clock)


def head(target: str, method: str = "GET", project: str = "p", client: str = CLIENT, more: str = "") -> bytes:
    """A request without a body."""
    lines = f"Host: h\r\nClient-ID: {client}\r\nX-Project-ID: {project}\r\n{more}"
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode()


def told(answer: Answer) -> tuple[int, dict[bytes, bytes], bytes]:
    """An answer without what differs from request to request."""
    headers = {name: value for name, value in answer.headers.items() if name not in (b"x-openstack-request-id", b"date")}
    return answer.status, headers, answer.body


TARGETS = (
    "/v2/queues/q/messages/{}",
    "/v2/queues/q/messages/{}?claim_id={}",
    "/v2/queues/q/messages?marker={}",
    "/v2/queues/q/messages?limit=2&marker={}&echo=true",
    "/v2/queues/q/messages?limit={}",
    "/v2/queues/q/messages?limit=2&unknown={}",
    "/v2/queues/q/messages?marker={}&marker={}",
    "/v2/queues/q/messages?marker={}&echo={}",
    "/v2/queues/q/messages?marker=x{}",
    "/v2/queues/q/messages?marker={},{}",
    "/v2/queues/q/messages?marker=%30{}",
    "/v2/queues/q/messages?{}=1",
    "/v2/queues/q/messages?ids={}",
    "/v2/queues/q/messages?ids={},{}",
    "/v2/queues/q/messages?ids={},{},{}",
    "/v2/queues/{}/messages?marker={}",
    "/v2/queues/{}/claims/{}",
    "/v2/queues/q/claims/{}",
    "/v2/queues?marker={}",
    "/v2/queues/{}",
    "/v2/{}/q",
    "/v2/queues/q/subscriptions/{}",
    "/{}",
    "http://{}/v2/queues/q/messages?marker={}",
    "/v2/queues/q/messages?marker={}&wait=0",
)


class DifferentialTests(SynchronousTestCase):
    """A connection that has seen others, against one that has seen nothing."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.storage = MemoryStorage(self.clock)
        self.connected = connected(self.storage, self.clock)
        self.ids = self.post("q", 5)

    def post(self, queue: str, number: int) -> list[str]:
        """Post messages; their ids."""
        body = b'{"messages":[' + b",".join(b'{"ttl":300,"body":%d}' % one for one in range(number)) + b"]}"
        lines = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        request = head(f"/v2/queues/{queue}/messages", "POST", client=OTHER_CLIENT, more=lines) + body
        (answer,) = self.sent([request])
        self.assertEqual(answer[0], 201)
        return re.findall("/messages/([0-9a-f]{24})", answer[2].decode())

    def sent(self, requests: Iterable[bytes]) -> list[tuple[int, dict[bytes, bytes], bytes]]:
        """What is answered to requests on one connection, each sent when the one before is answered."""
        channel, pipe = self.connected.connect()
        for request in requests:
            channel.dataReceived(request)
        return [told(answer) for answer in answers(pipe.value())]

    def compare(self, requests: list[bytes]) -> None:
        """Each has the answer that it has on a connection of its own."""
        alone = [answer for request in requests for answer in self.sent([request])]
        self.assertEqual(self.sent(requests), alone)

    @settings(deadline=None, max_examples=150)
    @given(st.data())
    def test_any_order(self, data: st.DataObject) -> None:
        """Requests of a few forms, with ids that are there and ids that are not, in any order."""
        names = st.sampled_from((*self.ids, ONE, TWO, THREE, ONE.upper(), ONE[:-1], ONE + "0", "-" * 24))
        forms = data.draw(st.lists(st.sampled_from(TARGETS), min_size=1, max_size=3))
        requests = []
        for _ in range(data.draw(st.integers(2, 9))):
            form = data.draw(st.sampled_from(forms))
            requests.append(
                head(
                    form.format(*(data.draw(names) for _ in range(form.count("{}")))),
                    data.draw(st.sampled_from(("GET", "GET", "GET", "HEAD", "OPTIONS"))) if data.draw(st.booleans()) else "GET",
                    data.draw(st.sampled_from(("p", "p", "other"))),
                )
            )
        heads = [request.startswith(b"HEAD") for request in requests]
        if not any(heads):  # their answers have a length and no body
            self.compare(requests)

    def test_pages(self) -> None:
        """A walk from page to page on one connection shows each message once, in order."""
        channel, pipe = self.connected.connect()
        target, seen = "/v2/queues/q/messages?limit=1&echo=true", []
        for _ in range(len(self.ids) + 1):
            pipe.clear()
            channel.dataReceived(head(target))
            (answer,) = answers(pipe.value())
            seen += re.findall(rb'"id":"([0-9a-f]{24})"', answer.body)
            found = re.search(rb'"rel":"next","href":"([^"]*)"', answer.body)
            if found is None:
                break
            target = found[1].decode()
        self.assertEqual([one.decode() for one in seen], self.ids)

    def test_deletes(self) -> None:
        """Messages are deleted one by one, each once."""
        requests = [head(f"/v2/queues/q/messages/{one}", "DELETE") for one in self.ids]
        self.assertEqual([status for status, _, _ in self.sent(requests)], [204] * len(self.ids))
        listed = self.sent([head("/v2/queues/q/messages?echo=true")])
        self.assertNotIn(b'"id"', listed[0][2])

    def test_queues_named_like_ids(self) -> None:
        """The pages of queues whose names look like ids link to their own messages and to their own next pages."""
        markers = [self.post(queue, 3)[0] for queue in (ONE, TWO, THREE)]
        requests = [
            head(f"/v2/queues/{queue}/messages?marker={marker}")
            for queue, marker in zip((ONE, TWO, THREE), markers, strict=True)
        ]
        self.compare(requests * 2)
        self.assertIn(f"/v2/queues/{THREE}/messages/".encode(), self.sent(requests * 2)[-1][2])

    def test_projects(self) -> None:
        """What was found for one project is not told to another; nor is the longest name of a queue good for a longer project."""
        queue = "q" * 64
        self.post(queue, 1)
        target = f"/v2/queues/{queue}/messages/{self.ids[0]}"
        self.compare([head(target)] * 3 + [head(target, project="x" * length) for length in (1, 192, 256, 257, 300)])

    def test_in_pieces(self) -> None:
        """A head that comes byte by byte, or with the next ones, after others like it."""
        requests = [head(f"/v2/queues/q/messages/{one}") for one in (*self.ids, ONE)]
        alone = [answer for request in requests for answer in self.sent([request])]
        whole = b"".join(requests)
        for size in (1, 7, len(requests[0]) - 1, len(requests[0]) + 1, len(whole)):
            pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
            channel, pipe = self.connected.connect()
            channel.dataReceived(requests[0])
            channel.dataReceived(requests[0])
            channel.dataReceived(requests[0])
            pipe.clear()
            for piece in pieces:
                channel.dataReceived(piece)
                self.clock.advance(0)
            self.assertEqual([told(answer) for answer in answers(pipe.value())], alone, size)


class AgainTests(SynchronousTestCase):
    """Heads without a body that come again."""

    def setUp(self) -> None:
        clock = Clock()
        self.storage = MemoryStorage(clock)
        self.channel, self.pipe = connected(self.storage, clock).connect()

    def asked(self, *targets: str, more: str = "") -> list[Head]:
        """The heads of requests for targets, one after the other."""
        found = []
        for target in targets:
            self.channel.dataReceived(head(target, more=more))
            request = self.channel._request
            assert request is not None
            found.append(request.head)
        return found

    def test_known(self) -> None:
        """One that came twice is known from then on, also where others come between."""
        first, second, third, _, again = self.asked(*["/v2/queues/q/messages?limit=2"] * 3, "/v2/queues/q", "/v2/queues/q/messages?limit=2")
        self.assertIsNot(first, second)
        self.assertIs(second, third)
        self.assertIs(third, again)
        by_turns = self.asked(*["/v2/queues/a/stats", "/v2/queues/b", "/v2/queues/c"] * 3)
        self.assertEqual([by_turns[3 + at] is by_turns[6 + at] for at in range(3)], [True] * 3)

    def test_ids_pass_by(self) -> None:
        """Heads that come once each drive out nothing: those that are known stay so."""
        target = "/v2/queues/q/stats"
        known = self.asked(target, target)[1]
        self.asked(*(f"/v2/queues/q/messages?limit={number}" for number in range(1, 20)))
        self.assertIs(self.asked(target)[0], known)

    def test_long_ones_are_forgotten(self) -> None:
        """A head of many lines, which takes much memory, or of many bytes is read each time."""
        for more, is_known in (
            ("".join(f"x{number}: 1\r\n" for number in range(20)), True),
            ("".join(f"x{number}: 1\r\n" for number in range(40)), False),
            (f"x: {'1' * 1800}\r\n", True),
            (f"x: {'1' * 2048}\r\n", False),
        ):
            for target in ("/v2/queues/q/stats", f"/v2/queues/q/messages/{ONE}"):
                found = self.asked(*[target] * 4, more=more)
                self.assertEqual(found[2] is found[3], is_known, (target, len(more)))
                self.assertEqual(found[2].headers is found[3].headers, is_known)

    def test_query_that_identifies(self) -> None:
        """What a query says of who asks is looked at each time, whatever body is announced."""
        target = f"/v2/queues/q/events?project_id=p&client_id={CLIENT}&marker=bad"
        for lines in ("", "Content-Length: 0\r\n", "Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"):
            body = {"Content-Length: 2\r\n": b"{}", "Transfer-Encoding: chunked\r\n": b"0\r\n\r\n"}.get(lines, b"")
            channel, pipe = connected(self.storage, Clock()).connect()
            for _ in range(4):
                channel.dataReceived(f"GET {target} HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode() + body)
            found = [told(answer) for answer in answers(pipe.value())]
            self.assertEqual([b"The marker 'bad'" in text for _, _, text in found], [True] * 4, lines)

    def test_lists_are_their_own(self) -> None:
        """What one request does with a list that its query brings is not seen by the next."""
        text = head(f"/v2/queues/q/messages?ids={ONE},{TWO}")
        found = []
        for _ in range(4):
            self.channel.dataReceived(text)
            request = self.channel._request
            assert request is not None
            plan = request.head.plan
            asked = Asked(plan, request).fields(plan.endpoint.operation)
            found.append(list(asked.message_ids))  # type: ignore[attr-defined]
            asked.message_ids.clear()  # type: ignore[attr-defined]
        self.assertEqual(found, [[ONE, TWO]] * 4)


class AlikeTests(SynchronousTestCase):
    """What is taken for alike."""

    def setUp(self) -> None:
        clock = Clock()
        self.channel, self.pipe = connected(MemoryStorage(clock), clock).connect()

    def found(self, target: str, method: str = "GET") -> tuple[bytes, Head]:
        """A head that was handled, and its text."""
        text = head(target, method)
        self.channel.dataReceived(text)
        request = self.channel._request
        assert request is not None
        return text, request.head

    def test_found(self) -> None:
        """Ids that are fields are left open; the others have the rest of the fields."""
        text, first = self.found(f"/v2/queues/q/messages/{ONE}?claim_id={TWO}", "DELETE")
        like = alike(text, first)
        assert like is not None
        other = head(f"/v2/queues/q/messages/{TWO}?claim_id={THREE}", "DELETE")
        read = like.read(b"junk" + other + b"more", 4)
        assert read is not None
        self.assertEqual(
            (read.target, read.path, read.query, read.method, read.place),
            (
                f"/v2/queues/q/messages/{TWO}?claim_id={THREE}".encode(),
                f"/v2/queues/q/messages/{TWO}".encode(),
                f"claim_id={THREE}".encode(),
                b"DELETE",
                first.place,
            ),
        )
        values, given = read.plan.named
        self.assertEqual(values, {"queue_name": "q", "message_id": TWO, "claim_id": THREE})
        self.assertEqual(given, {"claim_id": THREE})
        self.assertEqual(first.plan.named[0]["message_id"], ONE)

    def test_not_found(self) -> None:
        """Where an id is no field, comes twice, or is one of many, each head is read."""
        for target in (
            "/v2/queues/q/messages?limit=2",
            f"/v2/queues/q/messages?unknown={ONE}",
            f"/v2/queues/q/messages?marker=x{ONE}",
            f"/v2/queues/q/messages?marker={ONE}&marker={TWO}",
            f"/v2/queues/{ONE}/messages/{ONE}",
            f"/v2/queues/{ONE}/messages/{TWO}",
            f"/v2/queues/q/messages?ids={ONE},{TWO},{THREE}",
            f"/v2/queues/q/messages?ids={ONE}",
            f"/v2/queues/q/messages?limit={'1' * 24}",
            f"/nowhere/{ONE}",
            f"/v2/queues/q/messages?marker={ONE}&x={'y' * SIZE_MAX}",
        ):
            self.assertIsNone(alike(*self.found(target)), target)

    def test_unlike(self) -> None:
        """What differs in anything else, or has no id where one was, is not alike."""
        like = alike(*self.found(f"/v2/queues/q/messages/{ONE}"))
        assert like is not None
        good = head(f"/v2/queues/q/messages/{TWO}")
        self.assertIsNotNone(like.read(good, 0))
        for bad in (
            good.replace(TWO.encode(), TWO.upper().encode()),
            good.replace(TWO.encode(), TWO[:-1].encode()),
            good.replace(TWO.encode(), (TWO + "0").encode()),
            good.replace(TWO.encode(), b"/" * 24),
            good.replace(b"/q/", b"/r/"),
            good.replace(b"GET", b"PUT"),
            good.replace(b": p\r\n", b": o\r\n"),
            good.replace(b"HTTP/1.1", b"HTTP/1.0"),
            good[:-1],
            good[:-2] + b"X: 1\r\n\r\n",
            good[1:],
            b"",
        ):
            self.assertIsNone(like.read(bad, 0), bad)
