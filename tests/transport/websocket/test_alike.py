"""Frames that differ in their bodies alone: whatever came before on a socket, each frame means what it says."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import CLIENT, build_operations
from tests.transport.websocket.client import HEADERS, envelope
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.operations.documents import DEPTH_MAX
from zaqar_gateway.operations.fields import MessagePost
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.session import Session

_IDS = re.compile(rb'(?<=")[0-9a-f]{24}(?=")')
_ID = "0123456789abcdef01234567"
_OTHERS = {"Client-ID": CLIENT, "X-Project-ID": "another"}

BODIES = (
    '{"queue_name":"q"}',
    '{"queue_name":"q","limit":2}',
    '{"queue_name":"q","limit":"2"}',
    '{"queue_name":"q","limit":1e400}',
    '{"queue_name":"q","x":12345678901234567890123}',
    '{"queue_name":"q","queue_name":"r"}',
    f'{{"queue_name":"q","message_id":"{_ID}"}}',
    f'{{"queue_name":"q","message_id":"{_ID}","claim_id":"c"}}',
    f'{{"claim_id":"{_ID}","queue_name":"q","message_id":"d"}}',
    '{"queue_name":"q","message_id":"a","claim_id":"a"}',
    '{"queue_name":"q","message_id":"a","message_id":"b"}',
    '{"queue_name":"q","message_id":"a","claim_id":"\\u0063"}',
    '{"queue_name":"q","message_id":"a"}',
    '{"queue_name":"q","message_id":1}',
    '{"queue_name":"q","message_id":12345}',
    '{"queue_name":"q","message_id":null}',
    '{"queue_name":"q","message_id":["a"]}',
    '{"queue_name":"q","message_id":"\\u0071"}',
    '{"queue_name":"r","message_id":"\\u0071"}',
    '{"queue_name":"q","message_id":"q"}',
    '{"queue_name":"q","message_id":"é\t"}',
    '{"queue_name":"q","message_id":"x","message_id":"é"}',
    '{"queue_name":"q","marker":"message_id"}',
    f'{{"queue_name":"q","limit":2,"marker":"{_ID}"}}',
    '{"queue_name":"q","limit":2,"marker":"m"}',
    '{"queue_name":"q","limit":2,"marker":"m","marker":7}',
    '{"queue_name":"q","limit":2,"marker":""}',
    '{"queue_name":"q","x":"\\ud800"}',
    '{"queue_name":"q","x":"\\u00e9\\""}',
    '{"queue_name":"q","x":' + "[" * (DEPTH_MAX - 2) + "]" * (DEPTH_MAX - 2) + "}",
    '{"queue_name":"q","x":' + "[" * (DEPTH_MAX - 1) + "]" * (DEPTH_MAX - 1) + "}",
    '{"queue_name":"q"',
    '{"queue_name":"q"}}',
    '{"queue_name":"q"},"body":{"queue_name":"r"}',
    '{"queue_name":"q"},"headers":{}',
    '{"queue_name":"q"},"action":"queue_list"',
    ' {"queue_name":"q"} ',
    '{"queue_name":"q"} ',
    '"q"',
    "[]",
    "null",
    "",
    "{}",
    "{",
)

FORMS = (
    '{"action":"%s","headers":%s,"body":%s}',
    '{"body":%s,"action":"%s","headers":%s}',
    '{"action": "%s", "headers": %s, "body": %s}\n',
    '{"action":"%s","headers":%s,"body":%s,"more":{"queue_name":"q"}}',
)

MESSAGES = (
    '[{"ttl":300,"body":1}]',
    '[{"ttl":300,"body":{"a":[1,2,"x"]}},{"body":null}]',
    '[{"ttl":300,"body":1},{"ttl":"300","body":1}]',
    '[{"ttl":59,"body":1}]',
    '[{"ttl":300}]',
    '[{"ttl":300,"ttl":60,"body":1}]',
    '[{"ttl":"x","ttl":60,"body":1}]',
    '[{"ttl":300,"body":1,"delay":5}]',
    '[{"ttl":300,"body":1,"delay":"x"}]',
    '[{"ttl":300,"body":12345678901234567890123}]',
    '[{"ttl":300,"body":"' + "x" * 300_000 + '"}]',
    '[{"ttl":300,"body":' + "[" * (DEPTH_MAX - 4) + "]" * (DEPTH_MAX - 4) + "}]",
    '[{"ttl":300,"body":' + "[" * (DEPTH_MAX - 3) + "]" * (DEPTH_MAX - 3) + "}]",
    "[1]",
    "[]",
    "{}",
    "null",
    "",
    '[{"ttl":300,"body":1}',
    '[{"ttl":300,"body":1}],"queue_name":"r"',
    '[{"ttl":300,"body":1}],"messages":[]',
    ' [{"ttl":300,"body":1}] ',
    '"messages"',
)

ACTIONS = ("message_list", "message_get", "queue_get", "queue_get_stats", "queue_list", "message_delete", "no_such", "authenticate")


def written(form: str, action: str, headers: str, body: str) -> bytes:
    """A frame."""
    parts = (body, action, headers) if form.startswith('{"body"') else (action, headers, body)
    return (form % parts).encode("utf-8", "surrogatepass")


class DifferentialTests(SynchronousTestCase):
    """A socket that has seen others, against one that has seen nothing."""

    def setUp(self) -> None:
        clock = Clock()
        clock.advance(1_800_000_000)
        self.actions = Actions(build_operations(MemoryStorage(clock)).operations)

    def session(self) -> Session:
        return Session(self.actions, ClientIds())

    def reply(self, session: Session, payload: bytes) -> bytes:
        return self.successResultOf(Deferred.fromCoroutine(session.receive(payload, False).reply()))

    @settings(deadline=None, max_examples=200)
    @given(st.data())
    def test_any_order(self, data: st.DataObject) -> None:
        """Frames of a few forms, with good bodies and bad ones, in any order: byte for byte the same replies."""
        forms = data.draw(st.lists(st.sampled_from(FORMS), min_size=1, max_size=2))
        actions = data.draw(st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=3))
        headers = [json.dumps(HEADERS), json.dumps(_OTHERS), "{}", '{"Client-ID":1}']
        headers = data.draw(st.sampled_from((headers[:1], headers[:1], headers[:2], headers)))
        session = self.session()
        for _ in range(data.draw(st.integers(2, 10))):
            payload = written(
                data.draw(st.sampled_from(forms)),
                data.draw(st.sampled_from(actions)),
                data.draw(st.sampled_from(headers)),
                data.draw(st.sampled_from(BODIES)),
            )
            self.assertEqual(self.reply(session, payload), self.reply(self.session(), payload), payload)

    @settings(deadline=None, max_examples=150)
    @given(st.data())
    def test_posts_in_any_order(self, data: st.DataObject) -> None:
        """Posts of good and bad messages to two queues, under keys and without: the same replies, but for the ids in them."""
        self.setUp()  # a store in which no key was used
        session = self.session()
        for number in range(data.draw(st.integers(2, 10))):
            queue = data.draw(st.sampled_from(("q", "q", "r")))
            key = data.draw(st.sampled_from(("", "", f',"idempotency_key":"k{number}"', ',"idempotency_key":1')))
            messages = data.draw(st.sampled_from(MESSAGES))
            body = f'{{"queue_name":"{queue}","messages":{messages}{key}}}'
            if data.draw(st.booleans()):
                body = f'{{"messages":{messages},"queue_name":"{queue}"{key}}}'
            payload = written(FORMS[0], "message_post", json.dumps(HEADERS), body)
            seasoned, fresh = self.reply(session, payload), self.reply(self.session(), payload)
            if b'"idempotency_key":"k' in payload and b'"status":201' in fresh:
                fresh = fresh.replace(b',"replayed":true', b"")  # the second one of the two under the same key
            self.assertEqual(_IDS.sub(b"ID", seasoned), _IDS.sub(b"ID", fresh), payload)

    def test_posts(self) -> None:
        """Posts that follow each other store what each has, and their replies echo that."""
        session = self.session()
        for number in range(6):
            body = {"queue_name": "q", "messages": [{"ttl": 300, "body": {"number": number}}]}
            reply: Any = json.loads(self.reply(session, json.dumps(envelope("message_post", body)).encode()))
            self.assertEqual((reply["headers"]["status"], reply["request"]["body"]), (201, body))
        (known,) = session._alike
        self.assertEqual((known.action.name, known.like), ("message_post", MessagePost("q")))  # and no message
        listing = json.dumps(envelope("message_list", {"queue_name": "q", "echo": True})).encode()
        found = json.loads(self.reply(session, listing))["body"]["messages"]
        self.assertEqual([one["body"]["number"] for one in found], list(range(6)))

    def test_ids(self) -> None:
        """Of frames that differ in ids alone, only these are read; where a member looks like one and is none, all is."""
        session = self.session()
        for body in ({"queue_name": "q"}, {"queue_name": "q", "marker": "a"}, {"queue_name": "q", "marker": "b"}):
            self.reply(session, json.dumps(envelope("message_list", {**body, "echo": True})).encode())
        for message, claim in (("a", "b"), ("c", "d"), ("e", "é")):
            body = {"claim_id": claim, "queue_name": "q", "message_id": message}
            self.reply(session, json.dumps(envelope("message_delete", body), ensure_ascii=False).encode())
        found = [(one.action.name, one.ids) for one in session._alike]
        expected = [("message_list", ("marker",)), ("message_delete", ("claim_id", "message_id")), ("message_delete", ())]
        self.assertEqual(found, expected)
        session = self.session()
        for _ in range(3):
            self.reply(session, written(FORMS[0], "message_get", json.dumps(HEADERS), r'{"queue_name":"q","message_id":"\u0071"}'))
        self.assertEqual([(one.action.name, one.ids) for one in session._alike], [("message_get", ())])

    def test_after_ids(self) -> None:
        """Whatever comes after frames that differ in ids alone means what it says."""
        given = {
            "message_list": ('{"queue_name":"q","limit":2,"marker":"%s"}',),
            "message_get": ('{"queue_name":"q","message_id":"%s"}', '{"message_id":"%s","queue_name":"q"}'),
            "message_delete": ('{"queue_name":"q","message_id":"%s","claim_id":"c"}', '{"claim_id":"%s","queue_name":"q","message_id":"d"}'),
        }
        for action, bodies in given.items():
            for body in bodies:
                learned = written(FORMS[0], action, json.dumps(HEADERS), body % "a1")
                for other in (*BODIES, *(each % _ID for each in bodies)):
                    session = self.session()
                    self.reply(session, learned)
                    self.assertEqual(len(session._alike), 1)
                    payload = written(FORMS[0], action, json.dumps(HEADERS), other)
                    self.assertEqual(session.receive(payload, False)._asked, self.session().receive(payload, False)._asked, payload)
                    self.assertEqual(self.reply(session, payload), self.reply(self.session(), payload), payload)

    def test_the_very_same(self) -> None:
        """A frame that comes again and again does each time what it says; a few short ones are remembered, for the same headers."""
        session = self.session()
        posted = {"queue_name": "q", "messages": [{"ttl": 300, "body": 1}] * 4}
        self.reply(session, json.dumps(envelope("message_post", posted)).encode())
        claim = json.dumps(envelope("claim_create", {"queue_name": "q", "limit": 1, "ttl": 300, "grace": 60})).encode()
        statuses = [json.loads(self.reply(session, claim))["headers"]["status"] for _ in range(5)]
        self.assertEqual(statuses, [201, 201, 201, 201, 204])
        self.assertEqual([*session._same], [claim])
        for limit in range(2, 20):
            body = {"queue_name": "q", "limit": limit, "ttl": 300, "grace": 60}
            self.assertEqual(json.loads(self.reply(session, json.dumps(envelope("claim_create", body)).encode()))["headers"], {"status": 204})
            self.assertLessEqual(len(session._same), 8)
        long = json.dumps(envelope("claim_create", {"queue_name": "q", "limit": 1, "ttl": 300, "grace": 60, "x": "x" * 600})).encode()
        for _ in range(3):
            self.reply(session, long)
        self.assertNotIn(long, session._same)
        self.reply(session, json.dumps(envelope("message_list", {"queue_name": "q"}, _OTHERS)).encode())
        self.assertEqual(session._same, {})

    def test_other_headers(self) -> None:
        """Another project in the headers is another project, whatever the frames were like before."""
        session = self.session()
        body = {"queue_name": "q", "messages": [{"ttl": 300, "body": 1}]}
        listing = {"queue_name": "q", "echo": True}
        for _ in range(3):
            self.reply(session, json.dumps(envelope("message_post", body)).encode())
            self.reply(session, json.dumps(envelope("message_list", listing)).encode())
        other: Any = json.loads(self.reply(session, json.dumps(envelope("message_list", listing, _OTHERS)).encode()))
        self.assertEqual(other["body"]["messages"], [])

    def test_few_are_kept(self) -> None:
        """Of the actions of a socket those that came last are remembered, and none whose texts are long."""
        session = self.session()
        for action in (*ACTIONS[:6], "claim_get"):
            for _ in range(3):
                body = {"queue_name": "q", "message_id": _ID, "claim_id": _ID}
                self.reply(session, json.dumps(envelope(action, body)).encode())
        self.assertEqual([one.action.name for one in session._alike], [*ACTIONS[3:6], "claim_get"])
        session = self.session()
        for _ in range(3):
            self.reply(session, json.dumps({**envelope("queue_get", {"queue_name": "q"}), "more": "x" * 3000}).encode())
        self.assertEqual(session._alike, [])
