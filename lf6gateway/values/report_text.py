"""A report for a terminal. Owns its lines; all that comes from records in them is shown with control characters
escaped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lf6gateway.values.bar_chart import gathered, text_bar
from lf6gateway.values.printable import columns, printable, size_text

_BARS: Final = 48


def report_text(report: Mapping[str, Any]) -> str:
    """The report as lines."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Mapping[str, Any]) -> Iterator[str]:
    since, until = report["since"] or "the beginning", report["until"] or report["made_at"]
    yield f"{printable(report['from'])} from {since} to {until}" + (
        f", host {printable(report['host'])}" if report["host"] else ""
    )
    yield ""
    rows = [("STREAM", "OBJECTS", "RECORDS", "STORED", "UNPACKED")]
    for stream, volume in report["streams"].items():
        rows.append(
            (
                stream,
                f"{volume['objects']:,}",
                f"{volume['records']:,}",
                size_text(volume["bytes"]),
                size_text(volume["raw_bytes"]),
            )
        )
    yield from columns(rows, {1, 2, 3, 4})
    for stream in report["streams"]:
        yield from _times(stream, report)
    yield from _table(
        "Versions",
        ("RECORDS", "STREAM", "VERSION"),
        [(f"{one['records']:,}", one["stream"], printable(one["version"], 60)) for one in report["versions"]],
    )
    yield from _table(
        f"Errors ({report['different_errors']:,} different ones)",
        ("COUNT", "USERS", "FIRST", "LAST", "ID", "ERROR"),
        [
            (
                f"{one['count']:,}",
                f"{one['users']:,}" if one["users"] else "?",
                one["first"] or "",
                one["last"] or "",
                one["id"],
                printable(one["title"], 100),
            )
            for one in report["errors"]
        ],
        {0, 1},
    )
    yield from _table(
        "Users",
        ("USAGE", "ERRORS", "SPECIMENS", "USER"),
        [
            (f"{one['usage']:,}", f"{one['error']:,}", f"{one['specimen']:,}", printable(one["user"], 60))
            for one in report["users"]
        ],
        {0, 1, 2},
    )
    yield from _table(
        "Hosts",
        ("RECORDS", "STREAM", "HOST"),
        [(f"{one['records']:,}", one["stream"], printable(one["host"], 60)) for one in report["hosts"]],
    )
    yield from _table(
        "Specimens by the ending of their names",
        ("SPECIMENS", "ENDING"),
        [(f"{one['specimens']:,}", printable(one["ending"], 40)) for one in report["specimen_kinds"]],
    )
    if report["notes"]:
        yield ""
        yield from (f"note: {printable(note)}" for note in report["notes"])
        yield from (f"      {printable(key)}" for key in report["damaged"])


def _times(stream: str, report: Mapping[str, Any]) -> Iterator[str]:
    series = gathered([(one["at"], one[stream]["records"]) for one in report["times"]], _BARS)
    top = max((count for _, count in series), default=0)
    yield ""
    yield (
        f"{stream.capitalize()} by {report['unit']}"
        if len(series) == len(report["times"])
        else f"{stream.capitalize()}"
    )
    yield from columns([(label, f"{count:,}", text_bar(count, top)) for label, count in series], {1})


def _table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], right: frozenset[int] | set[int] = frozenset({0})
) -> Iterator[str]:
    if rows:
        yield ""
        yield title
        yield from columns([head, *rows], right)
