"""Reading an object's gzip headers from its bytes, chunk by chunk, to learn which members are in it. Owns the walk;
must never keep what it passes, nor fetch anything.

A member of ours tells its length in its header and is skipped; one of somebody else has to be inflated to find its
end."""

from __future__ import annotations

import zlib
from typing import Final

from lf6gateway.values.member import HEADER_BYTES, Member, parse_header

_WINDOW: Final = 31
"""zlib's largest window, with a gzip header and trailer."""
_OUT: Final = 1 << 20


class Strange(Exception):
    """The object is not gzip throughout; ``offset`` is where that shows."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(f"at byte {offset}: {why}")
        self.offset = offset


class Walker:
    """Fed an object's bytes in order, finds its members."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        """Those of this program's making, in order, so far."""
        self.foreign = 0
        """How many others there are."""
        self.offset = 0
        """How many bytes were passed."""
        self._buffer = b""
        self._skip = 0
        self._inflate: zlib._Decompress | None = None

    def feed(self, data: bytes) -> None:
        """Go on with the next bytes.

        :raises Strange: what follows a member is no member.
        """
        self._buffer += data
        while self._buffer and self._step(False):
            pass

    def end(self) -> None:
        """The object ends here.

        :raises Strange: in the middle of a member.
        """
        while self._buffer and self._step(True):
            pass
        if self._skip or self._inflate is not None:
            raise Strange(self.offset, "it ends in the middle of a gzip member")

    def _step(self, last: bool) -> bool:
        if self._skip:
            passed = min(self._skip, len(self._buffer))
            self._skip -= passed
            self._pass(passed)
            return True
        if self._inflate is not None:
            return self._inflated()
        if len(self._buffer) < HEADER_BYTES and not last:
            return False
        member = parse_header(self._buffer[:HEADER_BYTES])
        if member is not None:
            self.members.append(member)
            self._skip = member.packed_bytes
        else:
            self.foreign += 1
            self._inflate = zlib.decompressobj(_WINDOW)
        return True

    def _inflated(self) -> bool:
        inflate = self._inflate
        assert inflate is not None
        data = self._buffer
        try:
            while data:
                inflate.decompress(data, _OUT)
                if inflate.eof:
                    break
                data = inflate.unconsumed_tail
        except zlib.error as error:
            raise Strange(self.offset, f"it is not gzip ({error})") from error
        if not inflate.eof:
            self._pass(len(self._buffer))
            return False
        self._pass(len(self._buffer) - len(inflate.unused_data))
        self._inflate = None
        return True

    def _pass(self, count: int) -> None:
        self.offset += count
        self._buffer = self._buffer[count:]
