"""A bar of how far long work is, on a terminal's standard error and nowhere else. Owns its line there; must never write
into a file or a pipe."""

from __future__ import annotations

import shutil
import sys
import time
from typing import Final, TextIO

from lf6gateway.values.size import MIB

_EVERY: Final = 0.1


class Progress:
    """Shows how many bytes are done.

    :param done: what has happened to them, in a word.
    :param total: how many there are; ``None``: nobody knows.
    """

    def __init__(self, done: str, total: int | None, stream: TextIO | None = None) -> None:
        self._word = done
        self._total = total
        self._stream = stream or sys.stderr
        self._shown = self._stream.isatty()
        self._done = 0
        self._last = 0.0

    def add(self, size: int) -> None:
        """So many more bytes are done."""
        self._done += size
        now = time.monotonic()
        if self._shown and now - self._last >= _EVERY:
            self._last = now
            self._show("")

    def waiting(self, seconds: float, why: str) -> None:
        """Nothing is done for a while."""
        if self._shown:
            self._show(f"waiting {seconds:.0f} s: {why}")

    def end(self) -> None:
        """Take the bar away."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def _show(self, note: str) -> None:
        text = f"{self._done / MIB:.1f} MiB {self._word}"
        if self._total:
            part = min(1.0, self._done / self._total)
            filled = int(20 * part)
            text = f"[{'#' * filled}{'.' * (20 - filled)}] {part:4.0%}  {text}"
        line = f"{text}  {note}".rstrip()
        printable = "".join(character if character.isprintable() else "?" for character in line)
        self._stream.write("\r\x1b[K" + printable[: shutil.get_terminal_size().columns - 1])
        self._stream.flush()
