"""Reads without a script: which answers of Redis are enough."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.model import Message
from zaqar_gateway.storage.redis import plain
from zaqar_gateway.storage.redis.commands import Growing
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.plain import PlainPage, PlainReads, _ids_in, _messages

_QUEUE = b"0123456789"
_RANK = 1_000_000_000_000_000
_NOW = [b"1000000005", b"999999"]  # 5.999999 s after the rank


def entry(rank: int, *more: bytes, ttl: bytes = b"60", client: bytes = b"me") -> list[Any]:
    """An entry of a stream, as XRANGE answers."""
    return [b"%d-0" % rank, [ttl + b" " + client, b"{}", *more]]


def known(**fields: bytes | None) -> list[bytes | None]:
    """What is known of a queue, as it is asked."""
    return [fields.get(name, _QUEUE if name == "inc" else None) for name in ("inc", "later", "moved", "head", "delay")]


@define
class Answering:
    """A Redis with one answer; what it was asked is counted."""

    answers: list[Any]
    asked: list[bytes] = field(factory=list)

    def growing(self, kind: object) -> None:
        """Nothing waits to be sent."""

    def send(self, sent: Growing, kind: object) -> None:
        """What it has."""
        sent.pack(self.asked)
        if len(self.answers) != sent.number:
            raise AssertionError(f"{sent.number} answers are asked for")
        for answer in self.answers:
            sent.give(answer)


class PageTests(SynchronousTestCase):
    """What is read of the entries of a page."""

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 4),
                st.sampled_from((b"60 me", b"60 me", b"60 you", b"4 me", b"60+ me")),
                st.sampled_from(((), (), (), (b"a", b"1000000000000"), (b"a", b"1", b"i", b"x"))),
            ),
            min_size=1,
            max_size=5,
        ),
        st.sampled_from((None, b"me", b"you")),
    )
    def test_one_by_one(self, drawn: list[tuple[int, bytes, tuple[bytes, ...]]], skip: bytes | None) -> None:
        """A page has what its messages have one by one, whether they are alike or not."""
        now_ms, entries, rank = int(_NOW[0]) * 1000, [], _RANK
        for later_s, begins, more in drawn:
            rank += 1 + later_s * 1_000_000
            entries.append([b"%d-0" % rank, [begins, b"%d" % rank, *more]])
        each = [_messages([entry], _ids_in("0123456789"), now_ms, skip) for entry in entries]
        expected: tuple[list[Message] | None, bool] = [], any(has_apart for _, has_apart in each)
        if any(found is None for found, _ in each):
            expected = None, False
        else:
            expected = [message for found, _ in each for message in found or ()], expected[1]
        self.assertEqual(_messages(entries, _ids_in("0123456789"), now_ms, skip), expected)


class IdsTests(SynchronousTestCase):
    """Ids that are remembered."""

    def test_bounded(self) -> None:
        """Those of all queues together have a bound; one that is forgotten is made anew, and is that of its own queue."""
        self.patch(plain, "_IDS_MAX", 3)
        self.patch(plain, "_room", 3)
        self.patch(plain, "_known", {})
        for _ in range(2):
            for incarnation in ("0123456789", "9876543210"):
                ids = _ids_in(incarnation)
                for more in range(3):
                    self.assertEqual(ids[b"%d-0" % (_RANK + more)], f"038d7ea4c6800{more}{incarnation}")
                    self.assertLessEqual(len(ids) + sum(map(len, plain._known.values())), 6)


class PlainTests(SynchronousTestCase):
    """Each thing that may have come between."""

    def reads(self, *answers: Any) -> PlainReads:
        self.redis = Answering(list(answers))
        return PlainReads(self.redis, Keys(), lambda: b"")  # type: ignore[arg-type]

    def page(
        self, entries: list[Any], found: list[bytes | None], before: bytes | None = _QUEUE, skip: bytes | None = None
    ) -> PlainPage | None:
        reads = self.reads(_NOW, before, entries, found)
        return self.successResultOf(Deferred.fromCoroutine(reads.page("p", "q", None, 2, skip)))

    def one(self, state: bytes | None, entries: list[Any], found: list[bytes | None]) -> list[Message] | None:
        reads = self.reads(_NOW, _QUEUE, state, entries, found)
        return self.successResultOf(Deferred.fromCoroutine(reads.get("p", "q", _RANK, _QUEUE.decode())))

    def test_page(self) -> None:
        """Messages behind ``head``: their age is of the time of Redis, and of their own note of when they were posted."""
        late = entry(_RANK + 1, b"a", b"1000000003000")
        self.assertEqual(
            self.page([entry(_RANK), late], known(head=b"%d" % (_RANK - 1), delay=b"7")),
            PlainPage(
                [
                    Message("038d7ea4c680000123456789", b"{}", 60, 5),
                    Message("038d7ea4c680010123456789", b"{}", 60, 2),
                ],
                (_RANK + 1, "0123456789"),
                "038d7ea4c680010123456789",
                False,
                True,
            ),
        )

    def test_no_messages(self) -> None:
        """An empty page of a queue, and of one that does not exist."""
        self.assertEqual(self.page([], known(head=b"9")), PlainPage([], None, None, False, False))
        self.assertEqual(self.page([entry(_RANK)], known(inc=None)), PlainPage([], None, None, False, False))

    def test_skip(self) -> None:
        """Messages of a client are left out, and there may be more where the page was full without that."""
        mine, other = entry(_RANK), entry(_RANK + 1, client=b"other")
        page = self.page([mine, other], known(), skip=b"me")
        assert page is not None
        self.assertEqual((len(page.messages), page.last, page.more), (1, (_RANK + 1, "0123456789"), True))
        page = self.page([mine], known(), skip=b"me")
        assert page is not None
        self.assertEqual((page.messages, page.last, page.more), ([], (_RANK, "0123456789"), False))

    def test_page_not_plain(self) -> None:
        """Where anything may have become of a message, or the queue is another one, the script is asked."""
        for entries, found, before in (
            ([entry(_RANK)], known(head=b"%d" % _RANK), _QUEUE),
            ([entry(_RANK)], known(later=b"1"), _QUEUE),
            ([entry(_RANK)], known(moved=b"1"), _QUEUE),
            ([entry(_RANK)], known(), b"9876543210"),
            ([entry(_RANK)], known(), None),
            ([entry(_RANK, b"i", b"id", b"e", b"9", b"n", b"0")], known(), _QUEUE),
            ([entry(_RANK, ttl=b"5")], known(), _QUEUE),
        ):
            self.assertIsNone(self.page(entries, found, before), (entries, found, before))

    def beyond(self, *answers: Any, after: int | None = None, with_claimed: bool = False) -> PlainPage | None:
        """A page of a queue of which the head was seen at its first message."""
        reads = self.reads(_NOW, _QUEUE, [entry(_RANK)], known(head=b"%d" % _RANK))
        marker = None if after is None else (after, _QUEUE.decode())
        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(reads.page("p", "q", None, 2, None))))
        self.redis.answers = [_NOW, _QUEUE, *answers]
        return self.successResultOf(Deferred.fromCoroutine(reads.page("p", "q", marker, 2, None, with_claimed)))

    def test_page_beyond_the_head(self) -> None:
        """Where all before the head is claimed, for longer than now, the page is what is behind it."""
        held = [b"%d" % _RANK, b"1000000006000"]
        behind, seen = entry(_RANK + 1), known(head=b"%d" % _RANK)
        for after in (None, _RANK - 1):
            for claimed in (held, []):
                page = self.beyond(0, claimed, [behind], 0, seen, after=after)
                assert page is not None
                self.assertEqual(page.messages, [Message("038d7ea4c680010123456789", b"{}", 60, 5)])
                self.assertIn(b"ZCOUNT", self.redis.asked[-1])
        page = self.beyond([behind], seen, after=_RANK)
        assert page is not None
        self.assertEqual(len(page.messages), 1)
        self.assertNotIn(b"ZCOUNT", self.redis.asked[-1])

    def test_page_beyond_the_head_not_plain(self) -> None:
        """Where something before the head is free, or becomes so now, or the head has moved on, the script is asked."""
        held = [b"%d" % _RANK, b"1000000006000"]
        behind, seen = entry(_RANK + 1), known(head=b"%d" % _RANK)
        for answers in (
            (1, held, [behind], 0, seen),
            (0, held, [behind], 1, seen),
            (0, [b"%d" % _RANK, b"1000000005999"], [behind], 0, seen),
            (0, held, [behind], 0, known(head=b"%d" % (_RANK + 1))),
            (0, held, [behind], 0, known(head=b"%d" % _RANK, later=b"1")),
            (0, [], [], 0, known(head=b"%d" % (_RANK - 1))),
            (0, [], [], 0, known()),
        ):
            self.assertIsNone(self.beyond(*answers))
        self.assertIsNone(self.beyond([entry(_RANK)], seen, with_claimed=True))

    def test_one(self) -> None:
        """A message that was never claimed; none where the id is of an earlier queue, or there is no such message."""
        self.assertEqual(self.one(None, [entry(_RANK)], known()), [Message("038d7ea4c680000123456789", b"{}", 60, 5)])
        self.assertEqual(self.one(None, [entry(_RANK)], known(inc=b"9876543210")), [])
        self.assertEqual(self.one(None, [entry(_RANK)], known(inc=None)), [])
        self.assertEqual(self.one(None, [], known()), [])

    def test_one_not_plain(self) -> None:
        """Where it has a state, may be among the delayed ones, or may have been moved, the script is asked."""
        self.assertIsNone(self.one(b"state", [entry(_RANK)], known()))
        self.assertIsNone(self.one(None, [], known(later=b"1")))
        self.assertIsNone(self.one(None, [], known(moved=b"1", inc=b"9876543210")))
        self.assertIsNone(self.one(None, [entry(_RANK, ttl=b"1")], known()))

    def test_asks_seldom_in_vain(self) -> None:
        """After one that was in vain, eight reads of the same queue go to the script at once."""
        reads = self.reads(_NOW, _QUEUE, None, [], known(moved=b"1"))
        for _ in range(18):
            found = Deferred.fromCoroutine(reads.get("p", "q", _RANK, _QUEUE.decode()))
            self.assertIsNone(self.successResultOf(found))
        self.assertEqual(len(self.redis.asked), 2)
        self.successResultOf(Deferred.fromCoroutine(reads.get("p", "other", _RANK, _QUEUE.decode())))
        self.assertEqual(len(self.redis.asked), 3)
