"""Which errors are the same one, though their messages differ in numbers, names and places. Owns how a message and a
stack are made alike, and the short name of an error; must never decide what is counted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from lf6gateway.values.field_path import FieldPath, find_text

LONGEST: Final = 4096
"""Characters of a message, and of a stack, that count."""
_TITLE: Final = 200
_FRAMES: Final = 8
"""Frames of a stack that count: those nearest to the error differ least between releases."""

_ALIKE: Final = (
    (re.compile(r"\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"), "<uuid>"),
    (re.compile(r"\b[a-z][a-z0-9+.-]{1,10}://[^\s\"'<>)\]]+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+\b"), "<email>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"), "<time>"),
    (re.compile(r"\b[A-Za-z]:\\[^\s\"'<>|:*?]+"), "<path>"),
    (re.compile(r"(?<![\w.<])(?:~|\.{1,2})?(?:/[\w.@+~-]+){2,}/?"), "<path>"),
    (re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"), "<ip>"),
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "<hex>"),
    (re.compile(r"\b(?=[0-9a-fA-F]*\d)(?=[0-9a-fA-F]*[a-fA-F])[0-9a-fA-F]{8,}\b"), "<hex>"),
    (re.compile(r"(?<!\w)'[^'\n]{1,200}'(?!\w)|\"[^\"\n]{1,200}\"|`[^`\n]{1,200}`"), "<text>"),
    (re.compile(r"(?<![A-Za-z_<])[-+]?\d+(?:[.,]\d+)*"), "<n>"),
)
_SPACE: Final = re.compile(r"\s+")
_PLACES: Final = re.compile(r"(?:, line \d+|:\d+(?::\d+)?|\+0x[0-9a-fA-F]+|\bline \d+)\b")
_FOLDERS: Final = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.@+~ -]+)*[\\/](?=[\w.@+~-]+)")


@dataclass(frozen=True, slots=True)
class ErrorFields:
    """Where in a record the parts of an error stand: the first of each that is there counts."""

    kind: Sequence[FieldPath]
    message: Sequence[FieldPath]
    stack: Sequence[FieldPath]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """An error's short name, and its words made alike; both empty where a record tells of no error."""

    id: str
    title: str


def alike(message: str) -> str:
    """A message with all that differs from one occurrence to the next taken out: numbers, identities, addresses, paths,
    moments, quoted text."""
    message = message[:LONGEST]
    for pattern, word in _ALIKE:
        message = pattern.sub(word, message)
    return _SPACE.sub(" ", message).strip()


def frames_alike(stack: str) -> list[str]:
    """The frames of a stack, without line numbers, addresses and folders, which differ from build to build."""
    frames = []
    for line in stack[:LONGEST].splitlines():
        bare = _SPACE.sub(" ", _FOLDERS.sub("", _PLACES.sub("", line))).strip()
        if bare:
            frames.append(bare)
    return frames[:_FRAMES]


def fingerprint(record: Any, fields: ErrorFields) -> Fingerprint:
    """The fingerprint of a record of errors, decoded from JSON."""
    kind = find_text(record, fields.kind) or ""
    message = find_text(record, fields.message) or ""
    stack = find_text(record, fields.stack) or ""
    if not kind and not message and not stack:
        return Fingerprint("", "")
    first, _, rest = message.partition("\n")
    title = alike(first)
    frames = frames_alike(stack or rest)
    kind = kind[:_TITLE].strip()
    digest = hashlib.sha256("\n".join([kind, title, *frames]).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    words = title or (frames[0] if frames else "")
    shown = f"{kind}: {words}" if kind and words else kind or words
    return Fingerprint(digest, shown[:_TITLE])
