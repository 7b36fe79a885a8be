"""``lf6gateway spool quarantine``: what could not be read, and what is to become of it. Owns what is asked and what is
shown of it; must never let what is shown steer the terminal, nor delete anything without being told twice."""

from __future__ import annotations

import argparse
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.durable import read_pieces
from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.put_back import ask, remove
from lf6gateway.disk.segment import Segment, Whole, read_segment
from lf6gateway.disk.set_aside import Kind, SetAside, hindrance, listing
from lf6gateway.disk.specimen_file import read_head
from lf6gateway.edges.commands.cache_dir import add_spool
from lf6gateway.edges.commands.refusal import Commands, Refusal
from lf6gateway.edges.commands.terminal import size, table
from lf6gateway.values import member
from lf6gateway.values.printable import printable
from lf6gateway.values.settings_problem import shown
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream

_PREVIEW: Final = 4096
_LONGEST: Final = 1 << 20


def add_parser(commands: Commands) -> None:
    """Describe the actions to the command line."""
    quarantine = commands.add_parser(
        "quarantine",
        help="what was set aside and why; put it back, or remove it",
        description="What a gateway could not read lies whole under cache_dir/quarantine, and nothing waits for it. "
        "Status 0: done; 1: it cannot be done.",
    )
    which = quarantine.add_subparsers(dest="quarantine", required=True, metavar="ACTION")
    ls = which.add_parser("ls", help="what lies there, and why")
    ls.add_argument("--json", action="store_true", help="one JSON object")
    show = which.add_parser(
        "show", help="a preview, with control characters escaped", description="Shows what can be read of one thing."
    )
    show.add_argument("--bytes", type=_bytes, default=_PREVIEW, help=f"how much of it [default: {_PREVIEW}]")
    show.add_argument("--json", action="store_true", help="one JSON object")
    retry = which.add_parser(
        "retry",
        help="have it tried again",
        description="Asks for another try: the next start of the gateway, or of lf6gateway ship, puts the file back "
        "into the spool and delivers what can be read of it, each record once. A gateway that runs is not disturbed. "
        "What is still damaged comes back into quarantine.",
    )
    rm = which.add_parser(
        "rm",
        help="delete it for good",
        description="Says what would be lost, and with --yes deletes it. Status 1 without --yes.",
    )
    rm.add_argument("--yes", action="store_true", help="do it")
    show.add_argument("name", help="as ls shows it")
    for one in (retry, rm):
        one.add_argument("name", nargs="+", help="as ls shows it; all: everything")
        one.add_argument("--json", action="store_true", help="one JSON object")
    for one in (ls, show, retry, rm):
        add_spool(one)


def _bytes(text: str) -> int:
    if not text.isdigit() or not text.isascii() or not 1 <= int(text) <= _LONGEST:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no number from 1 to {_LONGEST}")
    return int(text)


def run(chosen: argparse.Namespace, cache_dir: str) -> int:
    """Do what the command line says.

    :raises Refusal: it cannot be done.
    """
    actions: dict[str, Callable[[argparse.Namespace, list[SetAside]], int]]
    actions = {"ls": _ls, "show": _show, "retry": _retry, "rm": _rm}
    return actions[chosen.quarantine](chosen, list(listing(OsFileSystem(), cache_dir)))


def _facts(one: SetAside) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind.value,
        "bytes": one.bytes,
        "at": one.at,
        "from": one.source,
        "why": one.why,
        "retry": "asked" if one.wanted else hindrance(one) or "possible",
    }


def _ls(chosen: argparse.Namespace, found: list[SetAside]) -> int:
    if chosen.json:
        print(json.dumps({"quarantine": [_facts(one) for one in found]}))
        return 0
    rows = [["NAME", "KIND", "BYTES", "SINCE", "RETRY", "WHY"]]
    for one in found:
        retry = "asked" if one.wanted else "no" if hindrance(one) else "yes"
        rows.append(
            [one.name, one.kind.value, "-" if one.bytes is None else size(one.bytes), one.at[:19], retry, one.why[:160]]
        )
    if found:
        table(rows, right=(2,))
    else:
        print("nothing is in quarantine")
    return 0


def _named(found: list[SetAside], names: list[str]) -> list[SetAside]:
    if names == ["all"]:
        return found
    known = {one.name: one for one in found}
    for name in names:
        if name not in known:
            raise Refusal(f"{shown(name)} is not in quarantine; lf6gateway spool quarantine ls shows what is")
    return [known[name] for name in dict.fromkeys(names)]


