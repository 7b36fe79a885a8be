"""``lf6gateway spool``: looks into a cache directory, also while a gateway runs on it. Owns what is asked and what is
shown; must never take the directory's lock, nor change a byte of the spool itself."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.identity import FormatUnknown, Identity, read_identity
from lf6gateway.disk.inventory import Held, HourLying, SpecimenHour, held, hours_lying, specimen_hours
from lf6gateway.disk.proof import Proven, prove
from lf6gateway.disk.records import records
from lf6gateway.disk.set_aside import listing
from lf6gateway.disk.specimen_file import Specimen, read_specimen, verify
from lf6gateway.disk.specimens import waiting_specimens
from lf6gateway.edges.commands import spool_quarantine
from lf6gateway.edges.commands.cache_dir import add_spool, chosen_cache_dir, reading
from lf6gateway.edges.commands.refusal import Commands, Refusal
from lf6gateway.edges.commands.terminal import age, size, table
from lf6gateway.edges.progress import ProgressLine
from lf6gateway.values.printable import printable
from lf6gateway.values.settings_problem import shown
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream

_PIECE = 1 << 20


def add_parser(commands: Commands) -> None:
    """Describe the command to the command line."""
    spool = commands.add_parser(
        "spool",
        help="look at what waits in a cache directory, and at what was set aside",
        description="Looks at a cache directory without changing it and without its lock, so that a gateway may run on "
        "it meanwhile. Status 0: done; 1: something is damaged, or cannot be done; 2: wrong usage.",
    )
    which = spool.add_subparsers(dest="action", required=True, metavar="ACTION")
    ls = which.add_parser(
        "ls", help="what waits, by stream and hour", description="Lists what lies in the spool. Status 0."
    )
    ls.add_argument("--files", action="store_true", help="each file, and of specimens user and uri")
    ls.add_argument("--json", action="store_true", help="one JSON object")
    cat = which.add_parser(
        "cat",
        help="the records still in the spool, as NDJSON",
        description="Writes the records that lie in the spool, byte for byte and in order, or the bytes of one "
        "specimen. Status 0: all of them; 1: some could not be read, which ones stands on standard error.",
    )
    cat.add_argument("stream", choices=[stream.value for stream in Stream])
    cat.add_argument("id", nargs="?", default=None, help="of a specimen, as ls --files shows it")
    cat.add_argument("--hour", type=_hour, default=None, metavar="YYYYMMDDHH", help="only this hour (UTC)")
    cat.add_argument(
        "--waiting",
        action="store_true",
        help="without those that are in their object already and are kept to write it anew",
    )
    proof = which.add_parser(
        "verify",
        help="compare every checksum",
        description="Reads every file and compares its checksums. Status 0: all is well; 1: something is damaged.",
    )
    proof.add_argument("--json", action="store_true", help="one JSON object")
    for one in (ls, cat, proof):
        add_spool(one)
    spool_quarantine.add_parser(which)
    spool.set_defaults(run=run)


def _hour(text: str) -> Slot:
    try:
        return Slot.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(chosen: argparse.Namespace) -> int:
    """Do what the command line says.

    :raises Refusal: it cannot be done.
    """
    cache_dir = chosen_cache_dir(chosen)
    actions = {"ls": _ls, "cat": _cat, "verify": _verify, "quarantine": spool_quarantine.run}
    with reading(cache_dir):
        return actions[chosen.action](chosen, cache_dir)


def identity_of(cache_dir: str) -> Identity | None:
    """What a cache directory says of itself; ``None`` where it says nothing that can be read."""
    try:
        return read_identity(OsFileSystem(), cache_dir)
    except FileNotFoundError:
        return None
    except (ValueError, FormatUnknown) as error:
        print(f"lf6gateway: {cache_dir}/spool.json: {error}", file=sys.stderr)
        return None


def _moment(nanoseconds: int | None) -> str | None:
    if nanoseconds is None:
        return None
    return datetime.fromtimestamp(nanoseconds / 1e9, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _ls(chosen: argparse.Namespace, cache_dir: str) -> int:
    fs, root = OsFileSystem(), os.path.join(cache_dir, "spool")
    identity = identity_of(cache_dir)
    hours: list[dict[str, Any]] = []
    for stream in RECORD_STREAMS:
        for hour in hours_lying(fs, root, stream):
            found = list(held(fs, hour))
            if found:
                hours.append(_record_hour(hour, found, chosen.files))
    hours += [_specimen_hour(one) for one in specimen_hours(fs, root)]
    quarantined = [one for one in listing(fs, cache_dir) if one.bytes is not None]
    told: dict[str, Any] = {
        "cache_dir": cache_dir,
        "host": (identity.host or None) if identity else None,
        "spool": identity.spool if identity else None,
        "hours": hours,
        "quarantine": {"files": len(quarantined), "bytes": sum(one.bytes or 0 for one in quarantined)},
    }
    if chosen.files:
        told["specimens"] = list(_specimens(fs, root))
    if chosen.json:
        print(json.dumps(told))
    else:
        _show(told)
    return 0


def _record_hour(hour: HourLying, found: list[Held], files: bool) -> dict[str, Any]:
    waiting = [one for one in found if not one.shipped]
    oldest = min((one.oldest_ns for one in waiting), default=None)
    told: dict[str, Any] = {
        "stream": hour.stream.value,
        "hour": hour.slot.name,
        "files": len(found),
        "bytes": sum(one.file.size for one in found),
        "records": sum(one.records for one in found),
        "waiting": sum(one.records for one in waiting),
        "waiting_bytes": sum(one.file.size for one in waiting),
        "oldest": _moment(oldest),
        "damaged": sum(not one.sound for one in found),
        "unfinished": 0,
    }
    if files:
        told["names"] = [
            {
                "name": os.path.basename(one.file.path),
                "bytes": one.file.size,
                "records": one.records,
                "shipped": one.shipped,
                "damaged": not one.sound,
            }
            for one in found
        ]
    return told


def _specimen_hour(hour: SpecimenHour) -> dict[str, Any]:
    return {
        "stream": Stream.SPECIMEN.value,
        "hour": hour.slot.name,
        "files": hour.files,
        "bytes": hour.bytes,
        "records": hour.files,
        "waiting": hour.files,
        "waiting_bytes": hour.bytes,
        "oldest": _moment(hour.oldest_ns),
        "damaged": 0,
        "unfinished": hour.unfinished,
    }


def _specimens(fs: OsFileSystem, root: str) -> Iterator[dict[str, Any]]:
    for path, length in waiting_specimens(fs, root):
        try:
            one = read_specimen(fs, path)
        except FileNotFoundError:
            continue
        except Damaged as damage:
            name = os.path.basename(path).removesuffix(".spec")
            yield {"id": name.partition("-")[2], "bytes": length, "damaged": damage.why}
        else:
            received = _moment(one.head.received_ns)
            yield {"id": one.id, "bytes": one.length, "user": one.user, "uri": one.head.uri, "received": received}


def _show(told: dict[str, Any]) -> None:
    now = time.time()
    rows = [["STREAM", "HOUR", "FILES", "BYTES", "RECORDS", "WAITING", "OLDEST"]]
    for hour in told["hours"]:
        oldest = hour["oldest"]
        old = "" if oldest is None else age(now - datetime.fromisoformat(oldest).timestamp())
        rows.append(
            [
                hour["stream"],
                hour["hour"],
                str(hour["files"]),
                size(hour["bytes"]),
                str(hour["records"]),
                str(hour["waiting"]),
                old,
            ]
        )
    if len(rows) > 1:
        table(rows, right=(2, 3, 4, 5, 6))
    for hour in told["hours"]:
        for name in hour.get("names", ()):
            state = "damaged" if name["damaged"] else "in its object" if name["shipped"] else "waits"
            print(f"{hour['stream']}/{hour['hour']}/{name['name']}  {size(name['bytes'])}  {name['records']}  {state}")
    for one in told.get("specimens", ()):
        what = f"damaged: {one['damaged']}" if "damaged" in one else f"{one['user']}  {one['uri'][:200]}"
        print(printable(f"specimen  {one['id']}  {size(one['bytes'])}  {what}"))
    records = sum(hour["waiting"] for hour in told["hours"] if hour["stream"] != Stream.SPECIMEN.value)
    specimens = sum(hour["waiting"] for hour in told["hours"] if hour["stream"] == Stream.SPECIMEN.value)
    waiting_bytes = sum(hour["waiting_bytes"] for hour in told["hours"])
    whose = f", host {told['host']}" if told["host"] else ""
    print(
        printable(
            f"{told['cache_dir']}{whose}: {records} records and {specimens} specimens wait, {size(waiting_bytes)}"
        )
    )
    damaged = sum(hour["damaged"] for hour in told["hours"])
    if damaged:
        print(f"{damaged} files are damaged; lf6gateway spool verify says where")
    if told["quarantine"]["files"]:
        print(f"{told['quarantine']['files']} files are in quarantine; lf6gateway spool quarantine ls lists them")


def _cat(chosen: argparse.Namespace, cache_dir: str) -> int:
    fs, root, stream = OsFileSystem(), os.path.join(cache_dir, "spool"), Stream(chosen.stream)
    if stream is Stream.SPECIMEN:
        if chosen.id is None:
            raise Refusal("say which specimen: its id, as lf6gateway spool ls --files shows it")
        return _cat_specimen(fs, root, chosen.id)
    if chosen.id is not None:
        raise Refusal("only a specimen is named by an id; choose records with --hour")
    bad = 0

    def trouble(damage: Damaged) -> None:
        nonlocal bad
        bad += 1
        sys.stdout.flush()
        print(f"lf6gateway: {printable(str(damage))}", file=sys.stderr)

    out = sys.stdout.buffer
    for hour in hours_lying(fs, root, stream):
        if chosen.hour is not None and hour.slot != chosen.hour:
            continue
        if chosen.waiting and hour.ledger is not None:
            hour.files = [file for file in hour.files if file.id not in hour.ledger.shipped]
        for piece in records(fs, hour, trouble):
            out.write(piece)
    out.flush()
    return 1 if bad else 0


def _cat_specimen(fs: OsFileSystem, root: str, identity: str) -> int:
    for path, _ in waiting_specimens(fs, root):
        if not path.endswith(f"-{identity}.spec"):
            continue
        try:
            one: Specimen = read_specimen(fs, path)
            verify(fs, one)
        except Damaged as damage:
            raise Refusal(f"{damage}; lf6gateway spool quarantine keeps what a gateway could not read") from damage
        except FileNotFoundError:
            break
        handle = fs.open(path)
        try:
            for start in range(0, one.length, _PIECE):
                sys.stdout.buffer.write(handle.read_at(one.offset + start, min(_PIECE, one.length - start)))
        finally:
            handle.close()
        sys.stdout.buffer.flush()
        return 0
    raise Refusal(f"no specimen {shown(identity)} waits here; lf6gateway spool ls --files shows those that do")


def _verify(chosen: argparse.Namespace, cache_dir: str) -> int:
    progress = ProgressLine()
    files = total = 0
    damaged: list[Proven] = []

    def so_far() -> str:
        return f"{files} files, {size(total)}, {len(damaged)} damaged"

    for one in prove(OsFileSystem(), cache_dir):
        files += 1
        total += one.bytes
        progress.show(so_far)
        if one.damage:
            damaged.append(one)
        if chosen.json or not (one.damage or one.note):
            continue
        progress.clear()
        for damage in one.damage:
            print(printable(f"damaged  {damage}"))
        if one.note:
            print(printable(f"note     {one.path}: {one.note}"))
    progress.clear()
    if chosen.json:
        faults = [{"path": d.path, "offset": d.offset, "why": d.why} for one in damaged for d in one.damage]
        print(json.dumps({"cache_dir": cache_dir, "files": files, "bytes": total, "damaged": faults}))
    elif damaged:
        print(f"{len(damaged)} of {files} files are damaged; a gateway sets them aside and delivers all others")
    else:
        print(f"{files} files, {size(total)}: all as they were written")
    return 1 if damaged else 0
