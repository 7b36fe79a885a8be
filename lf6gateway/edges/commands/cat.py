"""``lf6gateway cat``: the records that were delivered, byte for byte, or specimens. Owns its arguments, and what is
told of objects that cannot be read; how specimens are fetched is in ``edges/specimen_out.py``."""

from __future__ import annotations

import argparse
import re
from contextlib import aclosing
from dataclasses import replace

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
from lf6gateway.edges.commands.delivered_places import Places, mended, with_places
from lf6gateway.edges.commands.refusal import Commands, Refusal
from lf6gateway.edges.commands.telling import Telling, told_of
from lf6gateway.edges.records_out import Enough, RecordsOut
from lf6gateway.edges.specimen_out import SpecimenOut
from lf6gateway.services.ahead import each
from lf6gateway.services.last_records import record_reader
from lf6gateway.services.reading import Opened, read_in_order
from lf6gateway.values.asked import Asked
from lf6gateway.values.delivered import Delivered, delivered
from lf6gateway.values.failure import WHOLE_STORE, StoreError
from lf6gateway.values.record_lines import RecordReader
from lf6gateway.values.selection import Selection
from lf6gateway.values.stream import Stream


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    cat = commands.add_parser(
        "cat",
        help="write the records that were delivered, or specimens",
        description="Writes records to standard output, one JSON value a line, byte for byte as they were stored, by "
        "hour and host, in the order they were acknowledged; or a specimen. Objects are read in parallel. One that is "
        f"damaged is told on standard error, what is whole of it is written, and the rest goes on. {STATUSES}",
    )
    cat.add_argument("stream", type=stream, metavar="STREAM", help=f"one of {', '.join(Stream)}")
    cat.add_argument("keys", nargs="*", metavar="KEY", help="these objects alone, as ls shows their keys")
    add_place(cat)
    add_choice(cat)
    add_records(cat)
    cat.add_argument("--limit", type=number(1, 1 << 60), default=None, metavar="N", help="stop after so many records")
    cat.add_argument(
        "-o",
        "--output",
        default=None,
        metavar="FILE",
        help="specimens: the file to write; with several specimens, or a slash at its end, a folder. Nothing that is "
        "there is written over",
    )
    add_jobs(cat)
    cat.add_argument("--json", action="store_true", help="what is told on standard error is JSON, one object a line")
    cat.set_defaults(run=run)


def add_records(parser: argparse.ArgumentParser) -> None:
    """Let a command be told which records count."""
    which = parser.add_argument_group("which records count")
    which.add_argument(
        "--user", default=None, help="whose; records tell it only where records.envelope was on when they came in"
    )
    which.add_argument("--grep", default=None, metavar="PATTERN", help="those in whose line this regular expression is")
    which.add_argument("--bare", action="store_true", help="without their envelopes, as they were sent")


def selection_of(chosen: argparse.Namespace) -> Selection:
    """Which records are asked for.

    :raises Refusal: it makes no sense.
    """
    pattern = None
    if chosen.grep is not None:
        try:
            pattern = re.compile(chosen.grep.encode("utf-8", "surrogateescape"))
        except re.error as error:
            raise Refusal(f"--grep is no regular expression: {error}; put \\ before what is meant as it is") from error
    return Selection(user=chosen.user, grep=pattern, bare=chosen.bare)


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says; 1 where something could not be read, or there is nothing."""
    window = window_of(chosen)
    asked = asked_of(chosen, [chosen.stream], window, chosen.user)
    if chosen.stream is Stream.SPECIMEN:
        if chosen.grep is not None or chosen.bare or chosen.limit is not None:
            raise Refusal("--grep, --bare and --limit are for records; leave them out, or name the stream of some")
        return with_places(chosen, [chosen.stream], lambda places: _specimens(chosen, asked, places))
    if chosen.output is not None:
        raise Refusal("-o is for specimens; records go to standard output, so write > FILE")
    selection = replace(selection_of(chosen), window=window)
    return with_places(chosen, [chosen.stream], lambda places: _records(chosen, asked, selection, places))


async def _records(chosen: argparse.Namespace, asked: Asked, selection: Selection, places: Places) -> int:
    out = RecordsOut(places.offload, chosen.limit)
    telling = Telling(chosen.json)
    source = places.catalogue.sources[chosen.stream]
    objects = places.catalogue.objects(asked)
    if chosen.keys:
        objects = each(_named(chosen.stream, chosen.keys, source.prefix, source.name))

    def make(found: Delivered) -> RecordReader:
        return record_reader(found, selection, chosen.max_record)

    count = seen = nobody = 0
    opened = read_in_order(objects, make, lambda found: source.store, offload=places.offload, at_once=chosen.jobs)
    try:
        async with aclosing(opened) as objects_read:
            async for one in objects_read:
                count += 1
                try:
                    await _written(one, out)
                except StoreError as error:
                    if error.kind in WHOLE_STORE:
                        raise
                    telling.wrong(mended(error, bool(chosen.places)), one.found.key)
                told_of(one.found, one.reader, telling)
                seen += one.reader.seen
                nobody += one.reader.without_envelope
    except Enough:
        return 1 if telling.told else 0
    if not count:
        telling.wrong(f"no {chosen.stream} objects are there of that time and host; lf6gateway ls shows what is there")
    if nobody:
        telling.say(
            f"{nobody:,} of {seen:,} records do not tell their user, and were left out: records.envelope was off when "
            "they came in"
        )
    return 1 if telling.told or (nobody and nobody == seen) else 0


async def _written(one: Opened[RecordReader], out: RecordsOut) -> None:
    async for block in one.blocks:
        await out.write(block)


def _named(which: Stream, keys: list[str], prefix: str, name: str) -> list[Delivered]:
    """The objects that were named by their keys."""
    named = []
    for key in dict.fromkeys(keys):
        bare = key.removeprefix(f"s3://{name}/")
        found = delivered(which, prefix, bare, 0, "", 0)
        if found is None:
            raise Refusal(
                f"{key} is no key of a {which} object at {prefix or name}; lf6gateway ls {which} shows which there are"
            )
        named.append(found)
    return named


async def _specimens(chosen: argparse.Namespace, asked: Asked, places: Places) -> int:
    source = places.catalogue.sources[Stream.SPECIMEN]
    if not chosen.keys and asked.user is None and asked.window.everything:
        raise Refusal("say which: specimens' keys, as lf6gateway ls specimen shows them, or --user, --since or --hour")
    telling = Telling(chosen.json)
    objects = places.catalogue.objects(asked)
    if chosen.keys:
        objects = each(_named(Stream.SPECIMEN, chosen.keys, source.prefix, source.name))
    one = len(chosen.keys) == 1 and not (chosen.output or "").endswith("/")
    out = SpecimenOut(source.store, places.offload, chosen.output, one)
    async with aclosing(objects) as found:
        async for specimen in found:
            try:
                path = await out.fetch(specimen)
            except (StoreError, ValueError) as error:
                if isinstance(error, StoreError) and error.kind in WHOLE_STORE:
                    raise
                words = mended(error, bool(chosen.places)) if isinstance(error, StoreError) else str(error)
                telling.wrong(words, specimen.key)
            else:
                if path is not None:
                    telling.say(path, specimen.key)
    if not out.fetched and not telling.told:
        telling.wrong("no specimens are there of that time and user; lf6gateway ls specimen shows what is there")
    return 1 if telling.told else 0
