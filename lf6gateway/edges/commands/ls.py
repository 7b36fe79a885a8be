"""``lf6gateway ls``: which objects were delivered. Owns its arguments and the two forms of its list; must never read an
object beyond what ``--long`` asks for."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final

from lf6gateway.edges.commands.delivered_options import STATUSES, add_choice, add_place, asked_of, stream, window_of
from lf6gateway.edges.commands.delivered_places import Places, complain, with_places
from lf6gateway.edges.commands.refusal import Commands
from lf6gateway.services.ahead import ahead
from lf6gateway.services.inside import Inside, look_inside
from lf6gateway.values.asked import Asked
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.printable import columns, printable, size_text
from lf6gateway.values.stream import Stream
from lf6gateway.values.when import format_when

_PAGE: Final = 200
"""Rows whose columns are set together."""
_AT_ONCE: Final = 8
_HEAD: Final = ("TIME", "STREAM", "SIZE", "HOST OR USER", "KEY")
_LONG: Final = ("TIME", "STREAM", "SIZE", "RECORDS", "MEMBERS", "HOST OR USER", "KEY")


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    ls = commands.add_parser(
        "ls",
        help="list the objects that were delivered",
        description="Lists the objects that were delivered, by time. Only the hours and days that are asked for are "
        f"listed in the store. {STATUSES}",
    )
    ls.add_argument("streams", nargs="*", type=stream, metavar="STREAM", help=f"some of {', '.join(Stream)}")
    add_place(ls)
    add_choice(ls)
    ls.add_argument("--user", default=None, help="whose specimens; records are not listed then")
    ls.add_argument(
        "--long",
        action="store_true",
        help="look at each object too: how many records and gzip members it has, by their headers; a specimen's uri, "
        "content and digest",
    )
    ls.add_argument("--json", action="store_true", help="one JSON object a line, all of it")
    ls.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says; 1 where there is nothing."""
    streams = list(dict.fromkeys(chosen.streams)) or list(Stream)
    every = bool(chosen.streams)
    if chosen.user is not None:
        streams = [Stream.SPECIMEN]
    window = window_of(chosen)
    return with_places(
        chosen,
        streams,
        lambda places: _list(chosen, asked_of(chosen, streams, window, chosen.user), places),
        every=every,
    )


async def _list(chosen: argparse.Namespace, asked: Asked, places: Places) -> int:
    there = [one for one in asked.streams if one in places.catalogue.sources]
    asked = Asked(there, asked.window, asked.host, asked.user)
    head = _LONG if chosen.long else _HEAD
    right = {2, 3, 4} if chosen.long else {2}
    rows: list[tuple[str, ...]] = []
    widths: list[int] = []
    count = bytes_ = 0

    def flush() -> None:
        nonlocal rows, widths
        if not rows:
            return
        shown = [head, *rows] if not widths else rows
        lines = columns(shown, right, widths)
        widths = widths or [max(len(cell) for cell in column) for column in zip(*shown, strict=True)][:-1]
        sys.stdout.write("\n".join(lines) + "\n")
        sys.stdout.flush()
        rows = []

    async with aclosing(places.catalogue.objects(asked)) as objects:
        async for found, inside in _looked(objects, places, chosen.long):
            count += 1
            bytes_ += found.size
            if chosen.json:
                print(json.dumps(_facts(found, inside)), flush=count % _PAGE == 0)
                continue
            rows.append(_row(found, inside))
            if len(rows) >= _PAGE:
                flush()
    flush()
    sys.stdout.flush()
    if not count:
        names = " or ".join(there)
        complain(f"no {names} objects are there of that time, host and user; lf6gateway ls shows all there are")
        return 1
    if not chosen.json and sys.stdout.isatty():
        complain(f"{count:,} objects, {size_text(bytes_)}")
    return 0


async def _looked(
    objects: AsyncIterator[Delivered], places: Places, long: bool
) -> AsyncIterator[tuple[Delivered, Inside | None]]:
    if not long:
        async for found in objects:
            yield found, None
        return
    async with aclosing(
        ahead(objects, lambda found: look_inside(found, places.store(found.stream), places.offload), _AT_ONCE)
    ) as looked:
        async for found, waiting in looked:
            yield found, await waiting


def _row(found: Delivered, inside: Inside | None) -> tuple[str, ...]:
    specimen = found.stream is Stream.SPECIMEN
    time = format_when(found.moment_ns)
    more: tuple[str, ...] = ()
    if inside is not None:
        records = "-" if specimen else "?" if inside.records is None else f"{inside.records}"
        more = (records, "-" if specimen else "?" if inside.members is None else f"{inside.members}")
    who = found.user if specimen else found.host
    return (
        time if specimen else time[:13],
        found.stream.value,
        size_text(found.size),
        *more,
        printable(who, 40),
        printable(found.key),
    )


def _facts(found: Delivered, inside: Inside | None) -> dict[str, Any]:
    facts: dict[str, Any] = {"stream": found.stream.value, "key": found.key, "size": found.size}
    if found.stream is Stream.SPECIMEN:
        facts |= {"received_at": format_when(found.moment_ns), "user": found.user, "name": found.name}
    else:
        facts |= {"hour": format_when(found.moment_ns), "host": found.host}
    if found.modified_ns:
        facts["modified"] = format_when(found.modified_ns)
    facts["etag"] = found.etag
    if inside is not None:
        facts |= {"records": inside.records, "members": inside.members} if found.host else {}
        facts["metadata"] = dict(inside.metadata)
    return facts
