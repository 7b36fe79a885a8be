"""Bytes gathered in the order they come. Owns that how finely a sender cuts them costs no memory: an object of Python's
for each two bytes would take twenty times as much; must never know what they are."""

from __future__ import annotations

from typing import Final

_SMALL: Final = 4 * 1024
"""Pieces below this size are joined."""
_JOINED: Final = 64 * 1024
"""To pieces of about this size."""


class Pieces:
    """A sequence of bytes in pieces."""

    __slots__ = ("_pieces", "_tail")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._tail = bytearray()

    def __bool__(self) -> bool:
        return bool(self._pieces or self._tail)

    def add(self, piece: bytes) -> None:
        """Put some bytes at the end."""
        if len(piece) >= _SMALL:
            self._close()
            self._pieces.append(piece)
        elif not self._pieces and not self._tail:
            self._pieces.append(piece)  # often the only one
        else:
            self._tail += piece
            if len(self._tail) >= _JOINED:
                self._close()

    def take(self) -> list[bytes]:
        """All of them; none is left here."""
        self._close()
        pieces, self._pieces = self._pieces, []
        return pieces

    def clear(self) -> None:
        """Forget them."""
        self._pieces = []
        self._tail = bytearray()

    def _close(self) -> None:
        if self._tail:
            self._pieces.append(bytes(self._tail))
            self._tail = bytearray()
