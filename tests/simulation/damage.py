"""What time does to a disk: bits flip, sectors cannot be read any more. Owns the choice of the place, and the reckoning of
which requests it may cost; all others must be there in the end."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.specimen_file import read_head
from lf6gateway.values import frame
from lf6gateway.values.checked import decode_items
from tests.simulation.chance import Chance
from tests.simulation.disk import Disk, Handle, Inode
from tests.simulation.sent import Sent

KINDS = (".seg", ".gz", ".keys", ".key", ".spec", "ledger.json", "spool.json", ".adopt")
_SECTOR = 4096
"""The page cache reads no less."""


def candidates(disk: Disk) -> list[str]:
    """Files that lie there durably, and are nobody's to damage else."""
    found = []
    for path in disk.files("/cache/"):
        inode = disk.inode(path)
        settled = inode.data and not inode.pending and not inode.lost and inode.durable == inode.data
        if settled and not path.startswith("/cache/quarantine/") and _kind(path):
            found.append(path)
    return found


def _kind(path: str) -> str:
    return next((kind for kind in KINDS if path.endswith(kind)), "")


def flip(inode: Inode, at: int, bit: int) -> None:
    """One bit is another."""
    inode.data[at] ^= 1 << bit
    inode.durable = bytes(inode.data)


def damage(
    chance: Chance,
    disk: Disk,
    path: str,
    requests: Sequence[Sent],
    delivered: Mapping[str, bytes],
    *,
    grows: bool,
) -> str:
    """Damage a file somewhere; what happened, for the log. What it may cost is noted with the requests.

    :param delivered: the bytes of the objects that are there.
    :param grows: it is still being written, so what comes later could not be read from a bad sector either.
    """
    inode = disk.inode(path)
    sector = chance(0.4) and not grows
    at = chance.below(len(inode.data))
    start, end = (at - at % _SECTOR, at - at % _SECTOR + _SECTOR) if sector else (at, at + 1)
    cost(disk, path, start, end, requests, delivered, forgets=sector)
    if sector:
        inode.bad.append((start, end))
        return f"{path}: the sector at {start} cannot be read any more"
    bit = chance.below(8)
    flip(inode, at, bit)
    return f"{path}: bit {bit} of byte {at} flips"


def cost(
    disk: Disk,
    path: str,
    start: int,
    end: int,
    requests: Sequence[Sent],
    delivered: Mapping[str, bytes],
    *,
    forgets: bool,
) -> None:
    """Note which requests damage from ``start`` to ``end`` may cost.

    :param forgets: none of the file's idempotency keys can be read.
    """
    data = bytes(disk.inode(path).data)
    kind = _kind(path)
    if kind in (".seg", ".adopt"):
        for sent, first, last in _frames(data, requests):
            sent.hurt = sent.hurt or (first < end and start < last)
            sent.doubtful = sent.doubtful or sent.hurt or forgets
    elif kind == ".gz":
        safe = {one for content in delivered.values() for one in numbers(content)}
        for number in set(numbers(data)) - safe:
            requests[number].hurt = True
    elif kind == ".keys":
        for line in data.splitlines():
            try:
                key = str(decode_items(line)[2])
            except ValueError:
                continue  # it was damaged before
            requests[int(key.removeprefix("key-"))].doubtful = True
    elif kind in (".key", ".spec"):
        try:
            head, _ = read_head(Handle(disk, disk.inode(path), path), path)
        except (Damaged, OSError):
            return  # it was damaged before
        sent = requests[int(head.uri.removeprefix("file-").removesuffix(".txt"))]
        sent.doubtful = True
        sent.hurt = sent.hurt or kind == ".spec"


def numbers(packed: bytes) -> Iterable[int]:
    """The requests whose records a gzip file holds; nothing where it is damaged."""
    try:
        lines = gzip.decompress(packed).splitlines()
    except (OSError, EOFError, zlib.error):
        return []
    return [int(json.loads(line)["id"].partition(".")[0]) for line in lines]


def _frames(data: bytes, requests: Sequence[Sent]) -> Iterable[tuple[Sent, int, int]]:
    """Requests in a segment, and from where to where."""
    at = len(frame.FILE_HEADER)
    while at < len(data):
        header = frame.parse_header(data[at : at + frame.HEADER_BYTES])
        if header is None:
            at += 1
            continue
        payload = data[at + frame.HEADER_BYTES : at + header.length]
        if frame.payload_fits(header, payload) and (lines := frame.decode(header, payload).lines):
            number = int(json.loads(lines.splitlines()[0])["id"].partition(".")[0])
            yield requests[number], at, at + header.length
        at += header.length
