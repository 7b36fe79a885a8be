"""How far long work has come, on the last line of a terminal. Owns that line, which is there only where standard error
is a terminal; must never slow the work down."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final, TextIO

from lf6gateway.values.printable import size_text

_EVERY_S: Final = 0.2
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """See the module.

    :param what: the work, as a word for the beginning of the line.
    :param seconds: a clock that does not go backwards.
    """

    def __init__(self, what: str, seconds: Callable[[], float], out: TextIO | None = None) -> None:
        self._out = sys.stderr if out is None else out
        self._shown = self._out.isatty()
        self._what = what
        self._seconds = seconds
        self._begun = seconds()
        self._last = self._begun - _EVERY_S
        self._dirty = False
        self.objects = 0
        self.bytes = 0

    def add(self, size: int) -> None:
        """One more object, of so many bytes, is done."""
        self.objects += 1
        self.bytes += size
        self._show()

    def clear(self) -> None:
        """Take the line away, for something else to be written."""
        if self._dirty:
            self._out.write(_CLEAR)
            self._out.flush()
            self._dirty = False

    def _show(self) -> None:
        now = self._seconds()
        if not self._shown or now - self._last < _EVERY_S:
            return
        self._last = now
        pace = self.bytes / max(now - self._begun, 0.001)
        self._out.write(
            f"{_CLEAR}{self._what}: {self.objects:,} objects, {size_text(self.bytes)}, {size_text(int(pace))}/s"
        )
        self._out.flush()
        self._dirty = True
