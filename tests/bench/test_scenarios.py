"""Tests of the requests of the scenarios, and of what their replies have to show."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.api import BODY, BODY_BYTES, Api, HttpApi, WebSocketApi, dumps
from bench.backlog import Backlog
from bench.load.engine import Operation, Reply, Unexpected
from bench.scenarios import SCENARIOS, ListPages


def parse_http(request: bytes) -> tuple[str, dict[str, str], Any]:
    """The request line without its version, the headers, the document."""
    head, _, body = request.partition(b"\r\n\r\n")
    line, *headers = head.decode().split("\r\n")
    return line.removesuffix(" HTTP/1.1"), dict(each.split(": ", 1) for each in headers), json.loads(body or b"null")


def parse_frame(request: bytes) -> Any:
    """The document in a frame."""
    return json.loads(request[request.index(b"\0\0\0\0") + 4 :])


def message(number: int, claim: str = "", **changes: Any) -> dict[str, Any]:
    """A message as HTTP shows it."""
    href = f"/v2/queues/q/messages/m{number}" + (f"?claim_id={claim}" if claim else "")
    return {"id": f"m{number}", "href": href, "ttl": 60, "age": 0, "body": BODY, **changes}


def answer(status: int, document: object) -> Reply:
    """A reply with a document."""
    return Reply(status, json.dumps(document).encode())


class HttpApiTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = HttpApi("q", "127.0.0.1:1")

    def test_requests(self) -> None:
        """Each request has the method, path and query of the API."""
        for request, line in (
            (self.api.create_queue(), "PUT /v2/queues/q"),
            (self.api.delete_queue(), "DELETE /v2/queues/q"),
            (self.api.post(1), "POST /v2/queues/q/messages"),
            (self.api.claim(20), "POST /v2/queues/q/claims?limit=20"),
            (self.api.delete(b"m1", b"c1"), "DELETE /v2/queues/q/messages/m1?claim_id=c1"),
            (self.api.delete_many([b"m1", b"m2"]), "DELETE /v2/queues/q/messages?ids=m1,m2"),
            (self.api.get(b"m1"), "GET /v2/queues/q/messages/m1"),
            (self.api.page(10, b""), "GET /v2/queues/q/messages?limit=10&echo=true"),
            (
                self.api.page(10, self.api.cursor_after(b"m9", 10)),
                "GET /v2/queues/q/messages?limit=10&echo=true&marker=m9",
            ),
            (self.api.pop(10), "DELETE /v2/queues/q/messages?pop=10"),
        ):
            found, headers, _ = parse_http(request)
            self.assertEqual(found, line)
            self.assertEqual(headers["Host"], "127.0.0.1:1")
            self.assertTrue({"Client-ID", "X-Project-ID"} <= set(headers))

    def test_post(self) -> None:
        """A post has so many messages with bodies of 200 bytes, and a right length."""
        _, headers, document = parse_http(self.api.post(10))
        self.assertEqual([len(dumps(each["body"])) for each in document["messages"]], [BODY_BYTES] * 10)
        self.assertEqual(int(headers["Content-Length"]), len(self.api.post(10).partition(b"\r\n\r\n")[2]))

    def test_posted(self) -> None:
        """The ids of posted messages come in order, and have to be as many as messages."""
        reply = answer(201, {"resources": ["/v2/queues/q/messages/a", "/v2/queues/q/messages/b"]})
        self.assertEqual(self.api.posted(reply, 2), [b"a", b"b"])
        self.assertRaises(Unexpected, self.api.posted, reply, 3)

    def test_claimed(self) -> None:
        """The id of a claim comes from the links of its messages."""
        reply = answer(201, {"messages": [message(1, "c-1"), message(2, "c-1")]})
        self.assertEqual(self.api.claimed(reply, 2), (b"c-1", [b"m1", b"m2"]))
        self.assertRaises(Unexpected, self.api.claimed, answer(201, {"messages": [message(1)]}), 1)

    def test_next_page(self) -> None:
        """The next page is where the link says, and a page without a link is an error."""
        link = "/v2/queues/q/messages?limit=1&echo=true&marker=m1"
        reply = answer(200, {"messages": [message(1)], "links": [{"rel": "next", "href": link}]})
        self.assertEqual(self.api.next_cursor(reply, [b"m1"]), link.encode())
        self.assertRaises(Unexpected, self.api.next_cursor, answer(200, {"messages": [message(1)]}), [b"m1"])

    def test_status(self) -> None:
        """Another status is an error that shows the reply."""
        error = self.assertRaises(Unexpected, self.api.messages, Reply(404, b"no such queue"), 1)
        self.assertEqual(str(error), "status 404 instead of 200: no such queue")

    def test_too_few(self) -> None:
        """A reply with too few messages is an error, however it says so."""
        shown: tuple[list[dict[str, Any]], ...] = ([], [message(1)], [message(1), {"id": "m2"}])
        for messages in shown:
            self.assertRaises(Unexpected, self.api.messages, answer(200, {"messages": messages}), 2)

    def test_thorough(self) -> None:
        """A reply that is looked at in full has to have the bodies that were posted, and no id twice."""
        for each in (message(2, body={"bench_body": "other"}), message(1), {"id": "m2", "href": "bench_body"}):
            api = HttpApi("q", "h")
            self.assertRaises(Unexpected, api.messages, answer(200, {"messages": [message(1), each]}), 2)


class WebSocketApiTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = WebSocketApi("q")

    def test_requests(self) -> None:
        """Each frame has the action and fields of the API."""
        for request, action, body in (
            (self.api.create_queue(), "queue_create", {}),
            (self.api.delete_queue(), "queue_delete", {}),
            (self.api.post(1), "message_post", {"messages": [{"ttl": 86400, "body": BODY}]}),
            (self.api.claim(20), "claim_create", {"limit": 20, "ttl": 300, "grace": 60}),
            (self.api.delete(b"m1", b"c1"), "message_delete", {"message_id": "m1", "claim_id": "c1"}),
            (self.api.delete_many([b"m1", b"m2"]), "message_delete_many", {"message_ids": ["m1", "m2"]}),
            (self.api.get(b"m1"), "message_get", {"message_id": "m1"}),
            (self.api.page(10, b""), "message_list", {"limit": 10, "echo": True}),
            (self.api.page(10, b"m9"), "message_list", {"limit": 10, "echo": True, "marker": "m9"}),
            (self.api.pop(10), "message_delete_many", {"pop": 10}),
        ):
            document = parse_frame(request)
            self.assertEqual((document["action"], document["body"]), (action, {"queue_name": "q", **body}))
            self.assertEqual(set(document["headers"]), {"Client-ID", "X-Project-ID"})

    def test_posted(self) -> None:
        """The ids of posted messages come in order, and have to be as many as messages."""
        self.assertEqual(self.api.posted(answer(201, {"body": {"message_ids": ["a", "b"]}}), 2), [b"a", b"b"])
        self.assertRaises(Unexpected, self.api.posted, answer(201, {"body": {"message_ids": []}}), 1)

    def test_one_message(self) -> None:
        """One message is an object, not a list."""
        reply = answer(200, {"body": {"messages": message(7)}})
        self.assertEqual(self.api.messages(reply, 1), [b"m7"])

    def test_echo_is_not_counted(self) -> None:
        """The echo of a request is not taken for messages."""
        echo = parse_frame(self.api.claim(1))
        body = {"claim_id": "c1", "messages": [message(1, claim_id="c1")]}
        reply = answer(201, {"request": echo, "body": body, "headers": {"status": 201}})
        self.assertEqual(self.api.claimed(reply, 1), (b"c1", [b"m1"]))


class Talk:
    """An operation, seen from the server."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self.request = next(operation)
        self.done = False

    def answer(self, status: int, document: object = None) -> None:
        """Give it a reply."""
        try:
            self.request = self._operation.send(answer(status, document))
        except StopIteration:
            self.done = True

    @property
    def line(self) -> str:
        """The request line."""
        return parse_http(self.request)[0]


class ScenarioTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api: Api = HttpApi("q", "127.0.0.1:1")

    def start(self, name: str) -> Talk:
        return Talk(SCENARIOS[name].make(self.api).begin())

    def test_cycle(self) -> None:
        """A cycle deletes the message that it claimed, with that claim, not the one that it posted."""
        talk = self.start("cycle")
        talk.answer(201, {"resources": ["/v2/queues/q/messages/m9"]})
        self.assertEqual(talk.line, "POST /v2/queues/q/claims?limit=1")
        talk.answer(201, {"messages": [message(1, "c5")]})
        self.assertEqual(talk.line, "DELETE /v2/queues/q/messages/m1?claim_id=c5")
        talk.answer(204)
        self.assertTrue(talk.done)

    def test_claim20(self) -> None:
        """Exactly twenty messages have to be claimed, and those are deleted."""
        talk = self.start("claim20")
        talk.answer(201, {"messages": [message(each, "c5") for each in range(20)]})
        self.assertEqual(talk.line, "DELETE /v2/queues/q/messages?ids=" + ",".join(f"m{each}" for each in range(20)))
        talk.answer(204)
        self.assertTrue(talk.done)
        few = self.start("claim20")
        self.assertRaises(Unexpected, few.answer, 201, {"messages": [message(each, "c5") for each in range(19)]})

    def test_nothing_to_claim(self) -> None:
        """A claim that finds nothing is an error."""
        self.assertRaises(Unexpected, self.start("claim20").answer, 204)

    def test_get(self) -> None:
        """Messages are asked for in turn, and the one asked for has to come."""
        workload = SCENARIOS["get"].make(self.api)
        workload.stocked([b"m1", b"m2"])
        lines = [Talk(workload.begin()).line for _ in range(3)]
        self.assertEqual([line[-2:] for line in lines], ["m1", "m2", "m1"])
        self.assertRaises(Unexpected, Talk(workload.begin()).answer, 200, message(1))

    def test_list_follows_markers(self) -> None:
        """A reader follows the link of a page, and starts again after the last one."""
        workload = ListPages(self.api)
        workload.stocked([f"m{each}".encode() for each in range(20)])
        link = "/v2/queues/q/messages?limit=10&echo=true&marker=m9&x=1"
        first = Talk(workload.begin())
        self.assertEqual(first.line, "GET /v2/queues/q/messages?limit=10&echo=true")
        first.answer(200, {"messages": [message(each) for each in range(10)], "links": [{"href": link}]})
        second = Talk(workload.begin())
        self.assertEqual(second.line, f"GET {link}")
        second.answer(200, {"messages": [message(each) for each in range(10, 20)], "links": [{"href": link}]})
        self.assertEqual(Talk(workload.begin()).line, "GET /v2/queues/q/messages?limit=10&echo=true")

    def test_list_needs_the_right_page(self) -> None:
        """The same page again is an error."""
        workload = ListPages(self.api)
        workload.stocked([f"m{each}".encode() for each in range(20)])
        page = {"messages": [message(each) for each in range(10)], "links": [{"href": "/v2/queues/q/messages?x=1"}]}
        Talk(workload.begin()).answer(200, page)
        self.assertRaises(Unexpected, Talk(workload.begin()).answer, 200, page)

    def test_readers_start_apart(self) -> None:
        """Readers at the same time read different pages."""
        workload = ListPages(self.api)
        workload.stocked([f"m{each}".encode() for each in range(1000)])
        lines = {Talk(workload.begin()).line for _ in range(5)}
        self.assertEqual(len(lines), 5)

    def test_backlog(self) -> None:
        """A round of the backlog takes the oldest message, lists behind the middle, and keeps the length."""
        backlog = Backlog(self.api)
        backlog.filled([f"m{each}".encode() for each in range(100)])
        talk = Talk(backlog.begin())
        talk.answer(201, {"resources": ["/v2/queues/q/messages/m100"]})
        talk.answer(201, {"messages": [message(0, "c1")]})
        talk.answer(204)
        self.assertTrue(talk.line.endswith("&marker=m51"), talk.line)
        talk.answer(200, {"messages": [message(each) for each in range(52, 62)]})
        self.assertEqual((talk.done, len(backlog)), (True, 100))
        self.assertEqual([len(each) for each in backlog.steps.values()], [1, 1, 1])

    def test_backlog_out_of_order(self) -> None:
        """A claim that does not give the oldest message is an error."""
        backlog = Backlog(self.api)
        backlog.filled([f"m{each}".encode() for each in range(100)])
        talk = Talk(backlog.begin())
        talk.answer(201, {"resources": ["/v2/queues/q/messages/m100"]})
        talk.answer(201, {"messages": [message(1, "c1")]})
        self.assertRaises(Unexpected, talk.answer, 204)
