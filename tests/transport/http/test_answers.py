"""Failures and checksums as replies."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import build_operations
from tests.pooling import memory_process
from zaqar_gateway.errors import Conflict, NotFound, StoreUnavailable
from zaqar_gateway.transport.http.answers import Refused, checksum, describe

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


class DescribeTests(SynchronousTestCase):
    """The replies for failures."""

    def test_error(self) -> None:
        """An error has a title and a description, and nothing else."""
        reply = describe(NotFound("There is no such queue."))
        self.assertEqual(reply.status, 404)
        self.assertEqual(json.loads(reply.body), {"title": "Not found", "description": "There is no such queue."})
        self.assertEqual(dict(reply.headers), {b"Content-Type": b"application/json", b"Vary": b"Accept"})

    def test_every_operation_has_an_answer(self) -> None:
        """The codec knows what to say to the result of each operation that HTTP reaches, and of no other."""
        clock = Clock()
        process = memory_process(clock)
        built = build_operations(process.storage, pooling=process.pooling)
        self.assertEqual(
            set(built.answers().of), {row.name for row in built.operations if row.http is not None}
        )

    def test_post_in_doubt(self) -> None:
        """A store that is away is 503 for a post too, since it may work the next time."""
        reply = describe(StoreUnavailable("away", retry_after_s=3), "message_post")
        self.assertEqual((reply.status, dict(reply.headers)[b"Retry-After"]), (503, b"3"))

    def test_router(self) -> None:
        """What the router refuses has a title of its own, and a description only where there is something to say."""
        reply = describe(Refused(405, headers=((b"Allow", b"GET"),)))
        self.assertEqual((reply.status, json.loads(reply.body)), (405, {"title": "405 Method Not Allowed"}))
        self.assertEqual(dict(reply.headers)[b"Allow"], b"GET")
        self.assertIn("description", json.loads(describe(Refused(415, "Send another type.")).body))

    def test_conflict_text(self) -> None:
        """Text of any language is not escaped."""
        self.assertIn("ж".encode(), describe(Conflict("ж")).body)


class ChecksumTests(SynchronousTestCase):
    """Checksums of bodies."""

    def test_vectors(self) -> None:
        """The vectors of the API reference."""
        self.assertEqual(checksum(b'{"a": 1}'), "MD5:42b7b4f2921788ea14dac5566e6f06d0")
        self.assertEqual(checksum(b'{"a":1}'), "MD5:42b7b4f2921788ea14dac5566e6f06d0")
        self.assertEqual(checksum(b'"x"'), "MD5:3fbf839fa0e778a20326ddc34f5cd588")
        self.assertIs(checksum(b"null"), UNSET)

    @settings(deadline=None, max_examples=60)
    @given(JSON)
    def test_spelling_does_not_matter(self, value: object) -> None:
        """The checksum is that of the value, not of its spelling."""
        if value is None:
            return
        expected = "MD5:" + hashlib.md5(json.dumps(value).encode()).hexdigest()
        for spelled in (json.dumps(value), json.dumps(value, ensure_ascii=False, separators=(",", ":"), indent=1)):
            self.assertEqual(checksum(spelled.encode("utf-8", "surrogatepass")), expected)
