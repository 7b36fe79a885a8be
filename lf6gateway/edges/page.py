"""The operator's page as HTML, made from a ``Status`` and the minutes behind it. Owns its order, and which parts of it
are renewed while it is looked at; must never ask the gateway anything itself: it is made in a thread."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from twisted.web.template import Comment, Tag

from lf6gateway.edges import page_sections as parts
from lf6gateway.edges.page_charts import WINDOWS, charts
from lf6gateway.edges.page_elements import Child, button, element, foreign, html, live, section, state
from lf6gateway.values.condition import condition
from lf6gateway.values.history import Point
from lf6gateway.values.readable import visible
from lf6gateway.values.status import Status

NAME: Final = "Lightfile6 Insights Gateway"
_HERE: Final = re.compile("<!--part ([a-z]+)-->")
_CONTENTS: Final = {
    "charts": "Charts",
    "shipping": "Shipping",
    "received": "Received",
    "shipped": "Last shipped",
    "errors": "Errors",
    "quarantine": "Quarantine",
    "users": "Users",
    "process": "Process",
    "settings": "Settings",
}
NOTICES: Final = {
    "ship": "Shipping has begun: what is on disk is sealed and sent now.",
    "retry": "Noted: the next start of the gateway puts it back and tries it again.",
    "ship-running": "Shipping was begun a moment ago, and goes on.",
}
"""What is told after a button was pressed, by the name it has in the address."""


@dataclass
class Fragments:
    """The parts that are renewed, as HTML by their names; each is made anew only where what it shows has changed.

    :param hours: how long the charts reach back.
    """

    hours: int = 3
    _made: dict[str, tuple[Any, str]] = field(default_factory=dict)

    def of(self, status: Status, points: Sequence[Point], *, links: bool) -> dict[str, str]:
        """All of them."""
        streams = dict(status.streams)
        now, today = status.at, status.at.date()
        last = points[-1].at if points else now.timestamp()
        found = condition(status)
        self._make("condition", found, lambda: parts.told(found))
        self._make("overview", (status.streams, status.spool, status.users, today), lambda: parts.overview(status))
        self._make("charts", (last, len(points)), lambda: charts(points, self.hours, last))
        self._make("shipping", (status.streams, today), lambda: parts.waiting(streams, now))
        self._make("disk", status.spool, lambda: parts.disk(status.spool))
        received = [stream.received for stream in streams.values()]
        self._make("received", received, lambda: parts.received(streams))
        self._make("shipped", (status.shipped, links, today), lambda: parts.shipped(status.shipped, now, links))
        self._make("errors", (status.errors, today), lambda: parts.errors(status.errors, now))
        self._make("quarantine", (status.quarantine, today), lambda: parts.quarantine(status.quarantine, now))
        self._make("users", status.users, lambda: parts.users(dict(status.users)))
        about = (status.gateway.started_at, status.public, status.process)
        self._make("process", about, lambda: parts.process(status))
        self._make("settings", status.settings, lambda: parts.settings(dict(status.settings)))
        self._make("at", now, lambda: f"{now:%Y-%m-%d %H:%M:%S} UTC")
        return {name: made for name, (_, made) in self._made.items()}

    def _make(self, name: str, shown: Any, made: Callable[[], Child]) -> None:
        before = self._made.get(name)
        if before is None or before[0] != shown:
            self._made[name] = (shown, html(made()))


@dataclass(frozen=True, slots=True)
class Viewed:
    """What of a page depends on who looks, and how.

    :param hours: how long the charts reach back.
    :param token: what the page's forms are to carry.
    :param notice: a name of ``NOTICES``, or empty.
    :param leave: whether there is a session to leave.
    :param files: the addresses of ``page.css``, ``page.js`` and ``page.svg``.
    """

    hours: int
    token: str
    notice: str
    leave: bool
    files: Mapping[str, str]


def whole(status: Status, made: Mapping[str, str], viewed: Viewed) -> str:
    """The page."""

    def part(name: str) -> Tag:
        return live(name, _Here(name))

    host = visible(status.gateway.hostname, 100)
    windows = [
        element(
            "a",
            f"{hours} h",
            href=f"?hours={name}#charts",
            **({"aria_current": "true"} if hours == viewed.hours else {}),
        )
        for name, hours in WINDOWS.items()
    ]
    notice = [element("p", NOTICES[viewed.notice], class_="notice", role="status")] if viewed.notice in NOTICES else []
    ship = button("ship", viewed.token, "Ship now", "Seal what is on disk and send it now, not at the next interval")
    again = [retry(viewed.token, "Try all again at the next start")] if status.quarantine.count else []
    head = element(
        "header",
        element("div", element("h1", NAME), element("p", foreign(host), class_="host"), class_="name"),
        element(
            "p",
            "As of ",
            element("span", _Here("at"), data_live="at", class_="at"),
            element("span", "not renewed by itself", id="link", class_="link"),
            element("a", "Refresh", href=f"?hours={viewed.hours}"),
            class_="asof",
        ),
        button("logout", viewed.token, "Log out", "Forget this browser") if viewed.leave else "",
    )
    nav = element(
        "nav",
        element("ul", [element("li", element("a", title, href=f"#{name}")) for name, title in _CONTENTS.items()]),
        aria_label="Parts of this page",
    )
    main = element(
        "main",
        *notice,
        element(
            "section",
            element("h2", "State", id="state-title", class_="unseen"),
            element(
                "div",
                element("div", part("condition"), role="status", aria_live="polite"),
                ship,
                class_="first",
            ),
            part("overview"),
            aria_labelledby="state-title",
            id="state",
        ),
        section(
            "charts",
            "Charts",
            part("charts"),
            aside=element("p", "The last ", windows, ", in UTC", class_="aside"),
        ),
        section("shipping", "Waiting and shipping", part("shipping"), element("h3", "Disk"), part("disk")),
        section("received", "Received", part("received")),
        section("shipped", "Last shipped", part("shipped")),
        section("errors", "Errors", part("errors")),
        section("quarantine", "Quarantine", part("quarantine"), *again),
        section("users", "Users by volume", part("users")),
        section("process", "Process", part("process")),
        section("settings", "Settings", _folded("Show all settings", part("settings"))),
        id="main",
        tabindex="-1",
    )
    foot = element(
        "footer",
        element("p", "The same truth for scripts: "),
        element(
            "ul",
            [element("li", element("a", name, href=name)) for name in ("status", "metrics", "history", "openapi.json")],
        ),
    )
    page = _document(f"{host} · {NAME}", [head, nav, main, foot], viewed.files, script=True, hours=viewed.hours)
    return _filled(page, made)


def retry(token: str, words: str, **hidden: str) -> Tag:
    """A button that has what is in quarantine tried again."""
    return button("retry", token, words, "Puts it back into the spool when the gateway starts the next time", **hidden)


def login(token: str, files: Mapping[str, str], wrong: bool) -> str:
    """What asks for the token."""
    body = element(
        "main",
        element("h1", NAME),
        element(
            "form",
            element("input", type="hidden", name="form", value=visible(token)),
            element("p", state("trouble", "That is not the token."), role="alert") if wrong else "",
            element("label", "Token of the operators", for_="token"),
            element(
                "input",
                type="password",
                name="token",
                id="token",
                required="required",
                autofocus="autofocus",
                autocomplete="current-password",
                maxlength="1024",
                aria_describedby="which",
            ),
            element("p", "It is in admin.token, or in the file named by admin.token_file.", id="which", class_="hint"),
            element("button", "Look", type="submit"),
            method="post",
            action="login",
        ),
        id="main",
        class_="login",
    )
    return _document(NAME, [body], files)


@dataclass(frozen=True, slots=True)
class Piece:
    """The beginning of a file in quarantine, as it is shown.

    :param size: of the whole file.
    :param lines: as many as are shown of it.
    :param hindrance: why it cannot be tried again.
    :param wanted: the next start is to try it again.
    """

    name: str
    size: str
    lines: Sequence[str]
    kind: str
    cut: bool
    hindrance: str = ""
    wanted: bool = False


def preview(piece: Piece, token: str, files: Mapping[str, str]) -> str:
    """The page of one file in quarantine.

    :param token: what its form is to carry.
    """
    again: Child
    if piece.wanted:
        again = element("p", state("well", "The next start of the gateway tries it again."))
    elif piece.hindrance:
        again = element("p", "It cannot be tried again: ", foreign(piece.hindrance), ".", class_="hint")
    else:
        again = retry(token, "Try it again at the next start", name=piece.name)
    beginning = "The beginning of it" if piece.cut else "All of it"
    body = element(
        "main",
        element("p", element("a", "Back to the gateway", href="./#quarantine")),
        element("h1", "In quarantine"),
        element("p", element("code", foreign(piece.name))),
        element("p", f"{piece.size}. {beginning}, {piece.kind}.", id="what"),
        element(
            "pre",
            [element("span", line) for line in piece.lines],
            dir="ltr",
            tabindex="0",
            role="region",
            aria_labelledby="what",
        )
        if piece.lines
        else element("p", "It is empty.", class_="none"),
        again,
        id="main",
        class_="preview",
    )
    return _document(f"{visible(piece.name, 100)} · {NAME}", [body], files)


class _Here(Comment):
    """Where a part that was made before goes. No text can look like it, for that is escaped."""

    def __init__(self, name: str) -> None:
        super().__init__(f"part {name}")


def _filled(page: str, made: Mapping[str, str]) -> str:
    return _HERE.sub(lambda found: made[found[1]], page)


def _folded(words: str, content: Tag) -> Tag:
    return element("details", element("summary", words), content)


def _document(
    title: str, body: Sequence[Child], files: Mapping[str, str], *, script: bool = False, hours: int = 0
) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("title", title),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="robots", content="noindex"),
        element("link", rel="icon", href=files["page.svg"], type="image/svg+xml"),
        element("link", rel="stylesheet", href=files["page.css"]),
        element("script", src=files["page.js"], defer="defer") if script else "",
    )
    skip = element("a", "Skip to the content", href="#main", class_="skip")
    events = {"data_events": f"events?hours={hours}"} if script else {}
    return "<!DOCTYPE html>\n" + html(element("html", head, element("body", skip, *body, **events), lang="en"))
