"""The parts of the operator's page that come from a ``Status``. Owns what each of them shows and in which order; must
never look anything up, nor let text of senders or of the disk in without ``foreign``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from twisted.web.template import Tag

from lf6gateway.edges.page_elements import Child, bar, comparison, element, figures, foreign, state, table
from lf6gateway.values.condition import Condition
from lf6gateway.values.readable import amount, clock, number, part, plural, span
from lf6gateway.values.status import (
    SPANS,
    ErrorSeen,
    QuarantineStatus,
    ShippedObject,
    SpoolStatus,
    Status,
    StoreState,
    StreamStatus,
    Users,
)

_WORDS: Final = {"hour": "Last hour", "day": "Last day", "start": "Since the start"}
_SHOWN_USERS: Final = 10
_SHOWN_OBJECTS: Final = 20


def told(found: Condition) -> list[Tag]:
    """The state, and each reason with its remedy."""
    reasons = [
        element(
            "li",
            state(one.level.value, foreign(one.what, 900)),
            element("p", element("b", "What to do: "), foreign(one.remedy, 900)) if one.remedy else "",
        )
        for one in found.reasons
    ]
    return [
        element("p", state(found.level.value, found.title), class_="condition"),
        *([element("ul", reasons, class_="reasons")] if reasons else []),
    ]


def overview(status: Status) -> Tag:
    """The figures that are looked at first."""
    streams = status.streams.values()
    hour = [stream.received["hour"] for stream in streams]
    slowest = max((one.p95_s for one in hour if one.p95_s is not None), default=None)
    oldest = max(stream.waiting.oldest_s for stream in streams)
    last = max((one.store.last_success_at for one in streams if one.store.last_success_at is not None), default=None)
    requests, refused = sum(one.requests for one in hour), sum(one.refused + one.failed for one in hour)
    records = sum(one.records for one in hour)
    return figures(
        ("Records, last hour", number(records), amount(sum(one.bytes for one in hour))),
        ("Requests, last hour", number(requests), f"{part(refused / requests)} not taken" if requests else ""),
        ("Answer time, last hour", span(slowest), "95 % within" if slowest is not None else "no requests"),
        ("Waiting on disk", amount(status.spool.used_bytes), f"oldest {span(oldest)}" if oldest else "nothing waits"),
        ("Last shipped", clock(last, status.at) if last else "–", "UTC" if last else "nothing yet"),
        ("Users, last hour", number(status.users["hour"].seen), f"{number(status.users['day'].seen)} in a day"),
    )


def received(streams: dict[str, StreamStatus]) -> Tag:
    """What came in, by stream and span."""

    def row(name: str, span_: str, get: Any) -> tuple[str, list[Child]]:
        return name, [get(one.received[span_]) for one in streams.values()]

    made = [
        comparison(
            _WORDS[one],
            list(streams),
            [
                row("Records", one, lambda got: number(got.records)),
                row("Size", one, lambda got: amount(got.bytes)),
                row("Requests", one, lambda got: number(got.requests)),
                row("Refused", one, lambda got: number(got.refused)),
                row("Failed", one, lambda got: number(got.failed)),
                row("Half within", one, lambda got: span(got.p50_s)),
                row("99 % within", one, lambda got: span(got.p99_s)),
            ],
        )
        for one in SPANS
    ]
    return element("div", *made, class_="three")


def waiting(streams: dict[str, StreamStatus], now: datetime) -> Tag:
    """What is not in the store yet, and how the store fares."""
    every = list(streams.values())

    def pieces(one: StreamStatus) -> str:
        found = one.waiting
        if one.flushes is None:
            return "counting" if found.specimens is None else plural(found.specimens, "file")
        closed = found.segments + found.members
        return "being written" if found.oldest_at is not None and not closed else plural(closed, "file")

    present = comparison(
        "What waits, and its store",
        list(streams),
        [
            ("Store", [store_state(one.store) for one in every]),
            ("Waiting", [pieces(one) for one in every]),
            ("Oldest", [span(one.waiting.oldest_s) if one.waiting.oldest_at else "–" for one in every]),
            ("Put off", [number(one.waiting.parked) for one in every]),
            ("Next attempt", [_next(one.store) for one in every]),
            (
                "Last success",
                [clock(one.store.last_success_at, now) if one.store.last_success_at else "–" for one in every],
            ),
            ("Failures", [number(sum(one.store.failures.values())) for one in every]),
        ],
    )
    past = [
        comparison(
            f"Shipped, {_WORDS[one].lower()}",
            list(streams),
            [
                ("Records", [number(stream.shipped[one].records) for stream in every]),
                ("As stored", [amount(stream.shipped[one].bytes) for stream in every]),
                ("Writes", [number(stream.shipped[one].objects) for stream in every]),
            ],
        )
        for one in ("hour", "start")
    ]
    return element("div", present, element("div", *past, class_="stack"), class_="two")


def store_state(store: StoreState) -> Tag:
    """Whether a store takes what is sent."""
    if store.failing_s > 0:
        return state("trouble", f"failing {span(store.failing_s)}")
    return state("well", "works") if store.last_success_at else state("off", "not used yet")


def _next(store: StoreState) -> str:
    if store.failing_s == 0:
        return "–"
    return f"in {span(round(store.next_attempt_s))}" if store.state == "open" and store.next_attempt_s >= 1 else "now"


def disk(spool: SpoolStatus) -> Tag:
    """The spool and the disk it is on."""
    used = spool.used_bytes / spool.max_bytes if spool.max_bytes else 0.0
    rows = [
        element(
            "li",
            element("b", "Spool"),
            element("span", f"{amount(spool.used_bytes)} of {amount(spool.max_bytes)}, {part(used)}"),
            bar(used, "trouble" if used >= 0.95 else "attention" if used >= 0.8 else "well"),
            element("small", f"{amount(spool.left_bytes)} more are taken (spool.max_bytes)"),
        )
    ]
    for name, free, floor, shown, key in (
        ("Free on the disk", spool.free_bytes, spool.min_free_bytes, amount, "spool.min_free_bytes"),
        ("Free inodes", spool.free_inodes, spool.min_free_inodes, number, "spool.min_free_inodes"),
    ):
        if free is None:
            rows.append(element("li", element("b", name), element("span", "not known"), element("small", key)))
            continue
        near = floor / free if free else 1.0
        level = "trouble" if near >= 1 else "attention" if near >= 0.67 else "well"
        words = {"trouble": "below the floor", "attention": "near the floor", "well": "enough"}[level]
        rows.append(
            element(
                "li",
                element("b", name),
                element("span", shown(free)),
                state(level, words),
                element("small", f"the floor is {shown(floor)} ({key})"),
            )
        )
    return element("ul", rows, class_="disk")


def shipped(objects: Sequence[ShippedObject], now: datetime, links: bool) -> Tag:
    """The last writes to the store.

    :param links: whether objects can be opened from here.
    """

    def where(one: ShippedObject) -> Child:
        key = element("code", foreign(one.key, 1100))
        if not links:
            return [element("small", foreign(one.bucket), "/", class_="bucket"), key]
        target = "object?" + urlencode({"stream": one.stream, "key": one.key}, errors="replace")
        return element("a", key, href=target, rel="noreferrer")

    rows = [
        [clock(one.at, now), one.stream, where(one), number(one.records), amount(one.bytes), amount(one.size)]
        for one in objects[:_SHOWN_OBJECTS]
    ]
    return table(
        f"The last {len(rows)} writes, the newest first; times are UTC",
        ("When", "Stream", "Object", "Records added", "Added", "Size now"),
        rows,
        right=(3, 4, 5),
        wide=(2,),
        empty="Nothing has been shipped since the start.",
    )


def errors(found: Sequence[ErrorSeen], now: datetime) -> Tag:
    """The last error of each cause, with its remedy."""
    if not found:
        return element("p", state("well", "None since the start"), class_="none")
    items = [
        element(
            "li",
            element(
                "p",
                element("b", foreign(one.cause)),
                element("span", f"{one.where}, {plural(one.count, 'time')}, last {clock(one.last_at, now)}"),
                class_="cause",
            ),
            element("p", foreign(one.detail, 700), class_="detail"),
            element("p", element("b", "What to do: "), foreign(one.remedy, 700))
            if one.remedy
            else element("p", "Nothing: it is tried again until it works.", class_="mild"),
        )
        for one in found
    ]
    return element("ul", items, class_="errors")


def quarantine(found: QuarantineStatus, now: datetime) -> list[Child]:
    """What could not be read, with a way to look at it."""
    rows = [
        [
            element(
                "a",
                element("code", foreign(one.name)),
                href="quarantine?" + urlencode({"name": one.name}, errors="replace"),
            ),
            amount(one.bytes),
            clock(one.at, now),
            foreign(one.why, 600),
        ]
        for one in found.items[:_SHOWN_OBJECTS]
    ]
    made = table(
        f"{plural(found.count, 'file')}, {amount(found.bytes)}; the newest {len(rows)}. A name leads to a preview",
        ("File", "Size", "Since", "Why"),
        rows,
        right=(1,),
        wide=(0, 3),
        empty="Nothing is set aside.",
    )
    if not rows:
        return [made]
    hint = element(
        "p",
        "Nothing else is held up by them. ",
        element("code", "lf6gateway spool quarantine"),
        " on the machine lists, shows and removes them too.",
        class_="hint",
    )
    return [made, hint]


def users(found: dict[str, Users]) -> Tag:
    """Who sent most, by span."""
    parts = []
    for span_ in SPANS:
        one = found[span_]
        largest = max((user.bytes for user in one.top), default=0)
        rows = [
            [
                [foreign(user.user, 128), bar(user.bytes / largest if largest else 0.0)],
                number(user.requests),
                number(user.records),
                amount(user.bytes),
            ]
            for user in one.top[:_SHOWN_USERS]
        ]
        caption = f"{_WORDS[span_]}: {plural(one.seen, 'user')}"
        parts.append(
            element(
                "div",
                table(
                    caption,
                    ("User", "Requests", "Records", "Size"),
                    rows,
                    right=(1, 2, 3),
                    empty=f"{caption}.",
                    fits=True,
                ),
            )
        )
    return element("div", *parts, class_="three")


def settings(found: dict[str, Any]) -> Tag:
    """The settings in force."""
    return table(
        "In force now, with defaults; secrets stand as ***",
        ("Key", "Value"),
        [[element("code", key), element("code", foreign(_plain(value), 500))] for key, value in found.items()],
        wide=(0, 1),
    )


def _plain(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(str(one) for one in value) or "none" if isinstance(value, list | tuple) else str(value)


def process(status: Status) -> Tag:
    """The process, its threads and its port."""
    about, port, running = status.gateway, status.public, status.process
    facts = [
        ("Version", f"{about.version} (Python {about.python}, Twisted {about.twisted})"),
        ("Process", f"{about.pid}, {plural(about.workers, 'process', 'processes')} on the public port"),
        ("Started", f"{about.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Cache directory", element("code", foreign(about.cache_dir))),
        ("Spool", element("code", about.spool)),
        ("Public port", [foreign(", ".join(port.addresses) or "none")]),
        ("Connections", f"{number(port.connections)} now, {number(port.accepted)} since the start"),
        ("Turned away", _counts(port.refused)),
        ("Problems answered", _counts(port.problems)),
        ("Not let in", _counts(port.not_let_in)),
        ("Reactor is late by", f"{span(running.lag_s)} now, 99 % within {span(running.lag_p99_s)}"),
        ("Workers that died", number(running.worker_deaths)),
    ]
    rows = [element("div", element("dt", name), element("dd", value)) for name, value in facts]
    pools = table(
        "Threads",
        ("Pool", "Threads", "Busy", "Queued"),
        [[one.name, number(one.size), number(one.busy), number(one.queued)] for one in running.pools],
        right=(1, 2, 3),
        fits=True,
    )
    return element("div", element("dl", rows, class_="facts"), pools, class_="two")


def _counts(found: Any) -> Child:
    return foreign(", ".join(f"{name} {number(count)}" for name, count in sorted(found.items())) or "none")
