"""The idempotency keys on disk: within the frames of unsealed segments, and in a file beside each sealed member for as
long as they count. Owns that file's format (JSON lines) and its removal; must never be needed to deliver a record."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence

from twisted.logger import Logger

from lf6gateway.disk.durable import read_small, replace_file
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.folders import parse_name
from lf6gateway.disk.segment import next_header
from lf6gateway.values import frame
from lf6gateway.values.idempotency import KeyUse
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream

_log = Logger()


def write_keys(fs: FileSystem, path: str, uses: Sequence[KeyUse]) -> None:
    """Write the keys of a segment durably. Blocks."""
    lines = [json.dumps([use.received_ns, use.user, use.key]) for use in uses]
    replace_file(fs, path, "\n".join(lines).encode("ascii") + b"\n")


def recent_keys(fs: FileSystem, root: str, now_ns: int) -> Iterator[KeyUse]:
    """The keys used within the last hour, from wherever they lie under ``cache_dir/spool``. Blocks; one file at a
    time."""
    for stream in RECORD_STREAMS:
        for slot in (Slot.at(now_ns - HOUR_NS), Slot.at(now_ns), Slot(Slot.at(now_ns).number + 1)):
            folder = os.path.join(root, stream.value, slot.name)
            for entry in list(fs.scan(folder)):
                parsed = parse_name(entry.name)
                if parsed is None or parsed[2] not in ("keys", "seg"):
                    continue
                path = os.path.join(folder, entry.name)
                try:
                    yield from (_from_keys if parsed[2] == "keys" else _from_segment)(fs, path, stream)
                except FileNotFoundError:
                    # Sealed in this moment: its keys are in the file that the seal wrote before.
                    keys = path.removesuffix(".seg") + ".keys"
                    if fs.exists(keys):
                        yield from _from_keys(fs, keys, stream)


def _from_keys(fs: FileSystem, path: str, stream: Stream) -> Iterator[KeyUse]:
    for number, line in enumerate(read_small(fs, path).splitlines(), 1):
        try:
            received_ns, user, key = json.loads(line)
            yield KeyUse(int(received_ns), stream, str(user), str(key))
        except (ValueError, TypeError) as error:
            _log.error(
                "{path}, line {number}: an idempotency key cannot be read, its repetition would be stored again: "
                "{error}",
                path=path,
                number=number,
                error=str(error),
            )


def _from_segment(fs: FileSystem, path: str, stream: Stream) -> Iterator[KeyUse]:
    """The keys in a segment. A header can be on disk without its records, if the power went before they were synced;
    nothing of that was acknowledged, so such a key does not count."""
    handle = fs.open(path)
    try:
        at = len(frame.FILE_HEADER)
        while True:
            data = handle.read_at(at, frame.HEADER_BYTES)
            header = frame.parse_header(data)
            if header is None:
                following = next_header(handle, at + 1, handle.size())
                if following is None:
                    return
                at = following
                continue
            if header.key:
                payload = handle.read_at(at + frame.HEADER_BYTES, header.payload)
                if frame.payload_fits(header, payload):
                    entry = frame.decode(header, payload)
                    assert entry.key is not None
                    yield KeyUse(entry.received_ns, stream, entry.user, entry.key)
            at += header.length
    finally:
        handle.close()


def drop_old_keys(fs: FileSystem, root: str, now_ns: int) -> int:
    """Remove key files whose every key is older than an hour, and folders left empty; how many files. Blocks."""
    dropped = 0
    for stream in RECORD_STREAMS:
        top = os.path.join(root, stream.value)
        for hour in list(fs.scan(top)):
            try:
                slot = Slot.parse(hour.name)
            except ValueError:
                continue
            if slot.end_ns + HOUR_NS > now_ns:
                continue
            folder = os.path.join(top, hour.name)
            for entry in list(fs.scan(folder)):
                parsed = parse_name(entry.name)
                if parsed is not None and parsed[2] == "keys":
                    fs.unlink(os.path.join(folder, entry.name))
                    dropped += 1
            if not any(True for _ in fs.scan(folder)):
                fs.remove_dir(folder)
    return dropped
