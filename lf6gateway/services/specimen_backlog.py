"""The walk over the folder of specimens, a page at a time. Owns where the walk is and when the next begins; must never
hold more than a page, nor know what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.specimen_file import Specimen, read_specimen, verify
from lf6gateway.disk.specimens import finish, waiting_specimens
from lf6gateway.values.retry import RetryPolicy, full_jitter

_log = Logger()

PAGE: Final = 64
"""How many are looked up at once."""


@dataclass(frozen=True, slots=True)
class Left:
    """What waits in the folder."""

    count: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SpecimenFiles:
    """What is done to the files of specimens. All block.

    :param waiting: path and size of all that wait, lazily, the oldest hour first.
    :param read: a specimen, its body compared with its digest; raises ``Damaged`` or ``OSError``.
    :param finish: it is shipped: remove its file, or (``True``) keep of it what its idempotency key needs.
    """

    waiting: Callable[[], Iterator[tuple[str, int]]]
    read: Callable[[str], Specimen]
    finish: Callable[[str, bool], object]

    @classmethod
    def under(cls, fs: FileSystem, root: str) -> SpecimenFiles:
        """Those under ``root``, which is ``cache_dir/spool``."""

        def read(path: str) -> Specimen:
            specimen = read_specimen(fs, path)
            verify(fs, specimen)
            return specimen

        return cls(partial(waiting_specimens, fs, root), read, partial(finish, fs))


class Backlog:
    """Pages of paths, in the order of the walk.

    :param offload: runs the walk, a page in each job.
    :param retry: the pauses after the folder could not be listed.
    """

    def __init__(
        self,
        files: SpecimenFiles,
        offload: Offload,
        clock: IReactorTime,
        retry: RetryPolicy,
        random: Callable[[], float],
    ) -> None:
        self._files = files
        self._offload = offload
        self._clock = clock
        self._retry = retry
        self._random = random
        self._walk: Iterator[tuple[str, int]] | None = None
        self._loading: Deferred[None] | None = None
        self.due: float | None = None
        """When the next walk begins, in the clock's seconds; ``None``: there is no need of one."""
        self.failures = 0
        """How often in a row the folder could not be listed."""
        self.held = False
        """Whether no walk may begin yet, though one be due."""

    @property
    def at_its_start(self) -> bool:
        """Whether the next page is the first of a walk."""
        return self._walk is None and self._loading is None

    @property
    def busy(self) -> bool:
        """Whether there may be another page now."""
        if self.held:
            return False
        return not self.at_its_start or (self.due is not None and self.due <= self._clock.seconds())

    def walk_at(self, moment: float) -> None:
        """Begin another walk at that moment, unless one is to begin sooner."""
        self.due = moment if self.due is None else min(self.due, moment)

    def load(self, loaded: Callable[[list[str]], None]) -> bool:
        """Look up the next page, if no look-up is under way; ``loaded`` gets it. Whether it has it already."""
        if self._loading is not None or not self.busy:
            return False
        if self._walk is None:
            self.due = None
            self._walk = self._files.waiting()
        walk = self._walk
        page = self._offload(lambda: [path for path, _ in islice(walk, PAGE)])
        self._loading = loading = page.addCallbacks(self._went_well, self._went_wrong).addCallback(self._hand, loaded)
        if loading.called and self._loading is loading:
            self._loading = None
        return loading.called

    def count(self) -> Deferred[Left]:
        """All that waits in the folder, counted anew."""

        def count() -> Left:
            number = total = 0
            for _, size in self._files.waiting():
                number += 1
                total += size
            return Left(number, total)

        return self._offload(count)

    async def stop(self) -> None:
        """Wait for the look-up under way, and forget the walk."""
        if self._loading is not None:
            await self._loading
        self._walk = None

    def _went_well(self, paths: list[str]) -> list[str]:
        self.failures = 0
        if len(paths) < PAGE:
            self._walk = None
        return paths

    def _went_wrong(self, failure: Failure) -> list[str]:
        self._walk = None
        self.failures += 1
        seconds = full_jitter(self.failures, self._retry, self._random)
        self.walk_at(self._clock.seconds() + seconds)
        _log.error(
            "the folder of specimens could not be listed; tried again in {seconds:.1f} s: {error}",
            seconds=seconds,
            error=failure.getErrorMessage(),
        )
        return []

    def _hand(self, paths: list[str], loaded: Callable[[list[str]], None]) -> None:
        self._loading = None
        loaded(paths)
