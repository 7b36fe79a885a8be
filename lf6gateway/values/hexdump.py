"""Bytes of an unknown kind as lines that can be read: as text where they are text, else in hex beside what is
printable. Owns that choice and the form; must never let a byte through that a reader would not see."""

from __future__ import annotations

from codecs import getincrementaldecoder
from typing import Final

WIDTH: Final = 16
_PLAIN: Final = frozenset("\t\n\r")


def is_text(data: bytes) -> bool:
    """Whether bytes are UTF-8 text, whose last character may be cut."""
    try:
        text = getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(character.isprintable() or character in _PLAIN for character in text)


def readable(data: bytes) -> tuple[str, list[str]]:
    """What they are shown as, ``text`` or ``in hex``, and the lines."""
    if is_text(data):
        text = data.decode("utf-8", "ignore")
        return "as text", [
            line.replace("\t", "    ").replace("\r", "\\r") for line in text.removesuffix("\n").split("\n")
        ]
    return "in hex", hexdump(data)


def hexdump(data: bytes) -> list[str]:
    """Offset, sixteen bytes in hex, and what of them is ASCII."""
    lines = []
    for offset in range(0, len(data), WIDTH):
        row = data[offset : offset + WIDTH]
        halves = "  ".join(row[part : part + 8].hex(" ").ljust(23) for part in (0, 8))
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
        lines.append(f"{offset:06x}  {halves}  {shown}")
    return lines
