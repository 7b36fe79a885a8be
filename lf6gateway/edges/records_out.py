"""Records on their way to standard output. Owns that they are written whole, in a thread, no more of them than were
asked for, and that a closed pipe is told at once; must never change one, but for what a terminal would obey."""

from __future__ import annotations

import os
import select
import sys
from typing import Final

from lf6gateway.disk.offload import Offload
from lf6gateway.values.printable import json_for_terminal

_GONE: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Enough(Exception):
    """As many records as were asked for are written."""


class RecordsOut:
    """See the module.

    :param limit: how many records; ``None``: all that come.
    :param descriptor: of the open file that they go to.
    """

    def __init__(self, offload: Offload, limit: int | None, descriptor: int | None = None) -> None:
        self._offload = offload
        self._left = limit
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._terminal = os.isatty(self._descriptor)
        self.written = 0

    async def write(self, block: bytes) -> None:
        """Write some lines.

        :raises Enough: these were the last that were asked for.
        :raises BrokenPipeError: nobody reads them any more.
        """
        count = block.count(b"\n")
        if self._left is not None and count >= self._left:
            count = self._left
            block = _first(block, count)
        if self._terminal:
            block = json_for_terminal(block)
        await self._offload(lambda: _write(self._descriptor, block))
        self.written += count
        if self._left is not None:
            self._left -= count
            if not self._left:
                raise Enough

    def check(self) -> None:
        """See whether somebody still reads.

        :raises BrokenPipeError: nobody does.
        """
        poll = select.poll()
        poll.register(self._descriptor, 0)
        if any(event & _GONE for _, event in poll.poll(0)):
            raise BrokenPipeError


def _first(block: bytes, count: int) -> bytes:
    end = 0
    for _ in range(count):
        end = block.index(b"\n", end) + 1
    return block[:end]


def _write(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]
