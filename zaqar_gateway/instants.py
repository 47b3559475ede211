"""Instants as text (ISO 8601), in whole seconds of UTC.  Pure."""

from __future__ import annotations

import re
import time
from datetime import date, timedelta

END_S = 253402300799
"""9999-12-31T23:59:59, the last instant that is written with a year of four digits; seconds since the epoch."""

_LENGTH_MAX = 64
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DATE = re.compile(
    r"(?P<year>\d{4})(?:-?(?P<month>\d\d)-?(?P<day>\d\d)|-(?P<only_month>\d\d)|-?W(?P<week>\d\d)(?:-?(?P<weekday>\d))?"
    r"|-?(?P<day_of_year>\d{3}))",
    re.ASCII,
)
_TIME = re.compile(
    r"(?P<hour>\d\d)(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d))?)?(?:[.,](?P<fraction>\d+))?"
    r"(?:Z|(?P<sign>[+-])(?P<off_hour>\d\d)(?::?(?P<off_minute>\d\d))?)?",
    re.ASCII,
)


def parse(text: str) -> int | None:
    """The instant that a date or a date-time names (ISO 8601, basic or extended; a space may stand for the ``T``).

    A text without an offset is UTC, a date is its beginning, and a fraction of a second is dropped.

    :return: seconds since the epoch; ``None``: it is none of this, or not from 1970 to 9999.
    """
    if len(text) > _LENGTH_MAX:
        return None
    day, *rest = re.split("[T ]", text.upper(), maxsplit=1)
    seconds = _day(day)
    if seconds is not None and rest:
        within = _time(rest[0])
        seconds = None if within is None else seconds + within
    return seconds if seconds is not None and 0 <= seconds <= END_S else None


def _day(text: str) -> int | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    given = {name: int(value) for name, value in found.groupdict().items() if value is not None}
    try:
        if "week" in given:
            day = date.fromisocalendar(given["year"], given["week"], given.get("weekday", 1))
        elif "day_of_year" in given:
            day = date(given["year"], 1, 1) + timedelta(given["day_of_year"] - 1)
            if day.year != given["year"]:
                return None
        else:
            day = date(given["year"], given.get("month") or given.get("only_month", 0), given.get("day", 1))
    except (ValueError, OverflowError):
        return None
    return (day.toordinal() - _EPOCH_DAY) * 86400


def _time(text: str) -> int | None:
    """Seconds from the beginning of the day in UTC."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second, off_hour, off_minute = (
        int(found[name] or 0) for name in ("hour", "minute", "second", "off_hour", "off_minute")
    )
    unit = 1 if found["second"] else 60 if found["minute"] else 3600
    digits = found["fraction"] or "0"
    part = int(digits) * unit // int("1" + "0" * len(digits))
    seconds = hour * 3600 + minute * 60 + second + part
    # 24:00 is the end of the day, and the last minute of some days has a second more.
    if seconds > 86400 or minute > 59 or second > 60 or off_hour > 23 or off_minute > 59:
        return None
    offset = off_hour * 3600 + off_minute * 60
    return seconds + offset if found["sign"] == "-" else seconds - offset


def text_of(seconds: int) -> str:
    """``YYYY-MM-DDTHH:MM:SS``, in UTC.

    :param seconds: since the epoch, from 0 to :data:`END_S`.
    """
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
