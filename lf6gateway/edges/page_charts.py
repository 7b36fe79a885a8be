"""The charts of the operator's page, as SVG within HTML. Owns which courses are shown and how a chart is marked up;
must never work out a place in it: that is in ``values/chart.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

from twisted.web.template import Tag

from lf6gateway.edges.page_elements import element
from lf6gateway.values.chart import Chart, Values, binary_top, chart, round_top, span_top, thinned
from lf6gateway.values.history import Point, StreamPoint
from lf6gateway.values.readable import amount, number, span
from lf6gateway.values.stream import Stream

WINDOWS: Final = {"3": 3, "24": 24}
"""How many hours can be looked at."""
TEN_MINUTES: Final = 600.0
_POINTS: Final = 180
_KEYS: Final = ("a", "b", "c")
"""The marks of the lines: each has a colour and a dash of its own."""


def charts(points: Sequence[Point], hours: int, now: float) -> Tag:
    """All of them.

    :param points: the minutes that are known, the oldest first.
    :param now: seconds since 1970.
    """
    shown = _Shown(points, hours, now)
    streams = [stream.value for stream in Stream]
    drawn = [
        shown.drawn(
            "Requests a minute",
            [(name, shown.of(name, lambda one: one.requests)) for name in streams],
            round_top,
            number,
        ),
        shown.drawn(
            "Answer time, 95 % within",
            [(name, shown.slowest(name)) for name in streams],
            span_top,
            span,
            step=60 * hours,
        ),
        shown.drawn(
            "Records in ten minutes",
            [
                ("received", shown.summed(lambda one: one.records)),
                ("shipped", shown.summed(lambda one: one.shipped_records)),
            ],
            round_top,
            number,
            step=TEN_MINUTES,
        ),
        shown.drawn(
            "Requests not taken, a minute",
            [
                ("refused (4xx)", shown.all(lambda one: one.refused)),
                ("failed (5xx)", shown.all(lambda one: one.failed)),
            ],
            round_top,
            number,
        ),
        shown.drawn(
            "Waiting on disk", [("bytes", shown.course(lambda point: point.spool_bytes, max))], binary_top, amount
        ),
        shown.drawn(
            "Age of the oldest that waits", [("age", shown.course(lambda point: point.oldest_s, max))], span_top, span
        ),
    ]
    return element("div", *drawn, class_="charts")


class _Shown:
    """The minutes of one window."""

    def __init__(self, points: Sequence[Point], hours: int, now: float) -> None:
        self._begin = now - 3600 * hours
        self._end = now
        self._hours = hours
        self._step = 3600 * hours / _POINTS
        self._points = [point for point in points if point.at >= self._begin]

    def course(
        self, value: Callable[[Point], float | None], combine: Callable[[list[float]], float] | None = None
    ) -> Values:
        """One course; of several minutes that come together it is their mean, or what ``combine`` makes of them."""
        values: Values = [(point.at, value(point)) for point in self._points]
        if self._step <= 60:
            return values
        return thinned(values, self._step, combine or _mean)

    def of(self, stream: str, value: Callable[[StreamPoint], float | None]) -> Values:
        """A course of one stream."""
        return self.course(lambda point: value(point.streams[stream]))

    def slowest(self, stream: str) -> Values:
        """How long answers of one stream took, the worst of some minutes, for single ones say little."""
        return thinned([(point.at, point.streams[stream].p95) for point in self._points], 60 * self._hours, max)

    def summed(self, value: Callable[[StreamPoint], float]) -> Values:
        """A course of all streams together, in steps that are over."""
        values = [(point.at, sum(value(one) for one in point.streams.values())) for point in self._points]
        return [one for one in thinned(values, TEN_MINUTES, sum) if one[0] <= self._end]

    def all(self, value: Callable[[StreamPoint], float]) -> Values:
        """A course of all streams together."""
        return self.course(lambda point: sum(value(one) for one in point.streams.values()))

    def drawn(
        self,
        title: str,
        series: Sequence[tuple[str, Values]],
        top: Callable[[float], float],
        told: Callable[[float], str],
        step: float | None = None,
    ) -> Tag:
        """One chart.

        :param step: how far apart values are, in seconds, where that is not the usual.
        """
        made = chart(
            [values for _, values in series],
            begin=self._begin,
            end=self._end,
            step=step or max(60.0, self._step),
            top=top,
        )
        legend = [
            element(
                "li",
                element(
                    "svg",
                    element("path", d="M0 5H22", class_="line"),
                    viewBox="0 0 22 10",
                    aria_hidden="true",
                    class_=f"key {key}",
                ),
                element("span", name),
                element("b", _told(line.last, told)),
                element("small", f"most {_told(line.most, told)}"),
            )
            for (name, _), line, key in zip(series, made.lines, _KEYS, strict=False)
        ]
        return element(
            "figure",
            element("figcaption", title),
            element("div", self._plot(made, told), class_="plot"),
            element("ul", *legend, class_="legend"),
        )

    def _plot(self, made: Chart, told: Callable[[float], str]) -> list[Tag]:
        lines = [
            part
            for line, key in zip(made.lines, _KEYS, strict=False)
            for part in (
                element("path", d=line.area, class_=f"area {key}") if len(made.lines) == 1 and line.area else "",
                element("path", d=line.path, class_=f"line {key}") if line.path else "",
            )
        ]
        rules = element("path", d="M0 0H1000M0 50H1000M0 100H1000", class_="rules")
        drawing = element(
            "svg",
            rules,
            *lines,
            viewBox="0 0 1000 100",
            preserveAspectRatio="none",
            aria_hidden="true",
            class_="drawing",
        )
        scale = [element("span", told(made.top * part)) for part in (1.0, 0.5, 0.0)]
        moments = [
            datetime.fromtimestamp(self._end - 3600 * self._hours * part / 3, UTC).strftime("%H:%M")
            for part in (3, 2, 1)
        ]
        nothing = [element("p", "Nothing yet.", class_="nothing")] if made.empty else []
        return [
            element("div", *scale, class_="scale", aria_hidden="true"),
            element("div", drawing, *nothing, class_="box"),
            element("div", *[element("span", one) for one in (*moments, "now")], class_="moments", aria_hidden="true"),
        ]


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _told(value: float | None, told: Callable[[float], str]) -> str:
    return "–" if value is None else told(value)
