"""Percentiles and medians."""

from collections.abc import Sequence
from math import ceil
from statistics import median as _median


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all values do not exceed (nearest rank).

    :param ordered: the values in ascending order.
    :param share: between 0 and 1.
    :return: 0.0 where there are no values.
    """
    if not ordered:
        return 0.0
    return ordered[min(len(ordered), max(1, ceil(share * len(ordered)))) - 1]


def median(values: Sequence[float]) -> float:
    """The median; 0.0 where there are no values."""
    return _median(values) if values else 0.0


def median_or_none(values: Sequence[float | None]) -> float | None:
    """The median of the values that are known; ``None`` where none is."""
    known = [value for value in values if value is not None]
    return _median(known) if known else None
