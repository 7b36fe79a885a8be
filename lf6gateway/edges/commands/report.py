"""``lf6gateway report``: what was delivered, in figures. Owns its arguments and where the report goes; what is counted
is in ``values/tally.py``, and how it looks in ``values/report_html.py`` and ``values/report_text.py``."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import time
from contextlib import aclosing, suppress

from lf6gateway.disk.compression import INFLATE_ERRORS, inflater
from lf6gateway.edges.commands.delivered_options import (
    STATUSES,
    add_choice,
    add_jobs,
    add_place,
    asked_of,
    number,
    stream,
    window_of,
)
from lf6gateway.edges.commands.delivered_places import Places, complain, with_places
from lf6gateway.edges.commands.refusal import Commands, Refusal
from lf6gateway.edges.progress import ObjectProgress
from lf6gateway.services.ahead import ahead
from lf6gateway.services.catalogue import Source
from lf6gateway.services.reading import digest
from lf6gateway.values.asked import Asked
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.field_path import FieldPath, parse_path
from lf6gateway.values.fingerprint import ErrorFields
from lf6gateway.values.report import report_of
from lf6gateway.values.report_html import report_html
from lf6gateway.values.report_text import report_text
from lf6gateway.values.slot import HOUR_NS
from lf6gateway.values.stream import Stream
from lf6gateway.values.tally import Fields, Tally, TallyReader
from lf6gateway.values.unpack import WINDOW, Unpacker

_BY_HOUR = 14 * 24
"""Hours up to which the report is by hour; beyond it is by day."""
_DEFAULTS = {
    "version": ("version", "app_version", "appVersion", "app.version", "client.version", "release"),
    "message": ("message", "error.message", "msg", "error", "exception.message", "exception", "reason", "detail"),
    "kind": ("type", "error.type", "exception.type", "error.name", "name", "code", "error.code", "kind"),
    "stack": ("stack", "stacktrace", "stack_trace", "error.stack", "exception.stacktrace", "traceback", "backtrace"),
}


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    report = commands.add_parser(
        "report",
        help="tell what was delivered, in figures: volumes, versions, errors, users",
        description="Reads what was delivered and tells how much came in by stream, time and host, of which versions, "
        "which errors are the most frequent (messages that differ in numbers, names and places alone are one), and "
        "from whom, where records tell it. On standard output as text, or with --html as one file that needs nothing "
        f"else. {STATUSES}",
    )
    report.add_argument("streams", nargs="*", type=stream, metavar="STREAM", help=f"some of {', '.join(Stream)}")
    add_place(report)
    add_choice(report)
    form = report.add_argument_group("the report")
    form.add_argument("--html", default=None, metavar="FILE", help="write it as a page; - is standard output")
    form.add_argument("--json", action="store_true", help="write it as one JSON object")
    form.add_argument("--top", type=number(1, 10_000), default=20, metavar="N", help="rows of a table [default: 20]")
    for name, fields in _DEFAULTS.items():
        form.add_argument(
            f"--{name}-field",
            action="append",
            type=_path,
            default=None,
            metavar="FIELD",
            help=f"where in a record the {name} stands, as app.version; may be given again, the first that is there "
            f"counts [default: {', '.join(fields)}]",
        )
    add_jobs(report)
    report.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says; 1 where something could not be read, or there is nothing."""
    if chosen.html is not None and chosen.json:
        raise Refusal("--html and --json are two forms of the report; name one")
    streams = list(dict.fromkeys(chosen.streams)) or list(Stream)
    asked = asked_of(chosen, streams, window_of(chosen, "7d"))
    return with_places(chosen, streams, lambda places: _report(chosen, asked, places), every=bool(chosen.streams))


async def _report(chosen: argparse.Namespace, asked: Asked, places: Places) -> int:
    there = [one for one in asked.streams if one in places.catalogue.sources]
    asked = Asked(there, asked.window, asked.host, None)
    fields = _fields(chosen)
    total = Tally(_unit_hours(asked))
    progress = ObjectProgress("report", places.reactor.seconds)

    async def counted(found: Delivered) -> Tally:
        if found.stream is Stream.SPECIMEN:
            one = Tally(total.unit_hours)
            one.specimen(found)
            return one
        unpacker = Unpacker(lambda: inflater(WINDOW), INFLATE_ERRORS)
        reader = TallyReader(found, fields, total.unit_hours, unpacker, chosen.max_record)
        error = await digest(reader, found, places.store(found.stream), places.offload)
        if error is not None:
            reader.tally.broken(found.key)
        return reader.tally

    async with aclosing(ahead(places.catalogue.objects(asked), counted, chosen.jobs)) as tallies:
        async for found, waiting in tallies:
            one = await waiting
            await places.offload(lambda one=one: total.merge(one))  # type: ignore[misc]
            progress.add(found.size)
    progress.clear()
    if not total.streams:
        complain("there is nothing to report of that time and host; lf6gateway ls shows what is there")
        return 1
    names = sorted({_place(stream, source) for stream, source in places.catalogue.sources.items()})
    facts = report_of(
        total,
        places=", ".join(names),
        window=asked.window,
        host=asked.host,
        now_ns=time.time_ns(),
        most=chosen.top,
    )
    if chosen.json:
        text = json.dumps(facts) + "\n"
    else:
        text = report_html(facts) if chosen.html is not None else report_text(facts)
    if chosen.html in (None, "-"):
        await places.offload(lambda: _print(text))
    else:
        await places.offload(lambda: _write(chosen.html, text))
        complain(f"the report is in {chosen.html}")
    if total.damaged_count:
        complain(f"{total.damaged_count:,} objects could not be read whole; lf6gateway verify tells more")
    return 1 if total.damaged_count else 0


def _place(which: Stream, source: Source) -> str:
    """Where a stream lies, for people; one that lies in the folder of its name is told by what is above it."""
    above = source.prefix.rstrip("/")
    above = above.removesuffix(which.value).rstrip("/") if above.split("/")[-1] == which.value else above
    return f"{source.name}/{above}".rstrip("/")


def _unit_hours(asked: Asked) -> int:
    since, until = asked.window.since_ns, asked.window.until_ns
    if since is None:
        return 24
    hours = ((time.time_ns() if until is None else until) - since) // HOUR_NS
    return 1 if hours <= _BY_HOUR else 24


def _fields(chosen: argparse.Namespace) -> Fields:
    def told(name: str) -> tuple[FieldPath, ...]:
        given = getattr(chosen, f"{name}_field")
        return tuple(given) if given else tuple(map(parse_path, _DEFAULTS[name]))

    return Fields(told("version"), ErrorFields(told("kind"), told("message"), told("stack")))


def _path(text: str) -> FieldPath:
    try:
        return parse_path(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _write(path: str, text: str) -> None:
    """Write a file whole or not at all; a report of before is replaced."""
    temporary = f"{path}.{secrets.token_hex(4)}.part"
    try:
        with open(temporary, "x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise Refusal(f"{path}: {error.strerror or error}; name a file with --html that can be written") from error
