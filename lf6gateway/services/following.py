"""Follows what a stream's objects gain: an hour's object grows, a new hour begins another, and one can come late, after
an outage. Owns how far each was read; must never read a byte twice, nor end because the store fails."""

from __future__ import annotations

import random as _random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.task import deferLater

from lf6gateway.disk.offload import Offload
from lf6gateway.services.catalogue import Catalogue
from lf6gateway.services.last_records import Known, record_reader
from lf6gateway.values.asked import Asked
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.failure import StoreError
from lf6gateway.values.record_lines import RecordReader
from lf6gateway.values.retry import RetryPolicy, full_jitter
from lf6gateway.values.selection import Selection
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import Stream
from lf6gateway.values.window import Window

_NEAR: Final = 1
"""Hours before the present one that every round looks at."""
_FAR: Final = 24
"""Hours before the present one that some rounds look at: what was kept through an outage comes late."""
_FAR_EVERY: Final = 15
"""Of how many rounds one looks that far."""
_POLICY: Final = RetryPolicy(1.0, 60.0)


@dataclass(slots=True)
class _Followed:
    """How far an object was read."""

    slot: Slot
    offset: int
    reader: RecordReader | None = None


class Following:
    """See the module.

    :param now_ns: the wall clock; ``clock``: waits.
    :param write: takes lines; what it raises ends the following.
    :param told: takes what an object that was read has of damages.
    :param say: takes a line for people.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        stream: Stream,
        host: str | None,
        *,
        selection: Selection,
        longest: int,
        offload: Offload,
        clock: Any,
        now_ns: Callable[[], int],
        write: Callable[[bytes], Awaitable[None]],
        told: Callable[[Delivered, RecordReader], None],
        say: Callable[[str], None],
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._catalogue = catalogue
        self._stream = stream
        self._host = host
        self._selection = selection
        self._longest = longest
        self._offload = offload
        self._clock = clock
        self._now_ns = now_ns
        self._write = write
        self._told = told
        self._say = say
        self._random = random
        self._known: dict[str, _Followed] = {}
        self._rounds = 0

    async def begin(self) -> Known:
        """Take note of what is there already, which is not followed.

        :raises StoreError: the store failed.
        """
        asked = self._asked(_FAR)
        async with aclosing(self._catalogue.objects(asked)) as objects:
            async for found in objects:
                self._known[found.key] = _Followed(found.slot, found.size)
        assert asked.window.first is not None
        return Known(asked.window.first, {key: one.offset for key, one in self._known.items()})

    async def follow(self, every_s: float, check: Callable[[], None]) -> None:
        """Go on until ``write`` or ``check`` raises something.

        :param every_s: seconds between two looks.
        :param check: called before each look.
        """
        failures = 0
        while True:
            pause = every_s if not failures else max(every_s, full_jitter(failures, _POLICY, self._random))
            await deferLater(self._clock, pause, lambda: None)
            check()
            try:
                await self.look()
            except StoreError as error:
                failures += 1
                if failures == 1:
                    self._say(f"{error}; going on as soon as the store answers")
                continue
            if failures:
                self._say("the store answers again")
            failures = 0

    async def look(self) -> None:
        """One look at what there is, and all that is new of it.

        :raises StoreError: the store failed; the next look goes on where this one broke off.
        """
        self._rounds += 1
        far = self._rounds % _FAR_EVERY == 0
        async with aclosing(self._catalogue.objects(self._asked(_FAR if far else _NEAR))) as objects:
            async for found in objects:
                known = self._known.setdefault(found.key, _Followed(found.slot, 0))
                if found.size > known.offset:
                    await self._read(found, known)
                elif found.size < known.offset:
                    self._say(
                        f"{found.key}: it has {found.size} bytes and had {known.offset}: somebody else wrote it anew; "
                        "what it gains is followed, what it holds is not read again"
                    )
                    known.offset, known.reader = found.size, None
        oldest = Slot(Slot.at(self._now_ns()).number - _FAR - 1)
        self._known = {key: one for key, one in self._known.items() if one.slot >= oldest}

    async def _read(self, found: Delivered, known: _Followed) -> None:
        """What an object has gained. How far it was read is noted with each chunk, so that nothing comes twice where it
        breaks off."""
        if known.reader is None:
            known.reader = record_reader(found, self._selection, self._longest, known.offset)
        reader = known.reader
        store = self._catalogue.sources[self._stream].store
        async with aclosing(store.get(found.key, start=known.offset, length=found.size - known.offset)) as chunks:
            async for chunk in chunks:
                known.offset += len(chunk)
                await self._written(reader.feed(chunk))
        if known.offset == found.size:
            await self._written(reader.end())
        self._told(found, reader)
        reader.forget_damages()

    async def _written(self, blocks: Iterator[bytes]) -> None:
        while True:
            block: bytes | None = await self._offload(lambda: next(blocks, None))
            if block is None:
                return
            await self._write(block)

    def _asked(self, hours: int) -> Asked:
        now_ns = self._now_ns()
        first = Slot.at(max(0, now_ns - hours * HOUR_NS))
        return Asked((self._stream,), Window(first.start_ns, Slot.at(now_ns).end_ns + HOUR_NS), self._host)
