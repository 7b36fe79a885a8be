"""The idempotency keys on disk: in a file beside each sealed member for as long as they count (before that, they are in
its segment). Owns that file's format (JSON lines) and its removal; must never be needed to deliver a record."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator, Sequence

from twisted.logger import Logger

from lf6gateway.disk.durable import read_pieces, replace_file
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.folders import parse_name
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.values.checked import decode_items, encode_items
from lf6gateway.values.idempotency import KeyUse
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream

_log = Logger()


def write_keys(fs: FileSystem, path: str, uses: Sequence[KeyUse]) -> None:
    """Write the keys of a segment durably. Blocks."""
    replace_file(fs, path, b"".join(encode_items([use.received_ns, use.user, use.key]) for use in uses))


def recent_keys(
    fs: FileSystem, root: str, now_ns: int, quarantine: Quarantine, inherited: Collection[str] = ()
) -> Iterator[KeyUse]:
    """The keys used within the last hour, or later by a clock that was ahead, from the files beside sealed members
    under ``cache_dir/spool``. Blocks; one file at a time. A file that cannot be read is reported, and the others count.

    A repetition is acknowledged by them, so their names are made durable first: the process that wrote them may have
    been killed before it had done so. Damaged lines are set aside, and the others written anew. What is in a segment of
    an earlier process counts once it is sealed, which copies it: that process may have been killed behind a sync that
    failed, and the next sync of the same file would succeed whatever is lost. What the present process has in segments,
    it knows.

    :param inherited: the segments of earlier processes.
    :raises NotDurable: one of those of the last hour is not sealed yet.
    :raises OSError: a folder could not be made durable; try again.
    """
    for stream in RECORD_STREAMS:
        for folder in _hours(fs, os.path.join(root, stream.value), now_ns - HOUR_NS):
            fs.sync_dir(folder)
            for entry in list(fs.scan(folder)):
                parsed = parse_name(entry.name)
                path = os.path.join(folder, entry.name)
                if parsed is None or (parsed[2] != "keys" and path not in inherited):
                    continue
                if parsed[2] == "seg" and fs.exists(path):
                    raise NotDurable(errno.EAGAIN, "it is of an earlier process, and not sealed yet", path)
                try:
                    yield from _from_keys(
                        fs, path.removesuffix(".seg").removesuffix(".keys") + ".keys", stream, quarantine
                    )
                except FileNotFoundError:
                    continue  # a segment that held no key, sealed in this moment
                except OSError as error:
                    _log.error(
                        "{path}: its idempotency keys cannot be read, their repetitions would be stored again: {error}",
                        path=path,
                        error=str(error),
                    )


def _hours(fs: FileSystem, top: str, since_ns: int) -> Iterator[str]:
    """The folders of the hours that were not over at a moment."""
    for entry in list(fs.scan(top)):
        try:
            slot = Slot.parse(entry.name)
        except ValueError:
            continue  # a start has told of it
        if entry.is_dir and slot.end_ns > since_ns:
            yield os.path.join(top, entry.name)


def _from_keys(fs: FileSystem, path: str, stream: Stream, quarantine: Quarantine) -> Iterator[KeyUse]:
    uses, bad = [], []
    for number, line in enumerate(_lines(read_pieces(fs, path)), 1):
        try:
            received_ns, user, key = decode_items(line)
            uses.append(KeyUse(int(received_ns), stream, str(user), str(key)))
        except (ValueError, TypeError, OverflowError) as error:
            bad.append(line)
            _log.error(
                "{path}, line {number}: an idempotency key cannot be read, its repetition would be stored again: "
                "{error}",
                path=path,
                number=number,
                error=str(error),
            )
    if bad:
        quarantine.take_bytes(b"\n".join(bad), stream.value, path, "idempotency keys that cannot be read", 0)
        write_keys(fs, path, uses)
    yield from uses


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


class NotDurable(OSError):
    """What a segment holds may be lost when the power goes, so no repetition may be acknowledged by it yet."""


def drop_old_keys(fs: FileSystem, root: str, now_ns: int, searched: set[str] | None = None) -> int:
    """Remove key files whose every key is older than an hour, and folders left empty; how many files. Blocks.

    :param searched: the folders where no such file can come any more, by earlier calls, so that what waits in them for
        days is not listed again and again; kept up.
    """
    searched = set() if searched is None else searched
    dropped = 0
    for stream in RECORD_STREAMS:
        top = os.path.join(root, stream.value)
        for hour in list(fs.scan(top)):
            try:
                slot = Slot.parse(hour.name)
            except ValueError:
                continue
            folder = os.path.join(top, hour.name)
            if slot.end_ns + HOUR_NS > now_ns:
                searched.discard(folder)  # the clock may have been ahead
                continue
            if folder not in searched:
                endings = set()
                for entry in list(fs.scan(folder)):
                    parsed = parse_name(entry.name)
                    if parsed is not None and parsed[2] == "keys":
                        fs.unlink(os.path.join(folder, entry.name))
                        dropped += 1
                    elif parsed is not None:
                        endings.add(parsed[2])
                if "seg" not in endings:  # which is sealed late, and leaves a key file then
                    searched.add(folder)
            if not any(True for _ in fs.scan(folder)):
                fs.remove_dir(folder)
                searched.discard(folder)
    return dropped
