"""What a disk says of itself: its random identity, by which an object tells our records from a twin's, and whose disk
it is, by which another machine can ship it when that one is dead. Owns ``spool.json``."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass

from twisted.logger import Logger

from lf6gateway.disk.durable import read_small, replace_file
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.values.checked import decode_fields, encode_fields

_log = Logger()
_SPOOL = re.compile(r"[0-9a-f]{16}")
FORMAT = 1
NAME = "spool.json"


@dataclass(frozen=True, slots=True)
class Identity:
    """What ``spool.json`` holds.

    :param spool: the identity, 16 hex digits.
    :param host: the hostname that the last start shipped under; empty where an older version wrote the file.
    """

    spool: str
    host: str


def read_identity(fs: FileSystem, cache_dir: str) -> Identity:
    """What a disk says of itself. Blocks; changes nothing.

    :raises FileNotFoundError: nothing was ever started on it.
    :raises ValueError: it is not what was written.
    :raises FormatUnknown: a newer version of this program wrote it.
    """
    path = os.path.join(cache_dir, NAME)
    found = decode_fields(read_small(fs, path))
    try:
        spool, form = str(found["spool"]), found["format"]
    except KeyError as error:
        raise ValueError(f"it has no {error}") from error
    if not _SPOOL.fullmatch(spool):
        raise ValueError("it holds no identity")
    if form != FORMAT:
        raise FormatUnknown(path, form)
    return Identity(spool, str(found.get("host", "")))


def spool_identity(
    fs: FileSystem, cache_dir: str, quarantine: Quarantine, new_id: Callable[[], str], host: str = ""
) -> str:
    """16 hex digits, made at the first start and kept. Blocks.

    One that cannot be read is set aside, and the disk gets a new one. That costs no record: members carry identities of
    their own, and what is not known by the disk's is looked up by them.

    :param new_id: 32 fresh hex digits at each call.
    :param host: the hostname in the keys of objects from now on; noted where it is another than before.
    :raises FormatUnknown: a newer version of this program wrote it.
    """
    path = os.path.join(cache_dir, NAME)
    try:
        found = read_identity(fs, cache_dir)
    except FileNotFoundError:
        return _new(fs, path, new_id, host)
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EIO:
            raise
        quarantine.take(path, "spool", f"it is not what was written: {error}")
        return _new(fs, path, new_id, host)
    if host and found.host != host:
        try:
            _write(fs, path, Identity(found.spool, host))
        except OSError as error:  # a disk that is full must still start, to drain
            _log.warn("{path} could not take the hostname {host}: {error}", path=path, host=host, error=str(error))
    return found.spool


class FormatUnknown(Exception):
    """The spool is of a form that this version does not know."""

    def __init__(self, path: str, form: object) -> None:
        super().__init__(
            f"{path}: the spool has format {form!r}, and this version knows {FORMAT}; install the version "
            "that wrote it, let it ship everything, and then go back"
        )


def _new(fs: FileSystem, path: str, new_id: Callable[[], str], host: str) -> str:
    spool = new_id()[:16]
    _write(fs, path, Identity(spool, host))
    return spool


def _write(fs: FileSystem, path: str, identity: Identity) -> None:
    fields = {"format": FORMAT, "spool": identity.spool}
    replace_file(fs, path, encode_fields({**fields, "host": identity.host} if identity.host else fields))
