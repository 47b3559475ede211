"""Ids of messages and claims."""

from __future__ import annotations

import os
import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.storage import ids

RANKS = st.integers(0, ids.RANK_MAX)
INCARNATIONS = st.from_regex("[0-9a-f]{10}", fullmatch=True)


class MessageIdTests(SynchronousTestCase):
    """Message ids."""

    def test_example(self) -> None:
        """An id is 14 digits of the rank and 10 of the incarnation."""
        self.assertEqual(ids.format_id(0x12AB, "0123456789"), "000000000012ab0123456789")

    @given(RANKS, INCARNATIONS)
    def test_parts_come_back(self, rank: int, incarnation: str) -> None:
        """The parts of an id are those that it was made of."""
        self.assertEqual(ids.parse_id(ids.format_id(rank, incarnation)), (rank, incarnation))

    @given(RANKS, INCARNATIONS)
    def test_form(self, rank: int, incarnation: str) -> None:
        """Every id is 24 hexadecimal digits in lower case."""
        self.assertTrue(re.fullmatch("[0-9a-f]{24}", ids.format_id(rank, incarnation)))

    @given(RANKS, RANKS, INCARNATIONS, INCARNATIONS)
    def test_ids_sort_like_ranks(self, one: int, other: int, life: str, other_life: str) -> None:
        """The order of ids as texts is that of their ranks."""
        if one != other:
            self.assertEqual(ids.format_id(one, life) < ids.format_id(other, other_life), one < other)

    @given(st.one_of(st.text(), st.text("0123456789abcdefABCDEFg", min_size=22, max_size=26)))
    def test_any_text(self, text: str) -> None:
        """A text parses only where it is the id of its parts."""
        parsed = ids.parse_id(text)
        if parsed is None:
            self.assertIsNone(re.fullmatch("[0-9a-f]{24}", text))
        else:
            self.assertEqual(ids.format_id(*parsed), text)

    @given(st.lists(st.tuples(RANKS, st.sampled_from(["0123456789", "deadbeef01"])), max_size=5))
    def test_several(self, parts: list[tuple[int, str]]) -> None:
        """Several ids are read together where all have one incarnation, and as each alone."""
        texts = [ids.format_id(*each) for each in parts]
        if len({incarnation for _, incarnation in parts}) == 1:
            self.assertEqual(ids.parse_ids(texts), (parts[0][1], tuple(rank for rank, _ in parts)))
        else:
            self.assertIsNone(ids.parse_ids(texts))

    def test_several_with_commas(self) -> None:
        """Nor are those that have a comma where others would end."""
        for texts in (
            ["65b4df4a0607d41111111111", "000000000bb601111111111,"],
            ["abcdef0123,abcabcdef0123", "00065f8c7ab5e11111111111"],
            ["00065f8c7ab5e1123456789,", "00065f8c7ab5e1123456789,"],
        ):
            self.assertIsNone(ids.parse_ids(texts))

    @given(st.lists(st.text("0123456789abcdefABF ,gé", min_size=22, max_size=26), min_size=1, max_size=3))
    def test_several_texts(self, texts: list[str]) -> None:
        """Texts that are no ids are not read together either."""
        if any(ids.parse_id(text) is None for text in texts):
            self.assertIsNone(ids.parse_ids(texts))

    @given(RANKS, st.integers(1, 3), INCARNATIONS)
    def test_in_a_row(self, first: int, number: int, incarnation: str) -> None:
        """Ids of ranks in a row are those of each rank."""
        first = min(first, ids.RANK_MAX - number)
        self.assertEqual(
            ids.format_ids(first, number, incarnation),
            [ids.format_id(rank, incarnation) for rank in range(first, first + number)],
        )

    @given(st.lists(RANKS, min_size=1, max_size=5), INCARNATIONS)
    def test_each(self, ranks: list[int], incarnation: str) -> None:
        """So are ids of any ranks."""
        self.assertEqual(ids.format_each(ranks, incarnation), [ids.format_id(rank, incarnation) for rank in ranks])

    def test_malformed(self) -> None:
        """Texts that are nearly ids are none, words that clients send as markers neither."""
        good = "0665e2a2b10000deadbeef01"
        self.assertIsNotNone(ids.parse_id(good))
        for text in (
            "",
            good[:-1],
            good + "0",
            good + "\n",
            " " + good[1:],
            "+" + good[1:],
            "0x" + good[2:],
            good[:4] + "_" + good[5:],
            good.upper(),
            "٣" * 24,
            "０" * 24,
            "g" * 24,
            "nada",
            "nonesuch",
            "sfhlsfdjh2048",
            "0" * 100_000,
        ):
            self.assertIsNone(ids.parse_ids([good, text]))
            self.assertIsNone(ids.parse_id(text), text[:40])

    def test_created(self) -> None:
        """The instant of the post is the rank without its microseconds."""
        self.assertEqual(ids.created_ms(1_800_000_000_123_999), 1_800_000_000_123)


class NewIdTests(SynchronousTestCase):
    """Random ids."""

    def test_incarnations(self) -> None:
        """Incarnations are ten hexadecimal digits and differ."""
        some = {ids.new_incarnation() for _ in range(1000)}
        self.assertEqual(len(some), 1000)
        self.assertEqual([text for text in some if not re.fullmatch("[0-9a-f]{10}", text)], [])

    def test_claim_ids(self) -> None:
        """Claim ids are 24 characters that need no escaping, and differ."""
        some = {ids.new_claim_id() for _ in range(1000)}
        self.assertEqual(len(some), 1000)
        self.assertEqual([text for text in some if not re.fullmatch("[A-Za-z0-9_-]{24}", text)], [])

    def test_claim_ids_of_processes(self) -> None:
        """A process that forks does not share its next ids with its child."""
        ids.new_claim_id()
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.write(writing, ids.new_claim_id().encode())
            os._exit(0)
        os.waitpid(child, 0)
        drawn = {os.read(reading, 24).decode(), *(ids.new_claim_id() for _ in range(100))}
        os.close(reading)
        os.close(writing)
        self.assertEqual(len(drawn), 101)
