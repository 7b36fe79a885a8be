"""Bars as SVG, so that a plot needs nothing installed. Owns the drawing."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

_COLOURS = ("#2b6cb0", "#63b3ed", "#a0aec0", "#718096", "#cbd5e0", "#4a5568", "#90cdf4")
_LEFT, _WIDE, _BAR, _GAP = 300, 420, 16, 14


def bars(title: str, figure: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """A bar for each candidate of each row, all to one scale."""
    most = max((value for row in groups.values() for value in row.values()), default=1.0) or 1.0
    names = list(dict.fromkeys(name for row in groups.values() for name in row))
    parts = []
    at = 52
    for row, candidates in groups.items():
        parts.append(f'<text x="10" y="{at + 12}" font-weight="bold">{escape(row)}</text>')
        for name, value in candidates.items():
            width = max(1.0, value / most * _WIDE)
            colour = _COLOURS[names.index(name) % len(_COLOURS)]
            parts.append(f'<text x="{_LEFT - 8}" y="{at + 12}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{_LEFT}" y="{at}" width="{width:.1f}" height="{_BAR - 3}" fill="{colour}"/>')
            shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
            parts.append(f'<text x="{_LEFT + width + 5:.1f}" y="{at + 11}">{shown}</text>')
            at += _BAR
        at += _GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDE + 100}" height="{at + 10}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="20" font-size="15" font-weight="bold">{escape(title)}</text>'
        f'<text x="10" y="38" fill="#4a5568">{escape(figure)}, median</text>'
    )
    return head + "".join(parts) + "</svg>\n"
