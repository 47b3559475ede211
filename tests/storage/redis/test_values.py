"""What the scripts are given, and what is made of their answers."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.storage.ids import RANK_MAX, format_id
from zaqar_gateway.storage.redis import values
from zaqar_gateway.storage.redis.packing import bulks

_RANKS = st.integers(0, RANK_MAX) | st.integers(10**15 - 9, 10**15 + 9) | st.integers(10**16 - 9, 10**16 + 9)
_IDS = st.builds(format_id, _RANKS, st.sampled_from(["0123456789", "deadbeef01"]))


class IdArguments(SynchronousTestCase):
    """Ids as scripts take them."""

    @given(st.lists(_IDS | st.text("0123456789abcdef,", min_size=22, max_size=26), min_size=1, max_size=5))
    @example([format_id(12345678901234567, "0123456789"), format_id(123456789012345, "0123456789")])
    def test_packed(self, ids: list[str]) -> None:
        """However they are packed, each argument has its own length: one that has not would break the connection."""
        self.assertEqual(values.packed_ids(ids), bulks(values.id_arguments(ids)))
