"""Plots as inline SVG: bars, percentile ranges, and lines.  Colours are classes; the page gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH = 720
_LEFT = 150  # room for labels
_RIGHT = 150  # room for values
_ROW = 18


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: parts drawn one after the other, each with a class; and what stands behind it."""

    label: str
    parts: tuple[tuple[float, str], ...]
    value: str
    spread: tuple[float, float] | None = None  # a thin line from the least to the most


@dataclass(frozen=True, slots=True)
class Range:
    """Percentiles of one target, ascending: p50, p90, p99, max."""

    label: str
    marks: tuple[float, float, float, float]
    css: str
    value: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points of positive numbers."""

    points: tuple[tuple[float, float], ...]
    css: str
    dashed: bool = False


def _text(x: float, y: float, text: str, anchor: str = "start", css: str = "") -> str:
    kind = f' class="{css}"' if css else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{kind}>{escape(text)}</text>'


def _stroke(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{css}"/>'


def _svg(height: float, title: str, parts: Sequence[str], width: int = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height:.0f}" width="{width}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def bars(title: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """Horizontal bars in groups, each group on its own scale, from zero to its largest bar."""
    out, y = [], 4.0
    room = WIDTH - _LEFT - _RIGHT
    for name, members in groups:
        most = max(
            [sum(value for value, _ in bar.parts) for bar in members] + [(bar.spread or (0, 0))[1] for bar in members]
        )
        scale = room / most if most else 0.0
        out.append(_text(0, y + 13, name, css="name"))
        for bar in members:
            out.append(_text(_LEFT - 6, y + 13, bar.label, "end"))
            x = float(_LEFT)
            for value, css in bar.parts:
                out.append(
                    f'<rect x="{x:.1f}" y="{y + 2:.1f}" width="{value * scale:.1f}" height="{_ROW - 4}" class="{css}"/>'
                )
                x += value * scale
            if bar.spread:
                low, high = (_LEFT + each * scale for each in bar.spread)
                out.append(_stroke(low, y + _ROW / 2, high, y + _ROW / 2, "spread"))
                x = max(x, high)
            out.append(_text(x + 6, y + 13, bar.value))
            y += _ROW
        y += 8
    return _svg(y, title, out)


class LogScale:
    """Positions on an axis of powers of ten that holds all the values."""

    def __init__(self, values: Sequence[float], start: float, end: float) -> None:
        known = [value for value in values if value > 0] or [1.0]
        self._low = floor(log10(min(known)) + 1e-9)
        self._high = max(ceil(log10(max(known)) - 1e-9), self._low + 1)
        self._start, self._step = start, (end - start) / (self._high - self._low)

    def at(self, value: float) -> float:
        """Where a value stands; what is not positive stands at the start."""
        return self._start + (log10(value) - self._low) * self._step if value > 0 else self._start

    def ticks(self) -> list[float]:
        """The powers of ten."""
        return [10.0**power for power in range(self._low, self._high + 1)]


def _tick(value: float) -> str:
    return f"{value:,.0f}" if value >= 1 else f"{value:g}"


def ranges(title: str, unit: str, groups: Sequence[tuple[str, Sequence[Range]]]) -> str:
    """Percentile ranges on one logarithmic axis: a dot at p50, a thick line to p90, a thin one to p99, a tick at max."""
    scale = LogScale([mark for _, members in groups for each in members for mark in each.marks], _LEFT, WIDTH - _RIGHT)
    rows, y = [], 22.0
    for name, members in groups:
        rows.append(_text(0, y + 13, name, css="name"))
        for each in members:
            middle = y + _ROW / 2
            p50, p90, p99, most = (scale.at(mark) for mark in each.marks)
            rows += [
                _text(_LEFT - 6, y + 13, each.label, "end"),
                _stroke(p50, middle, p90, middle, f"thick {each.css}"),
                _stroke(p90, middle, p99, middle, f"thin {each.css}"),
                _stroke(most, middle - 4, most, middle + 4, f"thin {each.css}"),
                f'<circle cx="{p50:.1f}" cy="{middle:.1f}" r="4" class="{each.css}"/>',
                _text(WIDTH - _RIGHT + 8, y + 13, each.value),
            ]
            y += _ROW
        y += 8
    axis = []
    for tick in scale.ticks():
        x = scale.at(tick)
        axis += [_stroke(x, 18, x, y, "grid"), _text(x, 12, f"{_tick(tick)} {unit}", "middle", "axis")]
    return _svg(y, title, [*axis, *rows])


def lines(title: str, x_unit: str, y_unit: str, drawn: Sequence[Line]) -> str:
    """Lines on two logarithmic axes."""
    width, height, left, bottom = 350, 230, 62, 40
    across = LogScale([x for line in drawn for x, _ in line.points], left, width - 36)
    upward = LogScale([y for line in drawn for _, y in line.points], height - bottom, 26)
    out = [_text(left, 14, title, css="name")]
    for tick in upward.ticks():
        y = upward.at(tick)
        out += [
            _stroke(left, y, width - 36, y, "grid"),
            _text(left - 6, y + 4, f"{_tick(tick)} {y_unit}", "end", "axis"),
        ]
    for tick in across.ticks():
        out.append(_text(across.at(tick), height - bottom + 16, _tick(tick), "middle", "axis"))
    out.append(_text((left + width) / 2, height - 6, x_unit, "middle", "axis"))
    for line in drawn:
        points = [(across.at(x), upward.at(y)) for x, y in line.points]
        joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        out.append(f'<polyline points="{joined}" class="path{" dashed" if line.dashed else ""} {line.css}"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="{line.css}"/>' for x, y in points]
    return _svg(height, title, out, width)
