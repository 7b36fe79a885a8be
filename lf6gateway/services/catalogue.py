"""What was delivered, found by time, host and user. Owns which prefixes are listed, and the order in which objects
come; must never read one."""

from __future__ import annotations

import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, replace
from typing import Final

from lf6gateway.services.ahead import ahead, each
from lf6gateway.services.patient import PatientStore
from lf6gateway.stores.store import Listed
from lf6gateway.values.asked import Asked
from lf6gateway.values.delivered import Delivered, delivered
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream
from lf6gateway.values.window import Window, hour_prefixes, is_year, year_bounds

_AT_ONCE: Final = 8
"""Lists that are asked for at the same time."""
_HOURS_BY_HOST: Final = 48
"""Hours up to which each is asked for by itself where one host is wanted: its keys have a prefix of their own there."""
_HIGHEST: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a stream lies.

    :param prefix: of its keys: empty, or ending in a slash.
    :param name: of the bucket or folder, for people.
    """

    store: PatientStore
    prefix: str
    name: str


class Catalogue:
    """See the module.

    :param sources: where each stream lies.
    :param now: tells the present hour; nothing is looked for behind the next one.
    """

    def __init__(self, sources: Mapping[Stream, Source], now: Callable[[], Slot]) -> None:
        self.sources = sources
        self._now = now

    async def objects(self, asked: Asked) -> AsyncGenerator[Delivered, None]:
        """The objects that are asked for, by time, then stream, then key."""
        async with AsyncExitStack() as stack:
            heads: list[tuple[tuple[int, str, str], int, Delivered]] = []
            streams = []
            for stream in asked.streams:
                found = self._specimens(asked) if stream is Stream.SPECIMEN else self._records(stream, asked)
                streams.append(await stack.enter_async_context(aclosing(found)))
            for number, one in enumerate(streams):
                await _next(heads, one, number)
            while heads:
                _, number, first = heapq.heappop(heads)
                yield first
                await _next(heads, streams[number], number)

    async def hours(self, stream: Stream) -> AsyncGenerator[Slot, None]:
        """The hours of which there is something, the newest first."""
        source = self.sources[stream]
        for year in sorted(filter(is_year, await source.store.folders(source.prefix)), reverse=True):
            for month in sorted(await source.store.folders(f"{source.prefix}{year}/"), reverse=True):
                for day in sorted(await source.store.folders(f"{source.prefix}{year}/{month}/"), reverse=True):
                    names = await source.store.folders(f"{source.prefix}{year}/{month}/{day}/")
                    for hour in sorted(names, reverse=True):
                        try:
                            yield Slot.parse(year + month + day + hour)
                        except ValueError:  # somebody else's folder
                            continue

    async def _records(self, stream: Stream, asked: Asked) -> AsyncGenerator[Delivered, None]:
        source = self.sources[stream]
        bounds = await self._bounds(source, asked.window)
        if bounds is None:
            return
        if asked.host is not None and bounds[1].number - bounds[0].number < _HOURS_BY_HOST:
            slots = [Slot(number) for number in range(bounds[0].number, bounds[1].number + 1)]
            prefixes = [f"{source.prefix}{slot.path}/{slot.name}.{asked.host}." for slot in slots]
        else:
            prefixes = [source.prefix + one for one in hour_prefixes(*bounds)]
        narrow = replace(asked, streams=(stream,))
        while prefixes:
            # What can hold countless objects is taken page by page; the rest is listed some at a time.
            wide = len(prefixes[0]) <= len(source.prefix) + len("YYYY/MM/")
            if wide:
                async for page in source.store.listed(prefixes.pop(0)):
                    for one in sorted(_wanted(page, source, stream, narrow), key=lambda found: found.order):
                        yield one
                continue
            short = next((at for at, one in enumerate(prefixes) if len(one) <= len(source.prefix) + 8), len(prefixes))
            some, prefixes = prefixes[:short], prefixes[short:]
            async with aclosing(
                ahead(each(some), lambda one: self._whole(source, stream, one, narrow), _AT_ONCE)
            ) as lists:
                async for _, waiting in lists:
                    for one in await waiting:
                        yield one

    async def _bounds(self, source: Source, window: Window) -> tuple[Slot, Slot] | None:
        """The first and the last hour to look at; ``None``: there is nothing."""
        latest = Slot(self._now().number + 1)
        first, last = window.first, window.last
        if first is None:
            years = year_bounds(list(await source.store.folders(source.prefix)))
            if years is None:
                return None
            first, latest = years[0], max(latest, years[1])
        return first, latest if last is None else min(last, latest)

    async def _whole(self, source: Source, stream: Stream, prefix: str, asked: Asked) -> list[Delivered]:
        found: list[Delivered] = []
        async for page in source.store.listed(prefix):
            found.extend(_wanted(page, source, stream, asked))
        return sorted(found, key=lambda one: one.order)

    async def _specimens(self, asked: Asked) -> AsyncGenerator[Delivered, None]:
        """Specimens lie by user, so to have them by time those of all users are gathered first."""
        if asked.host is not None:
            return
        source = self.sources[Stream.SPECIMEN]
        names = [asked.user] if asked.user is not None else list(await source.store.folders(source.prefix))
        gathered: list[Delivered] = []
        async with aclosing(ahead(each(names), lambda user: self._of_user(source, user, asked), _AT_ONCE)) as lists:
            async for _, waiting in lists:
                gathered.extend(await waiting)
        for one in sorted(gathered, key=lambda found: found.order):
            yield one

    async def _of_user(self, source: Source, user: str, asked: Asked) -> list[Delivered]:
        prefix = f"{source.prefix}{user}/"
        window = asked.window
        after = f"{prefix}{window.first.path[:10]}/" if window.first is not None else ""
        end = prefix + (window.last.path[:10] + "/" if window.last is not None else "") + _HIGHEST
        found: list[Delivered] = []
        async with aclosing(source.store.listed(prefix, after=after)) as pages:
            async for page in pages:
                found.extend(_wanted(page, source, Stream.SPECIMEN, asked))
                if page and page[-1].key > end:
                    break
        return found


def _wanted(page: Sequence[Listed], source: Source, stream: Stream, asked: Asked) -> list[Delivered]:
    found = []
    for one in page:
        named = delivered(stream, source.prefix, one.key, one.size, one.etag, one.modified_ns)
        if named is not None and asked.wants(named):
            found.append(named)
    return found


async def _next(
    heads: list[tuple[tuple[int, str, str], int, Delivered]], stream: AsyncIterator[Delivered], number: int
) -> None:
    try:
        found = await anext(stream)
    except StopAsyncIteration:
        return
    heapq.heappush(heads, (found.order, number, found))
