"""The door between the HTTP edge and the disk. Owns the moment of reception, the answer to a repeated idempotency key,
and whether anything is taken now; must never know HTTP, nor keep a body longer than the disk needs it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from lf6gateway.disk.space import Refusal
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.services.admission import (
    DISK_FAILING,
    DRAINING_RETRY,
    KEYS_FULL_RETRY,
    LOOK_EVERY,
    STARTING,
    Trials,
    busy,
    room_for,
)
from lf6gateway.values.entry import Entry
from lf6gateway.values.idempotency import digest_of
from lf6gateway.values.moment import Moments
from lf6gateway.values.stream import Stream


class JournalLike(Protocol):
    """A journal of one stream."""

    @property
    def waiting_bytes(self) -> int:
        """Bytes appended and not yet on stable storage."""

    def append(self, entry: Entry) -> Deferred[None]:
        """Fires once the entry is on stable storage; in the order of the calls."""

    def add(self, entry: Entry, told: Callable[[Exception | None], None]) -> None:
        """As ``append``, for whoever has thousands a second: ``told`` is called with ``None``, or with the error."""


class SpecimenWriterLike(Protocol):
    """A specimen on its way to disk."""

    @property
    def waiting(self) -> int:
        """Bytes written and not yet passed to the file system."""

    def write(self, data: bytes) -> None:
        """Queue some more; never blocks."""

    def when_drained(self) -> Deferred[None]:
        """Fires when little is waiting; fails if the disk does."""

    def commit(self) -> Deferred[None]:
        """Fires when the whole specimen is on stable storage."""

    def abort(self) -> Deferred[None]:
        """Forget it; fires when nothing of it is left."""


class SpecimenSpoolLike(Protocol):
    """Where specimens go."""

    def begin(
        self, *, received_ns: int, user: str, uri: str, content_type: str | None, key: str | None, request_id: str
    ) -> SpecimenWriterLike:
        """A new specimen, empty."""


class SpaceLike(Protocol):
    """Who knows whether there is room."""

    def refusal(self, incoming: int) -> Refusal | None:
        """Why ``incoming`` more bytes are not taken; ``None``: they are."""


class KeysLike(Protocol):
    """The idempotency keys of the last hour."""

    @property
    def full(self) -> bool:
        """Whether no more can be remembered."""

    def seen(self, digest: bytes, now_ns: int) -> bool:
        """Whether a request with this key was kept within the hour."""

    def remember(self, digest: bytes, received_ns: int) -> None:
        """A request with this key is on stable storage."""

    def expire(self, now_ns: int) -> int:
        """Forget keys older than an hour."""


class Receiver:
    """Takes what users send.

    :param journals: one for each stream of records.
    :param max_waiting: the most bytes that may wait for the disk before more are refused.
    :param now_ns: the time in nanoseconds since 1970.
    :param specimen_kept: told user, size in bytes and moment of reception of each specimen on stable storage.
    """

    def __init__(
        self,
        *,
        journals: Mapping[Stream, JournalLike],
        specimens: SpecimenSpoolLike,
        space: SpaceLike,
        keys: KeysLike,
        max_waiting: int,
        now_ns: Callable[[], int],
        specimen_kept: Callable[[str, int, int], None] = lambda user, size, received_ns: None,
    ) -> None:
        self._specimen_kept = specimen_kept
        self.max_waiting = max_waiting
        self._journals = journals
        self._specimens = specimens
        self._space = space
        self._keys = keys
        self._now_ns = now_ns
        self._moments = Moments(now_ns)
        self._trials = Trials(now_ns)
        self._closed: Refusal | None = STARTING
        self._keys_loaded = False
        self._waiting_for_keys: list[Deferred[None]] = []
        self._flights: dict[bytes, list[Deferred[None]]] = {}
        self._receptions = 0
        self._promised = 0
        self._settled: list[Deferred[None]] = []

    def open(self) -> None:
        """Take data from now on."""
        self._closed = None

    def drain(self) -> None:
        """Begin nothing more; what has begun may still end, except what waits for keys that may never be loaded."""
        self._closed = closed = Refusal("draining", "the gateway is stopping", DRAINING_RETRY)
        waiting, self._waiting_for_keys = self._waiting_for_keys, []
        for one in waiting:
            one.errback(SpoolUnavailable(closed.reason, closed.detail, closed.retry_after))

    def keys_loaded(self) -> None:
        """All keys of the last hour are known again; requests with a key wait for this after a start."""
        self._keys_loaded = True
        waiting, self._waiting_for_keys = self._waiting_for_keys, []
        for one in waiting:
            one.callback(None)

    def refusal(self, incoming: int = 0) -> Refusal | None:
        """Why a request with ``incoming`` bytes is not begun now; ``None``: it may be."""
        if self._closed is not None:
            return self._closed
        waiting = self._waiting
        if waiting >= self.max_waiting:
            return busy(waiting)
        return self._space.refusal(incoming + waiting + self._promised)

    @property
    def _waiting(self) -> int:
        return sum(journal.waiting_bytes for journal in self._journals.values())

    def admission(self, incoming: int) -> Refusal | None:
        """As ``refusal``, for a request that is about to be begun: while the disk fails, one now and then is let
        through, for only a write that succeeds shows that it works again."""
        return self._trials.unless_tried(self.refusal(incoming))

    def repeated(self, stream: Stream, user: str, key: str | None) -> bool:
        """Whether it is known already that a request with this key was kept, so that its body need not be."""
        return key is not None and self._keys_loaded and self._keys.seen(digest_of(stream, user, key), self._now_ns())

    def keep(
        self,
        stream: Stream,
        user: str,
        lines: bytes,
        count: int,
        request_id: str,
        told: Callable[[Exception | None], None],
    ) -> None:
        """Keep the records of one request without a key, all or none, as ``records`` does.

        :param told: called with ``None`` once they are on stable storage, with an error if nothing of them was kept.
        :raises SpoolUnavailable: nothing of it was kept, and ``told`` will not be called.
        """
        self._check_room(len(lines))
        self._journals[stream].add(Entry(self._moments.next(), user, lines, count, None, request_id), told)

    async def records(
        self, stream: Stream, *, user: str, lines: bytes, count: int, key: str | None, request_id: str
    ) -> None:
        """Keep the records of one request, all or none; returns once they are on stable storage.

        :param lines: the records, each ending in a line feed.
        :param key: with it, a repetition within the hour is acknowledged and not kept again.
        :raises SpoolUnavailable: nothing of it was kept.
        """

        def append() -> Awaitable[int]:
            self._check_room(len(lines))
            entry = Entry(self._moments.next(), user, lines, count, key, request_id)
            return _then(self._journals[stream].append(entry), entry.received_ns)

        if key is None:
            await append()
        else:
            await self._once(stream, user, key, append)

    def specimen(
        self,
        *,
        user: str,
        uri: str,
        content_type: str | None,
        key: str | None,
        request_id: str,
        length: int | None = None,
    ) -> SpecimenReception:
        """Begin to keep a specimen. The caller ends it, by ``commit`` or ``abort``.

        :param length: of its body, where that is known.
        """
        received_ns = self._moments.next()
        self._receptions += 1
        promised = room_for(length)
        self._promised += promised
        writer = self._specimens.begin(
            received_ns=received_ns, user=user, uri=uri, content_type=content_type, key=key, request_id=request_id
        )
        return SpecimenReception(self, writer, received_ns, user, key, promised)

    async def finish_specimen(
        self, *, user: str, key: str | None, received_ns: int, size: int, keep: Callable[[], Awaitable[None]]
    ) -> bool:
        """Let a specimen of ``size`` bytes count that somebody else has written: ``keep`` makes it do so. Not where its
        key was kept before; whether it does.

        :raises SpoolUnavailable: nothing of it was kept.
        """

        async def kept() -> int:
            await keep()
            self._specimen_kept(user, size, received_ns)
            return received_ns

        self._receptions += 1
        try:
            if key is None:
                await kept()
                return True
            return await self._once(Stream.SPECIMEN, user, key, kept)
        finally:
            self._ended(0)

    def settled(self) -> Deferred[None]:
        """Fires when every specimen that was begun is committed or forgotten."""
        settled: Deferred[None] = Deferred()
        self._settled.append(settled)
        self._tell_settled()
        return settled

    def _ended(self, promised: int) -> None:
        self._receptions -= 1
        self._promised -= promised
        self._tell_settled()

    def _tell_settled(self) -> None:
        if not self._receptions:
            settled, self._settled = self._settled, []
            for one in settled:
                if not one.called:
                    one.callback(None)

    def _check_room(self, incoming: int) -> None:
        """What is appended at the same time, and not yet counted by the disk, counts here; what comes in counts for
        what is begun, not for what is on its way to its end.
        """
        refusal = self._space.refusal(incoming + self._waiting)
        if refusal is not None and refusal.reason != DISK_FAILING:  # a disk that fails says so itself
            raise SpoolUnavailable(refusal.reason, refusal.detail, refusal.retry_after)

    async def _once(self, stream: Stream, user: str, key: str, keep: Callable[[], Awaitable[int]]) -> bool:
        """Do ``keep`` unless the key was kept, and say whether it was done. One at a time for a key: who comes second
        waits, and does it after all if the first one failed."""
        if not self._keys_loaded:
            if self._closed is not None and self._closed.reason == "draining":
                raise SpoolUnavailable(self._closed.reason, self._closed.detail, self._closed.retry_after)
            waiting: Deferred[None] = Deferred()
            self._waiting_for_keys.append(waiting)
            await waiting
        digest = digest_of(stream, user, key)
        while True:
            if self._keys.seen(digest, self._now_ns()):
                return False
            flight = self._flights.get(digest)
            if flight is None:
                break
            turn: Deferred[None] = Deferred()
            flight.append(turn)
            await turn
        if self._keys.full:
            self._keys.expire(self._now_ns())
        if self._keys.full:
            raise SpoolUnavailable(
                "keys_full", "no more idempotency keys can be remembered within this hour", KEYS_FULL_RETRY
            )
        waiters: list[Deferred[None]] = []
        self._flights[digest] = waiters
        try:
            received_ns = await keep()
            self._keys.remember(digest, received_ns)
        finally:
            del self._flights[digest]
            for waiter in waiters:
                waiter.callback(None)
        return True


class SpecimenReception:
    """One specimen that comes in."""

    def __init__(
        self,
        receiver: Receiver,
        writer: SpecimenWriterLike,
        received_ns: int,
        user: str,
        key: str | None,
        promised: int,
    ) -> None:
        self._receiver = receiver
        self._writer = writer
        self._received_ns = received_ns
        self._user = user
        self._key = key
        self._unlooked = self._size = 0
        self._promised = promised
        self._ended = False

    @property
    def waiting(self) -> int:
        """Bytes that wait for the disk."""
        return self._writer.waiting

    def write(self, data: bytes) -> None:
        """Queue some more of the body; never blocks.

        :raises SpoolUnavailable: the spool has filled up meanwhile.
        """
        self._unlooked += len(data)
        self._size += len(data)
        if self._unlooked >= LOOK_EVERY:
            self._unlooked = 0
            self._receiver._check_room(len(data) + self._writer.waiting)
        self._writer.write(data)

    def when_drained(self) -> Deferred[None]:
        """Fires when little waits for the disk, and fails with ``SpoolUnavailable`` if the disk does."""
        return self._writer.when_drained()

    async def commit(self) -> None:
        """Return once the specimen, or an earlier one with its key, is on stable storage.

        :raises SpoolUnavailable: nothing of it was kept.
        """
        try:
            await self._commit()
        finally:
            self._end()

    async def _commit(self) -> None:
        try:
            if self._key is None:
                await self._keep()
                return
            kept = await self._receiver._once(Stream.SPECIMEN, self._user, self._key, self._keep)
        except BaseException:
            await self._writer.abort()
            raise
        if not kept:
            await self._writer.abort()

    def abort(self) -> Deferred[None]:
        """Forget it; fires when nothing of it is left."""
        self._end()
        return self._writer.abort()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._receiver._ended(self._promised)

    async def _keep(self) -> int:
        await self._writer.commit()
        self._receiver._specimen_kept(self._user, self._size, self._received_ns)
        return self._received_ns


async def _then(work: Deferred[None], value: int) -> int:
    await work
    return value
