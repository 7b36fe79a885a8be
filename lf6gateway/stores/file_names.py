"""How keys are spelt as files. Owns the names of files that stand for names which no file can have, and what tells one
state of a file from another; must never open one."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Final

META: Final = ".meta"
"""The folder of what is noted of objects."""
_LONGEST_NAME: Final = 255
_KEPT: Final = 180
_MAPPED: Final = re.compile(r"~[0-9a-f]{16}(\.[^.]*)?\Z")
"""How the name of a file ends that stands for another one."""


def file_name(name: str) -> str:
    """A part of a key as a file's name; one that is too long for a file is cut and told apart by its digest."""
    data = name.encode("utf-8", "surrogateescape")
    short = len(data) <= _LONGEST_NAME - len(".json") and not name.startswith(".")
    if short and not stands_for_another(name):  # else it could be taken for another one's
        return name
    digest = hashlib.sha256(data).hexdigest()[:16]
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > 20:
        stem, ending = name, ""
    kept = stem.encode("utf-8", "surrogateescape")[:_KEPT].decode("utf-8", "ignore").lstrip(".") or "_"
    return f"{kept}~{digest}" + (f".{ending}" if ending else "")


def stands_for_another(name: str) -> bool:
    """Whether a file of that name holds an object whose key has another one there."""
    return _MAPPED.search(name) is not None


def etag_of(found: os.stat_result) -> str:
    """The ETag of a file: another one for each write, for every write makes a new file, and marks it."""
    return f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"'
