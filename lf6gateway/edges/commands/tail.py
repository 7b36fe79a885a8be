"""``lf6gateway tail``: the last records that were delivered, and with ``-f`` those that come. Owns its arguments; how
the last are found and the next followed is in ``services/``."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

from lf6gateway.edges.commands.cat import add_records, selection_of
from lf6gateway.edges.commands.delivered_options import STATUSES, add_choice, add_jobs, add_place, number, window_of
from lf6gateway.edges.commands.delivered_places import Places, with_places
from lf6gateway.edges.commands.refusal import Commands, Refusal
from lf6gateway.edges.commands.telling import Telling, told_of
from lf6gateway.edges.records_out import RecordsOut
from lf6gateway.services.following import Following
from lf6gateway.services.last_records import LastRecords
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.duration import Duration, parse_duration
from lf6gateway.values.object_key import clean_hostname
from lf6gateway.values.record_lines import RecordReader
from lf6gateway.values.selection import Selection
from lf6gateway.values.stream import RECORD_STREAMS, Stream


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    tail = commands.add_parser(
        "tail",
        help="write the last records that were delivered, and follow those that come",
        description="Writes the last records of a stream to standard output, one JSON value a line. With -f it goes on "
        "with what is delivered from then on, over the turn of the hour and failures of the store; only what objects "
        f"gain is read. {STATUSES}",
    )
    tail.add_argument("stream", type=_stream, metavar="STREAM", help=f"one of {', '.join(RECORD_STREAMS)}")
    tail.add_argument(
        "-n", "--lines", type=number(0, 1_000_000), default=10, metavar="N", help="how many records [default: 10]"
    )
    tail.add_argument("-f", "--follow", action="store_true", help="go on with what comes, until it is interrupted")
    tail.add_argument(
        "--every", type=_span, default=parse_duration("2s"), metavar="SPAN", help="between two looks [default: 2s]"
    )
    add_place(tail)
    add_choice(tail)
    add_records(tail)
    add_jobs(tail)
    tail.add_argument("--json", action="store_true", help="what is told on standard error is JSON, one object a line")
    tail.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says; 1 where something could not be read, or there is nothing."""
    window = window_of(chosen)
    if chosen.follow and window.until_ns is not None:
        raise Refusal("-f follows what comes, which --until and --hour would end; leave those out")
    selection = replace(selection_of(chosen), window=window)
    return with_places(chosen, [chosen.stream], lambda places: _tail(chosen, selection, places))


async def _tail(chosen: argparse.Namespace, selection: Selection, places: Places) -> int:
    out = RecordsOut(places.offload, None)
    telling = Telling(chosen.json)
    nobody = seen = 0

    def told(found: Delivered, reader: RecordReader) -> None:
        nonlocal nobody, seen
        nobody += reader.without_envelope
        seen += reader.seen
        told_of(found, reader, telling)

    host = None if chosen.host is None else clean_hostname(chosen.host)
    following = Following(
        places.catalogue,
        chosen.stream,
        host,
        selection=selection,
        longest=chosen.max_record,
        offload=places.offload,
        clock=places.reactor,
        now_ns=time.time_ns,
        write=out.write,
        told=told,
        say=telling.say,
    )
    known = await following.begin() if chosen.follow else None
    last = LastRecords(
        places.catalogue,
        offload=places.offload,
        selection=selection,
        known=known,
        longest=chosen.max_record,
        told=told,
    )
    found = await last.find(chosen.stream, host, chosen.lines)
    if found:
        await out.write(b"".join(found))
    if last.cut_short:
        telling.say("older hours were not looked at; give --since to go further back")
    if nobody:
        telling.say(
            f"{nobody:,} of {seen:,} records do not tell their user, and were left out: records.envelope was off when "
            "they came in"
        )
    if chosen.follow:
        await following.follow(chosen.every.seconds, out.check)
    if not found and chosen.lines and not telling.told:
        telling.wrong(f"no {chosen.stream} records are there of that kind; lf6gateway ls shows which objects are there")
    return 1 if telling.told else 0


def _stream(text: str) -> Stream:
    if text not in RECORD_STREAMS:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is no stream of records; there are {', '.join(RECORD_STREAMS)}; lf6gateway ls specimen "
            "--since 1h shows the newest specimens"
        )
    return Stream(text)


def _span(text: str) -> Duration:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} {error}") from error
