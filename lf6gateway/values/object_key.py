"""The keys of hour objects, and the parts all keys share. Owns their spelling; see ``docs`` of S3 on safe characters:
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html"""

from __future__ import annotations

import re
from typing import Final

from lf6gateway.values.slot import Slot

LONGEST_KEY: Final = 1024
"""Bytes of UTF-8 in a key."""

_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")


def clean_hostname(hostname: str) -> str:
    """A host's name as it stands in keys: dots, and all else that could be taken for another part of the key, are
    ``-``."""
    return _UNSAFE.sub("-", hostname) or "unknown"


def record_key(prefix: str, slot: Slot, hostname: str) -> str:
    """``{prefix/}YYYY/MM/DD/HH/YYYYMMDDHH.{hostname}.jsonl.gz``.

    :param prefix: empty, or ending in a slash.
    """
    return f"{prefix}{slot.path}/{slot.name}.{clean_hostname(hostname)}.jsonl.gz"
