"""The pieces that the operator's page is put together from: tables, lists of figures, states, bars. Owns their mark-up
and, by ``twisted.web.template``, that no text becomes mark-up; must never know what a figure means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.template import Tag, flattenString

from lf6gateway.values.readable import visible

Child = Any
"""What can stand in an element: text, another element, a sequence of them."""

_LONGEST: Final = 10_000
"""Characters of one text."""
_MARKS: Final = {
    "well": "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM6.9 11.4 3.7 8.2l1.2-1.2 2 2 4.2-4.3 1.2 1.2z",
    "attention": "M8 1 15.5 14.5H.5zM7.2 6v4.2h1.6V6zm0 5.3v1.6h1.6v-1.6z",
    "trouble": "M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z"
    "M4.8 6 6.8 8 4.8 10 6 11.2l2-2 2 2L11.2 10l-2-2 2-2L10 4.8l-2 2-2-2z",
    "off": "M8 1a7 7 0 1 0 0 14A7 7 0 0 0 8 1zM4.5 7.2h7v1.6h-7z",
}
"""A shape for each state, told apart without colour: a disc, a triangle, an octagon, a disc with a bar."""


def element(kind: str, /, *children: Child, **attributes: str) -> Tag:
    """An element; an attribute's name is written with ``_`` for ``-``, and may end in ``_``. Nothing hides in
    text, whoever wrote it."""
    named = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
    return Tag(kind, attributes=dict(named), children=_shown(list(children)))  # type: ignore[arg-type]


def _shown(child: Child) -> Child:
    if isinstance(child, str):
        return visible(child, _LONGEST)
    return [_shown(one) for one in child] if isinstance(child, list | tuple) else child


def foreign(text: str, most: int = 400) -> Tag:
    """Text that somebody else wrote, cut, and kept from turning the text around it."""
    return element("bdi", visible(text, most))


def html(content: Child) -> str:
    """Content as HTML. Nothing in it may have to be waited for."""
    made: list[str | Failure] = []
    work: Deferred[bytes] = flattenString(None, content)
    work.addCallbacks(lambda data: made.append(data.decode("utf-8")), made.append)
    (found,) = made
    if isinstance(found, Failure):
        found.raiseException()
    assert isinstance(found, str)
    return found


def state(level: str, *words: Child) -> Tag:
    """A state, by shape, word and colour."""
    mark = element(
        "svg", element("path", d=_MARKS[level], fill_rule="evenodd"), viewBox="0 0 16 16", aria_hidden="true"
    )
    return element("span", mark, element("span", *words), class_=f"state {level}")


def figures(*pairs: tuple[str, Child, Child]) -> Tag:
    """A row of figures, each with its name and a word on it."""
    return element(
        "dl",
        [
            element(
                "div",
                element("dt", name),
                element("dd", value, class_="value"),
                element("dd", word, class_="word") if word else "",
            )
            for name, value, word in pairs
        ],
        class_="figures",
    )


def section(name: str, title: str, *content: Child, aside: Child = "") -> Tag:
    """A part of the page, with a heading; what changes in it is in a ``live`` of its own."""
    return element(
        "section",
        element("div", element("h2", title, id=f"{name}-title"), aside, class_="head"),
        *content,
        id=name,
        aria_labelledby=f"{name}-title",
    )


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Child]],
    *,
    right: Sequence[int] = (),
    wide: Sequence[int] = (),
    fits: bool = False,
    empty: str = "",
) -> Tag:
    """A table whose rows become blocks where there is no room beside each other.

    :param right: columns of figures.
    :param wide: columns that take a line of their own in a block.
    :param fits: there is room everywhere; no blocks.
    :param empty: what stands there where there are no rows.
    """
    if not rows:
        return element("p", empty or "None.", class_="none")

    def kind(place: int) -> str:
        return "figure" if place in right else "wide" if place in wide else "text"

    heads = [
        element("th", name, scope="col", role="columnheader", class_=kind(place)) for place, name in enumerate(columns)
    ]
    body = [
        element(
            "tr",
            [
                element("td", cell, role="cell", class_=kind(place), data_name=columns[place])
                for place, cell in enumerate(row)
            ],
            role="row",
        )
        for row in rows
    ]
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", heads, role="row"), role="rowgroup"),
        element("tbody", body, role="rowgroup"),
        role="table",
        class_="list" if fits else "list blocks",
    )


def comparison(caption: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[Child]]]) -> Tag:
    """A table with a named row for each measure and a column for each thing that is compared; narrow enough for any
    screen."""
    lines = [
        element("tr", element("th", name, scope="row"), [element("td", cell, class_="figure") for cell in cells])
        for name, cells in rows
    ]
    heads = [element("th", name, scope="col", class_="figure") for name in columns]
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", element("td"), heads)),
        element("tbody", lines),
        class_="compared",
    )


def bar(part: float, level: str = "well") -> Tag:
    """A part of a whole, from 0 to 1, as a bar; the figures stand beside it."""
    width = f"{100 * min(1.0, max(0.0, part)):.1f}"
    return element(
        "svg",
        element("rect", width="100", height="6", class_="whole"),
        element("rect", width=width, height="6", class_="part"),
        viewBox="0 0 100 6",
        preserveAspectRatio="none",
        aria_hidden="true",
        class_=f"bar {level}",
    )


def live(name: str, *content: Child) -> Tag:
    """Content that is renewed while the page is looked at."""
    return element("div", *content, data_live=name, class_="live")


def button(action: str, token: str, words: str, explained: str, **hidden: str) -> Tag:
    """A button that does something; works without a script."""
    fields = [
        element("input", type="hidden", name=name, value=visible(value, _LONGEST))
        for name, value in {"form": token, **hidden}.items()
    ]
    return element(
        "form", *fields, element("button", words, type="submit"), method="post", action=action, title=explained
    )
