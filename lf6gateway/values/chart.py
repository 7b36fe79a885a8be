"""A course of figures over time as lines to be drawn: scales, gaps, paths. Owns the geometry, in a box of 1000 by 100
whose origin is at the top left; must never know a colour, a word or a mark-up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 1000.0
HEIGHT: Final = 100.0
_GAP: Final = 2.5
"""So many steps without a value make a gap in a line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    :param path: what is drawn, as the ``d`` of an SVG path; empty: nothing.
    :param area: the same, closed down to zero.
    :param last: the value at the end, ``None``: there is none.
    :param most: the largest value.
    """

    path: str
    area: str
    last: float | None
    most: float | None


@dataclass(frozen=True, slots=True)
class Chart:
    """Lines on a common scale from zero to ``top``."""

    top: float
    lines: tuple[Line, ...]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(line.path for line in self.lines)


Values = Sequence[tuple[float, float | None]]
"""Moments, in seconds, with the value at each; in order."""


def chart(series: Sequence[Values], *, begin: float, end: float, step: float, top: Callable[[float], float]) -> Chart:
    """Lines over a span of time.

    :param begin: and ``end``: what the left and the right edge stand for, seconds since 1970.
    :param step: how far apart values are, in seconds; what is further apart is not joined.
    :param top: the end of the scale for the largest value.
    """
    largest = max((value for values in series for _, value in values if value is not None), default=0.0)
    scale = top(largest)
    return Chart(scale, tuple(_line(values, begin, end, step, scale) for values in series))


def _line(values: Values, begin: float, end: float, step: float, top: float) -> Line:
    runs: list[list[tuple[float, float]]] = []
    before = -math.inf
    for at, value in values:
        if value is None or not begin <= at <= end:
            continue
        if at - before > _GAP * step:
            runs.append([])
        before = at
        runs[-1].append(((at - begin) / (end - begin) * WIDTH, HEIGHT * (1 - value / top)))
    shown = [value for at, value in values if value is not None and begin <= at <= end]
    path = "".join(_joined(run if len(run) > 1 else _dash(run[0], step, end - begin)) for run in runs)
    area = "".join(
        f"{_joined(run)}L{_two(run[-1][0])} {_two(HEIGHT)}L{_two(run[0][0])} {_two(HEIGHT)}Z"
        for run in runs
        if len(run) > 1
    )
    last = values[-1][1] if values else None
    return Line(path, area, last, max(shown, default=None))


def _dash(place: tuple[float, float], step: float, width: float) -> list[tuple[float, float]]:
    """A value that stands alone, wide enough to be seen."""
    half = max(2.0, step / width * WIDTH / 2)
    return [(max(0.0, place[0] - half), place[1]), (min(WIDTH, place[0] + half), place[1])]


def _joined(run: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_two(x)} {_two(y)}" for x, y in run)


def _two(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def round_top(largest: float, least: float = 2.0) -> float:
    """The next round figure whose half is round too, such as 2, 4, 6, 10, 12, 20."""
    if largest <= least:
        return least
    power = 10.0 ** math.floor(math.log10(largest))
    return next(
        power * factor
        for factor in (1.0, 1.2, 1.6, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
        if power * factor >= largest * 0.999_999
    )


def binary_top(largest: float) -> float:
    """The same for bytes: 1, 2, 4, 8, … of a unit."""
    return 2.0 ** max(10, math.ceil(math.log2(largest))) if largest > 0 else 1024.0


def span_top(largest: float) -> float:
    """The same for spans of time, in seconds: round in the unit that they are told in."""
    rounds = (0.002, 0.004, 0.01, 0.02, 0.03, 0.04, 0.06, 0.1, 0.2, 0.3, 0.4, 0.6, 1, 2, 4, 10, 20, 40, 60, 120, 240)
    longer = (600, 1200, 2400, 3600, 7200, 14_400, 28_800, 43_200, 86_400)
    found = next((top for top in (*rounds, *longer) if top >= largest), None)
    return float(found) if found is not None else 86_400 * round_top(largest / 86_400)


def thinned(values: Values, step: float, combine: Callable[[list[float]], float]) -> Values:
    """Values further apart: of each span of ``step`` seconds one, made of those in it, at the end of the span."""
    made: list[tuple[float, float | None]] = []
    group: list[float] = []
    place: float | None = None
    for at, value in values:
        now = math.ceil(at / step) * step
        if place is not None and now != place:
            made.append((place, combine(group) if group else None))
            group = []
        place = now
        if value is not None:
            group.append(value)
    if place is not None:
        made.append((place, combine(group) if group else None))
    return made
