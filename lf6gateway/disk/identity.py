"""The random identity of this disk, by which an object tells our records from a twin's. Owns ``spool.json``."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable

from lf6gateway.disk.durable import read_small, replace_file
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.values.checked import decode_fields, encode_fields

_SPOOL = re.compile(r"[0-9a-f]{16}")
FORMAT = 1


def spool_identity(fs: FileSystem, cache_dir: str, quarantine: Quarantine, new_id: Callable[[], str]) -> str:
    """16 hex digits, made at the first start and kept. Blocks.

    One that cannot be read is set aside, and the disk gets a new one. That costs no record: members carry identities of
    their own, and what is not known by the disk's is looked up by them.

    :param new_id: 32 fresh hex digits at each call.
    :raises FormatUnknown: a newer version of this program wrote it.
    """
    path = os.path.join(cache_dir, "spool.json")
    try:
        found = decode_fields(read_small(fs, path))
        spool, form = str(found["spool"]), found["format"]
        if not _SPOOL.fullmatch(spool):
            raise ValueError("it holds no identity")
    except FileNotFoundError:
        return _new(fs, path, new_id)
    except (ValueError, KeyError, OSError) as error:
        if isinstance(error, OSError) and error.errno != errno.EIO:
            raise
        quarantine.take(path, "spool", f"it is not what was written: {error}")
        return _new(fs, path, new_id)
    if form != FORMAT:
        raise FormatUnknown(path, form)
    return spool


class FormatUnknown(Exception):
    """The spool is of a form that this version does not know."""

    def __init__(self, path: str, form: object) -> None:
        super().__init__(
            f"{path}: the spool has format {form!r}, and this version knows {FORMAT}; install the version "
            "that wrote it, let it ship everything, and then go back"
        )


def _new(fs: FileSystem, path: str, new_id: Callable[[], str]) -> str:
    spool = new_id()[:16]
    replace_file(fs, path, encode_fields({"format": FORMAT, "spool": spool}))
    return spool
