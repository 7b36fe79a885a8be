"""Bars as SVG that stands in a page by itself. Owns the drawing; must never know what is counted. Colours come from the
page (``currentColor`` and the class ``bar``), so that it is seen in dark and in light."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

from lf6gateway.values.printable import printable

WIDTH: Final = 760
MOST_BARS: Final = 200
"""Bars of one chart; what is more is put together."""


def nice_ceiling(value: int) -> int:
    """The least round number (1, 2 or 5 times a power of ten) that is not below a value."""
    power = 1
    while True:
        for step in (1, 2, 5):
            if step * power >= value:
                return step * power
        power *= 10


def gathered(series: Sequence[tuple[str, int]], most: int = MOST_BARS) -> list[tuple[str, int]]:
    """A series with neighbours put together where there are too many; the label is that of the first."""
    size = -(-len(series) // most) if series else 1
    return [(series[at][0], sum(count for _, count in series[at : at + size])) for at in range(0, len(series), size)]


def bar_chart(title: str, series: Sequence[tuple[str, int]], *, height: int = 140, unit: str = "") -> str:
    """Upright bars with a scale.

    :param title: for who does not see it.
    :param series: labels and counts, from left to right.
    :param unit: of the counts, for the tips.
    """
    bars = gathered(series)
    top = nice_ceiling(max([count for _, count in bars] or [1]) or 1)
    left, bottom = 56, 18
    room = WIDTH - left
    step = room / max(1, len(bars))
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height + bottom}" role="img" aria-label="{_text(title)}">',
        f'<line class="axis" x1="{left}" y1="{height}" x2="{WIDTH}" y2="{height}"/>',
    ]
    for share in (0.5, 1.0):
        y = height - share * (height - 10)
        parts.append(f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{WIDTH}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_amount(top * share)}</text>')
    for number, (label, count) in enumerate(bars):
        tall = count / top * (height - 10)
        x, width = left + number * step, max(0.6, step - (1 if step > 3 else 0))
        parts.append(
            f'<rect class="bar" x="{x:.2f}" y="{height - tall:.2f}" width="{width:.2f}" height="{tall:.2f}">'
            f"<title>{_text(label)}: {count:,} {_text(unit)}</title></rect>"
        )
    if bars:
        parts.append(f'<text x="{left}" y="{height + 14}">{_text(bars[0][0])}</text>')
        if len(bars) > 1:
            parts.append(f'<text x="{WIDTH}" y="{height + 14}" text-anchor="end">{_text(bars[-1][0])}</text>')
    parts.append("</svg>")
    return "".join(parts)


def sparkline(title: str, counts: Sequence[int], *, width: int = 120, height: int = 20) -> str:
    """Small bars without a scale, for a cell of a table."""
    bars = [count for _, count in gathered([("", count) for count in counts], 60)]
    top = max([*bars, 1])
    step = width / max(1, len(bars))
    drawn = "".join(
        f'<rect class="bar" x="{number * step:.2f}" y="{height - count / top * height:.2f}" '
        f'width="{max(0.6, step - 0.4):.2f}" height="{count / top * height:.2f}"/>'
        for number, count in enumerate(bars)
        if count
    )
    return f'<svg class="spark" viewBox="0 0 {width} {height}" role="img" aria-label="{_text(title)}">{drawn}</svg>'


def text_bar(count: int, top: int, width: int = 30) -> str:
    """A bar of characters for a terminal."""
    eighths = round(count / top * width * 8) if top else 0
    if count and not eighths:
        eighths = 1
    return "█" * (eighths // 8) + ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")[eighths % 8]


def _amount(value: float) -> str:
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{letter}"
    return f"{value:g}"


def _text(text: str) -> str:
    return escape(printable(text))
