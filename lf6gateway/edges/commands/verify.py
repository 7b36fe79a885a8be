"""``lf6gateway verify``: whether what was delivered is whole. Owns its arguments and its report; what is right is
decided in ``values/object_check.py``."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from lf6gateway.disk.compression import INFLATE_ERRORS, inflater
from lf6gateway.edges.commands.delivered_options import (
    STATUSES,
    add_choice,
    add_jobs,
    add_place,
    asked_of,
    stream,
    window_of,
)
from lf6gateway.edges.commands.delivered_places import Places, complain, mended, with_places
from lf6gateway.edges.commands.refusal import Commands
from lf6gateway.edges.progress import ObjectProgress
from lf6gateway.services.ahead import ahead
from lf6gateway.services.reading import digest
from lf6gateway.values.asked import Asked
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.object_check import RecordsCheck, SpecimenCheck, Verdict, Wrong
from lf6gateway.values.printable import printable, size_text
from lf6gateway.values.stream import Stream
from lf6gateway.values.unpack import WINDOW, Unpacker


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    verify = commands.add_parser(
        "verify",
        help="compare the objects that were delivered with their digests and counts",
        description="Reads objects and compares them with what is known of them: that each gzip member is whole and "
        "fits its digest and count, that no member is there twice, that the metadata's cursors fit, that each line is "
        "one JSON value, that records with an envelope are of the hour in the key, and specimens against their "
        f"SHA-256. Nothing is changed. {STATUSES}",
    )
    verify.add_argument("streams", nargs="*", type=stream, metavar="STREAM", help=f"some of {', '.join(Stream)}")
    add_place(verify)
    add_choice(verify)
    verify.add_argument("--user", default=None, help="whose specimens; records are left out then")
    add_jobs(verify)
    verify.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line for each object, and one with the summary at the end",
    )
    verify.set_defaults(run=run)


@dataclass(slots=True)
class _Sum:
    objects: int = 0
    bytes: int = 0
    records: int = 0
    members: int = 0
    wrong: int = 0
    unproven: int = 0


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says; 1 where anything is wrong, or there is nothing."""
    streams = list(dict.fromkeys(chosen.streams)) or list(Stream)
    if chosen.user is not None:
        streams = [Stream.SPECIMEN]
    asked = asked_of(chosen, streams, window_of(chosen), chosen.user)
    return with_places(chosen, streams, lambda places: _verify(chosen, asked, places), every=bool(chosen.streams))


async def _verify(chosen: argparse.Namespace, asked: Asked, places: Places) -> int:
    there = [one for one in asked.streams if one in places.catalogue.sources]
    asked = Asked(there, asked.window, asked.host, asked.user)
    progress = ObjectProgress("verify", places.reactor.seconds)
    total = _Sum()

    async def checked(found: Delivered) -> Verdict:
        return await check(found, places, chosen.max_record, bool(chosen.places))

    async with aclosing(ahead(places.catalogue.objects(asked), checked, chosen.jobs)) as verdicts:
        async for found, waiting in verdicts:
            verdict = await waiting
            progress.add(found.size)
            total.objects += 1
            total.bytes += found.size
            total.records += verdict.records
            total.members += verdict.members
            total.wrong += bool(verdict.wrong)
            total.unproven += not verdict.proven
            if verdict.wrong or chosen.json:
                progress.clear()
                _tell(found, verdict, chosen.json)
    progress.clear()
    _summary(total, chosen.json)
    if not total.objects:
        complain("there was nothing to verify of that time, host and user; lf6gateway ls shows what is there")
        return 1
    return 1 if total.wrong else 0


async def check(found: Delivered, places: Places, longest: int, named: bool) -> Verdict:
    """The verdict on one object.

    :param longest: bytes of a record.
    :param named: whether the place was named on the command line.
    :raises StoreError: the store failed, and would for others.
    """
    store = places.store(found.stream)
    present = await store.head(found.key)
    if present is None:
        return Verdict(wrong=[Wrong("it was listed, and is not there", "see who removes objects there")])
    reader: RecordsCheck | SpecimenCheck
    if found.stream is Stream.SPECIMEN:
        reader = SpecimenCheck(found, present.metadata)
    else:
        unpacker = Unpacker(lambda: inflater(WINDOW), INFLATE_ERRORS, digests=True)
        reader = RecordsCheck(found, present.metadata, unpacker, longest)
    error = await digest(reader, found, store, places.offload)
    if error is not None:
        return Verdict(wrong=[Wrong(mended(error, named), "see whether it is there, and may be read")])
    after = await store.head(found.key)
    if reader.verdict.wrong and after is not None and after.etag != present.etag:
        return await check(found, places, longest, named)  # it grew meanwhile, so its metadata were older than it
    return reader.verdict


def _tell(found: Delivered, verdict: Verdict, as_json: bool) -> None:
    if as_json:
        facts: dict[str, Any] = {
            "stream": found.stream.value,
            "key": found.key,
            "size": found.size,
            "ok": not verdict.wrong,
            "proven": verdict.proven,
        }
        if found.stream is not Stream.SPECIMEN:
            facts |= {"records": verdict.records, "members": verdict.members}
        facts["problems"] = [{"what": one.what, "remedy": one.remedy} for one in verdict.wrong]
        facts["more_problems"] = verdict.more
        print(json.dumps(facts), flush=True)
        return
    for one in verdict.wrong:
        print(f"WRONG   {printable(found.key)}: {printable(one.what)}")
        print(f"        to mend it: {printable(one.remedy)}", flush=True)
    if verdict.more:
        print(f"        and {verdict.more} more", flush=True)


def _summary(total: _Sum, as_json: bool) -> None:
    if as_json:
        print(
            json.dumps(
                {
                    "summary": {
                        "objects": total.objects,
                        "bytes": total.bytes,
                        "records": total.records,
                        "members": total.members,
                        "wrong": total.wrong,
                        "without_digest": total.unproven,
                    }
                }
            )
        )
    else:
        state = f"{total.wrong:,} wrong" if total.wrong else "all well"
        print(
            f"{total.objects:,} objects, {size_text(total.bytes)}, {total.records:,} records in {total.members:,} "
            f"members: {state}"
        )
        if total.unproven:
            print(
                f"{total.unproven:,} of them have no digest of all their bytes: another program wrote to them, or they "
                "were copied without their metadata"
            )
    sys.stdout.flush()
