"""The random identity of this disk, by which an object tells our records from a twin's. Owns ``spool.json``."""

from __future__ import annotations

import json
import os
import re
import secrets

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.durable import read_small, replace_file
from lf6gateway.disk.filesystem import FileSystem

_SPOOL = re.compile(r"[0-9a-f]{16}")
FORMAT = 1


def spool_identity(fs: FileSystem, cache_dir: str) -> str:
    """16 hex digits, made at the first start and kept. Blocks.

    :raises Damaged: the file is not what was written; delete it to be given a new identity, which costs no record.
    """
    path = os.path.join(cache_dir, "spool.json")
    try:
        data = read_small(fs, path)
    except FileNotFoundError:
        spool = secrets.token_hex(8)
        replace_file(fs, path, json.dumps({"format": FORMAT, "spool": spool}).encode("ascii") + b"\n")
        return spool
    try:
        found = json.loads(data)
        spool = found["spool"]
        if found["format"] != FORMAT or not _SPOOL.fullmatch(spool):
            raise ValueError("unknown format")
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(
            path,
            0,
            f"it is not this program's ({error}); remove it to be given a new identity, no record is lost by it",
        ) from error
    return str(spool)
