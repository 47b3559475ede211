"""Messages spliced into JSON."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.model import Message
from zaqar_gateway.transport.spliced import spliced

_MESSAGES = st.lists(
    st.builds(
        Message,
        id=st.from_regex("[0-9a-f]{24}", fullmatch=True),
        body=st.sampled_from((b"1", b'{"a": "b"}', '"é"'.encode(), b"null")),
        ttl_s=st.sampled_from((60, 61, 1209600)),
        age_s=st.integers(0, 3),
        claim_id=st.sampled_from((None, "c1", "c2")),
    ),
    max_size=6,
)


class SplicedTests(SynchronousTestCase):
    """The text is what an encoder would write."""

    @settings(deadline=None)
    @given(_MESSAGES)
    def test_with_links(self, messages: list[Message]) -> None:
        """With links, each names the claim that its message is under."""
        text = b"[" + b"".join(spliced(messages, b"/q/messages/")) + b"]"
        expected = [
            {
                "id": one.id,
                "href": f"/q/messages/{one.id}" + (f"?claim_id={one.claim_id}" if one.claim_id else ""),
                "ttl": one.ttl_s,
                "age": one.age_s,
                "body": json.loads(one.body),
            }
            for one in messages
        ]
        self.assertEqual(json.loads(text), expected)

    @settings(deadline=None)
    @given(_MESSAGES)
    def test_without(self, messages: list[Message]) -> None:
        """Without links, further members stand behind the body."""
        text = b"[" + b"".join(spliced(messages, tail=b',"x":null')) + b"]"
        expected = [
            {"id": one.id, "ttl": one.ttl_s, "age": one.age_s, "body": json.loads(one.body), "x": None} for one in messages
        ]
        self.assertEqual(json.loads(text), expected)
