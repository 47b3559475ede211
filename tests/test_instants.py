"""Instants as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import hypothesis
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.instants import END_S, parse, text_of

examples = hypothesis.settings(derandomize=True, deadline=None)
NOON_S = 1893456000 + 12 * 3600  # 2030-01-01T12:00:00Z

offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
aware = st.datetimes(datetime(1971, 1, 1), datetime(9998, 12, 30), timezones=st.one_of(st.just(UTC), offsets))


class ParseTests(SynchronousTestCase):
    """ISO 8601 to seconds."""

    def test_forms(self) -> None:
        """Basic and extended forms, weeks, days of the year, offsets and fractions name the same instant."""
        for text in (
            "2030-01-01T12:00:00",
            "2030-01-01T12:00:00Z",
            "2030-01-01t12:00:00z",
            "2030-01-01 12:00:00",
            "20300101T120000Z",
            "20300101T12",
            "2030-01-01T12:00",
            "2030-01-01T12:00:00.999999999Z",
            "2030-01-01T12:00:00,5",
            "2030-01-01T14:30:00+02:30",
            "2030-01-01T14:30:00+0230",
            "2029-12-31T23:00:00-13",
            "2030-W01-2T12:00:00",
            "2030W012T12",
            "2030-001T12:00:00",
            "2030001T12",
        ):
            self.assertEqual(parse(text), NOON_S, text)

    def test_fractions(self) -> None:
        """The last unit of a time may have a fraction, of which whole seconds count."""
        for text, expected in (
            ("2030-01-01T12:00:00.999", NOON_S),
            ("2030-01-01T12:00.5", NOON_S + 30),
            ("2030-01-01T12,25", NOON_S + 900),
            ("2030-01-01T11:59.99", NOON_S - 1),
        ):
            self.assertEqual(parse(text), expected, text)

    def test_dates(self) -> None:
        """A date is its beginning, a month or a week that of its first day."""
        for text, date in (
            ("2030-02-01", datetime(2030, 2, 1, tzinfo=UTC)),
            ("20300201", datetime(2030, 2, 1, tzinfo=UTC)),
            ("2030-02", datetime(2030, 2, 1, tzinfo=UTC)),
            ("2030-W02", datetime(2030, 1, 7, tzinfo=UTC)),
            ("2032-366", datetime(2032, 12, 31, tzinfo=UTC)),
        ):
            self.assertEqual(parse(text), date.timestamp(), text)

    def test_edges_of_a_day(self) -> None:
        """24:00 is the next midnight, and a leap second is the first of the next minute."""
        midnight = parse("2030-01-02")
        for text in ("2030-01-01T24:00:00", "2030-01-01T24", "2030-01-01T23:59:60"):
            self.assertEqual(parse(text), midnight, text)

    def test_refused(self) -> None:
        """What is no instant from 1970 to 9999 is none."""
        for text in (
            "", " ", "T", "now", "tomorrow", "2030", "1893456000", "2030-1-1", "2030-13-01", "2030-02-29", "2030-00-01",
            "2030-366", "2030-000", "2030-W54", "2030-W00-1", "2030-W01-8", "0000-01-01", "2030-01-01T", "2030-01-01T1",
            "2030-01-01T25", "2029-365T36:00", "2030-01-01T24:00:01", "2030-01-01T12:60", "2030-01-01T12:00:61",
            "2030-01-01T12:00:00+24:00",
            "2030-01-01T12:00:00+00:60", "2030-01-01T12:00:00 Z", "2030-01-01T12:00:00Z ", " 2030-01-01", "2030-01-01\n",
            "2030-01-01  12:00:00", "2030-01-01Z", "2030-01-01T12.", "١٢٣٤-٠١-٠١", "1969-12-31T23:59:59",
            "1970-01-01T00+01", "9999-12-31T24:00:00", "9999-12-31T23:59:59-00:01", "2030-01-01T12:00:00." + "0" * 99, "Wed, 01 Jan 2030",
        ):  # fmt: skip
            self.assertIsNone(parse(text), text)
        self.assertEqual((parse("1970-01-01"), parse("9999-12-31T23:59:59.9")), (0, END_S))

    @examples
    @given(aware, st.sampled_from(["seconds", "milliseconds", "microseconds"]))
    def test_agrees_with_the_library(self, moment: datetime, unit: str) -> None:
        """What Python writes, with any offset and fraction, is read as the second that it is in."""
        expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
        self.assertEqual(parse(moment.isoformat(timespec=unit)), expected)

    @examples
    @given(st.text(st.sampled_from("0123456789-+:.,TZW \n"), max_size=70))
    def test_no_error(self, text: str) -> None:
        """Whatever a text is, it is an instant or none."""
        found = parse(text)
        self.assertTrue(found is None or 0 <= found <= END_S)

    @examples
    @given(st.integers(0, END_S))
    def test_there_and_back(self, seconds: int) -> None:
        """What is written is read back."""
        self.assertEqual(parse(text_of(seconds)), seconds)
        self.assertEqual(len(text_of(seconds)), len("2030-01-01T00:00:00"))
