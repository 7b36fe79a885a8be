"""How far long work has come, on the last line of a terminal. Owns that line, which is there only where standard error
is a terminal; must never slow the work down, nor show what a terminal would obey."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from lf6gateway.values.printable import printable, size_text
from lf6gateway.values.size import MIB

_EVERY_S: Final = 0.1
_CLEAR: Final = "\r\x1b[K"


class ProgressLine:
    """One line that is written over and over, some times a second at most.

    :param seconds: a clock that does not go backwards.
    """

    def __init__(self, out: TextIO | None = None, seconds: Callable[[], float] = time.monotonic) -> None:
        self._out = sys.stderr if out is None else out
        self._seconds = seconds
        self._next = seconds()
        self._dirty = False
        self.on = self._out.isatty()

    def show(self, text: Callable[[], str], *, now: bool = False) -> None:
        """Put the line up, in place of the last one.

        :param text: asked for only where it is shown.
        :param now: it is to be seen, however soon behind the last one.
        """
        if not self.on or (not now and self._seconds() < self._next):
            return
        self._next = self._seconds() + _EVERY_S
        self._out.write(_CLEAR + printable(text())[: shutil.get_terminal_size().columns - 1])
        self._out.flush()
        self._dirty = True

    def clear(self) -> None:
        """Take it away, before anything else is written."""
        if self._dirty:
            self._out.write(_CLEAR)
            self._out.flush()
            self._dirty = False


def bar(done: float, width: int = 30) -> str:
    """How much of the whole is done, ``done`` from 0 to 1."""
    filled = round(max(0.0, min(1.0, done)) * width)
    return "[" + "#" * filled + "." * (width - filled) + "]"


class ObjectProgress:
    """Shows how many objects are done, and how fast.

    :param what: the work, as a word for the beginning of the line.
    """

    def __init__(self, what: str, seconds: Callable[[], float], out: TextIO | None = None) -> None:
        self._line = ProgressLine(out, seconds)
        self.clear = self._line.clear
        self._what = what
        self._seconds = seconds
        self._begun = seconds()
        self.objects = 0
        self.bytes = 0

    def add(self, size: int) -> None:
        """One more object, of so many bytes, is done."""
        self.objects += 1
        self.bytes += size
        self._line.show(self._text)

    def _text(self) -> str:
        pace = self.bytes / max(self._seconds() - self._begun, 0.001)
        return f"{self._what}: {self.objects:,} objects, {size_text(self.bytes)}, {size_text(int(pace))}/s"


class ByteProgress:
    """Shows how many bytes are done.

    :param done: what has happened to them, in a word.
    :param total: how many there are; ``None``: nobody knows.
    """

    def __init__(self, done: str, total: int | None, out: TextIO | None = None) -> None:
        self._line = ProgressLine(out)
        self.clear = self._line.clear
        self._word = done
        self._total = total
        self._done = 0

    def add(self, size: int) -> None:
        """So many more bytes are done."""
        self._done += size
        self._line.show(self._text)

    def waiting(self, seconds: float, why: str) -> None:
        """Nothing is done for a while."""
        self._line.show(lambda: f"{self._text()}  waiting {seconds:.0f} s: {why}", now=True)

    def _text(self) -> str:
        text = f"{self._done / MIB:.1f} MiB {self._word}"
        if not self._total:
            return text
        part = min(1.0, self._done / self._total)
        return f"{bar(part, 20)} {part:4.0%}  {text}"
