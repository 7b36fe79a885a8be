"""Another try for what was set aside, where an operator asked for one. Owns the request, a file beside the one in
quarantine, and the order of effects by which a crash at any step neither loses nor doubles anything; must be run only
by who owns the cache directory, before anything else looks at the spool.

An object may hold a member that was set aside later, and the ledger of its hour would not say so. So the hour gets a
ledger that vouches for nothing, and is compared with its object member by member before it grows."""

from __future__ import annotations

import os
from collections.abc import Iterator

from twisted.logger import Logger

from lf6gateway.disk.durable import read_small, replace_file
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.folders import LEDGER, hour_folder, parse_name
from lf6gateway.disk.preview import told
from lf6gateway.disk.set_aside import NOTE, WANTED, SetAside, hindrance, listing
from lf6gateway.values.hour_ledger import HourLedger
from lf6gateway.values.stream import RECORD_STREAMS

_log = Logger()


def ask(fs: FileSystem, one: SetAside) -> None:
    """Note durably that the next start is to put a thing back. Blocks; safe while a gateway runs.

    :raises OSError: the note could not be written.
    """
    replace_file(fs, one.path + WANTED, b"")


def ask_for(fs: FileSystem, cache_dir: str, name: str | None) -> tuple[int, str]:
    """``ask`` for the thing of a name, as a listing tells it, or for all that can be put back; how many those are, and
    why it is none. Blocks; safe while a gateway runs.

    :raises OSError: it could not be noted.
    """
    asked, why = 0, "nothing of that name is in quarantine, or no longer"
    for one in listing(fs, cache_dir):
        if name is not None and told(one.name) != name:
            continue
        why = hindrance(one)
        if not why:
            ask(fs, one)
            asked += 1
    return asked, why


def remove(fs: FileSystem, one: SetAside) -> None:
    """Delete a thing for good, and its note behind it. Blocks; safe while a gateway runs."""
    for path in (one.path + WANTED, one.path, one.path + NOTE):
        try:
            fs.unlink(path)
        except FileNotFoundError:
            continue  # each of them may be missing
    fs.sync_dir(os.path.dirname(one.path))


def put_back(fs: FileSystem, cache_dir: str) -> int:
    """Put back all that was asked for; how many files. Blocks.

    What cannot be put back stays in quarantine and is reported, and where the disk fails it is tried again at the next
    start; neither keeps a gateway from starting."""
    moved = 0
    try:
        wanted = list(_wanted(fs, cache_dir))
    except OSError as error:
        _log.error("the quarantine could not be listed; nothing is put back: {error}", error=str(error))
        return 0
    for one in wanted:
        try:
            moved += _put_back(fs, cache_dir, one)
        except OSError as error:
            _log.error(
                "{path} could not be put back; the next start tries it again: {error}", path=one.path, error=str(error)
            )
    return moved


def _wanted(fs: FileSystem, cache_dir: str) -> Iterator[SetAside]:
    return (one for one in listing(fs, cache_dir) if one.wanted)


def _put_back(fs: FileSystem, cache_dir: str, one: SetAside) -> bool:
    folder = os.path.dirname(one.path)
    if one.bytes is None:  # it was moved, and then the process ended
        fs.unlink(one.path + WANTED)
        fs.unlink(one.path + NOTE)
        fs.sync_dir(folder)
        return False
    target, why = _target(fs, cache_dir, one)
    if target is None:
        _log.error("{path} stays in quarantine: {why}", path=one.path, why=why)
        fs.unlink(one.path + WANTED)
        return False
    hour = os.path.dirname(target)
    fs.make_dirs(hour)
    if one.stream in RECORD_STREAMS:
        _doubt(fs, os.path.join(hour, LEDGER))
    fs.rename(one.path, target)
    fs.sync_dir(hour)
    fs.sync_dir(folder)
    fs.unlink(one.path + WANTED)
    fs.unlink(one.path + NOTE)
    fs.sync_dir(folder)
    _log.info("put back for another try: {path}", path=target)
    return True


def _target(fs: FileSystem, cache_dir: str, one: SetAside) -> tuple[str | None, str]:
    """Where a thing goes, or why it goes nowhere."""
    why, home = hindrance(one), one.home
    if why or home is None:
        return None, why
    stream, slot, name = home
    hour = hour_folder(os.path.join(cache_dir, "spool"), stream, slot)
    parsed = parse_name(name)
    for entry in fs.scan(hour):
        other = parse_name(entry.name)
        same = parsed is not None and other is not None and other[1] == parsed[1] and other[2] != "keys"
        if same or entry.name == name:
            return None, f"its records lie in the spool in another form, {entry.name}, and are delivered by that"
    return os.path.join(hour, name), ""


def _doubt(fs: FileSystem, path: str) -> None:
    host = ""
    try:
        host = HourLedger.decode(read_small(fs, path)).host
    except FileNotFoundError:
        pass  # the hour was closed, or nothing of it was ever sent
    except ValueError as error:
        _log.error(
            "{path} is damaged, and is replaced by one that vouches for nothing: {error}", path=path, error=str(error)
        )
    replace_file(fs, path, HourLedger(multipart=True, certain=False, host=host).encode())