def _show(chosen: argparse.Namespace, found: list[SetAside]) -> int:
    (one,) = _named(found, [chosen.name])
    preview, cut = _preview(one, chosen.bytes)
    if chosen.json:
        print(json.dumps({**_facts(one), "preview": preview, "cut": cut}))
        return 0
    for name, value in _facts(one).items():
        print(printable(f"{name}: {value}"))
    print()
    for line in preview.removesuffix("\n").split("\n"):
        print(printable(line))
    if cut:
        print(f"... and more; --bytes shows up to {_LONGEST}")
    return 0


def _preview(one: SetAside, most: int) -> tuple[str, bool]:
    """What can be read of a thing as text, and whether that was cut."""
    parts, length = [], 0
    if one.bytes is None:
        return "", False
    for piece in _readable(one, most):
        parts.append(piece[: most - length])
        length += len(piece)
        if length > most:
            break
    text = b"".join(parts).decode("utf-8", "backslashreplace")
    return text, length > most


def _readable(one: SetAside, most: int) -> Iterator[bytes]:
    """The sound records of a segment, what can be unpacked of a member, what is known of a specimen; else the bytes."""
    fs = OsFileSystem()
    name = one.source.rpartition("/")[2]
    whole = one.kind is not Kind.RANGE
    seen = False
    try:
        if whole and name.endswith(".seg"):
            for found in read_segment(fs, Segment(Stream.USAGE, Slot(0), 0, "", one.path)):
                if isinstance(found, Whole):
                    seen = True
                    yield found.entry.lines
        elif whole and name.endswith(".gz"):
            inflate = zlib.decompressobj(31)
            for piece in read_pieces(fs, one.path):
                out = inflate.decompress(piece, most + 1)
                seen = seen or bool(out)
                yield out
        elif whole and name.endswith((".spec", ".key")):
            handle = fs.open(one.path)
            try:
                head, at = read_head(handle, one.path)
                seen = True
                yield f"user: {head.user}\nuri: {head.uri}\ncontent type: {head.content_type}\n\n".encode()
                yield handle.read_at(at, most + 1)
            finally:
                handle.close()
    except (Damaged, zlib.error):
        pass  # the bytes as they are tell more
    if not seen:
        yield from read_pieces(fs, one.path)


def _retry(chosen: argparse.Namespace, found: list[SetAside]) -> int:
    asked, refused = [], []
    for one in _named(found, chosen.name):
        why = hindrance(one)
        if why:
            refused.append({"name": one.name, "why": why})
            continue
        if not one.wanted:
            ask(OsFileSystem(), one)
        asked.append(one.name)
    if chosen.json:
        print(json.dumps({"asked": asked, "refused": refused}))
    else:
        for name in asked:
            print(printable(f"{name}: the next start puts it back into the spool and tries it again"))
        for each in refused:
            print(printable(f"lf6gateway: {each['name']} stays: {each['why']}"), file=sys.stderr)
    return 1 if refused else 0


def _rm(chosen: argparse.Namespace, found: list[SetAside]) -> int:
    gone = []
    for one in _named(found, chosen.name):
        lost = _loss(one)
        if chosen.yes:
            remove(OsFileSystem(), one)
        gone.append({"name": one.name, "lost": lost})
        if not chosen.json:
            print(printable(f"{one.name}: {'removed' if chosen.yes else 'would be lost'}: {lost}"))
    if chosen.json:
        print(json.dumps({"removed": chosen.yes, "files": gone}))
    elif not chosen.yes and gone:
        print("lf6gateway: nothing was removed; repeat it with --yes", file=sys.stderr)
    return 0 if chosen.yes or not gone else 1


def _loss(one: SetAside) -> str:
    """What goes for good with a thing, as far as it tells."""
    if one.bytes is None:
        return "a note alone"
    if one.kind is Kind.COPY:
        return f"a copy of {size(one.bytes)}; what it is of was used all the same"
    what, home = f"{size(one.bytes)}", one.home
    if one.kind is Kind.WHOLE and home is not None:
        stream, slot, _ = home
        if stream in RECORD_STREAMS:
            return f"{what}, {_count(one)} of {stream.value} of the hour {slot.name}"
        return f"{what}, a specimen of the hour {slot.name}"
    return f"{what} that could not be read"


def _count(one: SetAside) -> str:
    fs = OsFileSystem()
    try:
        if one.source.endswith(".gz"):
            found = member.parse_header(next(read_pieces(fs, one.path), b"")[: member.HEADER_BYTES])
            return "records whose count is not known" if found is None else f"{found.records} records"
        segment = Segment(Stream.USAGE, Slot(0), 0, "", one.path)
        return (
            f"{sum(f.entry.count for f in read_segment(fs, segment) if isinstance(f, Whole))} records that can be read"
        )
    except Damaged:
        return "records, none of which can be read"
