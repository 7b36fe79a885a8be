"""One hour of one stream on its way to its object. Owns the hour's members on disk, its ledger, and the loop of look,
compare, write; must never wait, retry a failing store, or look at another hour. The decisions are in
``values/growth.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from twisted.logger import Logger

from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.folders import MemberFile, hour_folder
from lf6gateway.disk.hour_files import HourFiles
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.space import Space
from lf6gateway.stores.store import Absent, Body, Capabilities, ObjectStore, Present, Slice, Unchanged
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.grown import Grown
from lf6gateway.values.growth import (
    NO_CURSORS,
    ZERO,
    Cursor,
    Cursors,
    Way,
    advance_all,
    format_cursors,
    held,
    parse_cursors,
    way,
)
from lf6gateway.values.hour_ledger import HourLedger
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream
from lf6gateway.values.walk import Strange, Walker

_log = Logger()

CONTENT_TYPE: Final = "application/gzip"
_SALVAGE: Final = 3
"""After so many failures in a row what the disk cannot read is set aside."""
ROUNDS: Final = 8
"""Lost races in a row after which the hour lets others go first."""


class State(Enum):
    """Where an hour stands."""

    IDLE = "idle"
    UPLOADING = "uploading"
    UNCERTAIN = "uncertain"
    WAITING = "waiting"
    CLOSED = "closed"


@dataclass(slots=True)
class _Held:
    """A member on our disk; ``shipped``: it is in the object for certain. ``sha256``: of all of it, when it was last
    compared with its digest."""

    file: MemberFile
    shipped: bool
    sha256: str | None = None


class Hour:
    """See the module.

    :param key_of: the key of its object, by the hostname in it.
    :param host: that hostname, unless the ledger says that the hour was begun under another: what went there under that
        name would else be sent again under this one.
    :param root: ``cache_dir/spool``.
    :param spool: this disk's identity.
    :param started_ns: when this process began; uploads in parts begun before are left-overs.
    :param grown: told of each write that is certain.
    """

    def __init__(
        self,
        slot: Slot,
        *,
        stream: Stream,
        key_of: Callable[[str], str],
        host: str,
        root: str,
        spool: str,
        store: ObjectStore,
        fs: FileSystem,
        offload: Offload,
        quarantine: Quarantine,
        space: Space,
        started_ns: int,
        grown: Callable[[Grown], None],
    ) -> None:
        self.slot = slot
        self.key = key_of(host)
        self.state = State.IDLE
        self.failures = 0
        self.lost_records = 0
        self.damaged = 0
        self._files = HourFiles(fs, hour_folder(root, stream, slot), stream, quarantine)
        self._key_of = key_of
        self._host = host
        self._spool = spool
        self._store = store
        self._offload = offload
        self._space = space
        self._started_ns = started_ns
        self._grown = grown
        self._found: list[tuple[int, str]] = []
        self._added: list[MemberFile] = []
        self._members: list[_Held] = []
        self._ledger: HourLedger | None = None
        # Ours in the object when that was last certain; it counts exactly the members marked as shipped, and those that
        # are not on disk any more.
        self._cursor = ZERO
        self._loaded = False
        self._certain = True  # the ledger tells all that was attempted

    def found(self, member_paths: Sequence[tuple[int, str]]) -> None:
        """Members a start found on disk; they are read when the hour is shipped."""
        self._found.extend(member_paths)

    def add(self, file: MemberFile) -> None:
        """A member was sealed."""
        self._added.append(file)

    @property
    def waiting(self) -> int:
        """How many members are not in the object for certain."""
        return len(self._found) + len(self._added) + sum(not member.shipped for member in self._members)

    @property
    def oldest_ns(self) -> int | None:
        """When the oldest record was received that is in a member and not in the object for certain, nanoseconds since
        1970; the beginning of the hour, where that is not known."""
        files = [*self._added, *(member.file for member in self._members if not member.shipped)]
        start = self.slot.start_ns
        return min((one.first_ns or start for one in files), default=None) if not self._found else start

    @property
    def holds(self) -> bool:
        """Whether members that are in the object are still on disk, to write it anew without fetching it."""
        return any(member.shipped for member in self._members)

    @property
    def waiting_bytes(self) -> int:
        """Their bytes, as far as they were read already."""
        known = [member.file for member in self._members if not member.shipped]
        return sum(file.member.packed_bytes for file in [*self._added, *known])

    async def ship(self) -> None:
        """Make the object hold every member sealed so far.

        :raises StoreError: it does not yet; asking again is right.
        :raises OSError: the disk failed.
        """
        await self._load()
        self.state = State.UPLOADING
        try:
            await self._ship()
        except StoreError as error:
            self.state = State.WAITING if error.applied is False else State.UNCERTAIN
            raise
        self.state = State.IDLE

    async def _ship(self) -> None:
        if self._ledger is not None and self._ledger.multipart:
            await self._abort_leftovers()
        for _ in range(ROUNDS):
            if not self._pending():
                return
            present = await self._store.head(self.key)
            waited = self._pending()
            cursors, own = await self._compare(present)
            if present is not None:
                self._tell([member.file for member in waited if member.shipped], present, found=True)
            if not self._pending():
                await self._note()
                await self._drop_if_safe(present)
                return
            try:
                await self._write(present, cursors, own)
                return
            except StoreError as error:
                if error.kind not in (Kind.CONFLICT, Kind.GONE):
                    raise
                _log.debug("{key}: another writer was first, looking again", key=self.key)
        raise StoreError(
            Kind.CONFLICT, f"write {self.key}", f"{ROUNDS} races in a row were lost to other writers", applied=False
        )

    async def _abort_leftovers(self) -> None:
        """Give up uploads in parts that a crash left unfinished, so that nobody pays for parts he does not see."""
        try:
            count = await self._store.abort_uploads(self.key, before_ns=self._started_ns)
        except StoreError as error:
            if error.kind not in (Kind.DENIED, Kind.UNSUPPORTED, Kind.REFUSED):
                raise
            _log.warn(
                "{key}: unfinished uploads of before the start cannot be looked for: {error}. A lifecycle rule that "
                "ends "
                "incomplete multipart uploads on the bucket does it as well",
                key=self.key,
                error=str(error),
            )
        else:
            if count:
                _log.info("{key}: gave up {count} unfinished uploads of before the start", key=self.key, count=count)
        await self._note(multipart=False)

    async def settle(self, *, over: bool) -> bool:
        """See whether the object holds everything, by a last look; where it does and the hour is ``over``, remove what
        is left on disk of it. Where the hour is not over, its members go and the ledger stays.

        :returns: whether it did; else there is something to ship again.
        """
        await self._load()
        if self._pending():
            return False
        if self._members:
            present = await self._store.head(self.key)
            await self._compare(present)
            if self._pending():
                return False
            await self._note()
            await self._drop()
        if over:
            await self._offload(self._files.remove_folder)
            self.state = State.CLOSED
        return True

    def _pending(self) -> list[_Held]:
        self._members.extend(_Held(file, False) for file in self._added)
        self._added.clear()
        return [member for member in self._members if not member.shipped]

    async def _load(self) -> None:
        if self._loaded and not self._found:
            return
        paths = self._found
        first = not self._loaded
        ledger, files, certain, freed = await self._offload(lambda: self._files.read(paths, first, self._salvaging))
        self._space.remove(freed, drained=False)
        self._found = []
        if first:
            self._ledger, self._certain, self._loaded = ledger, certain, True
            if ledger is not None:
                self._cursor = ledger.cursor
                if ledger.host:
                    self._host, self.key = ledger.host, self._key_of(ledger.host)
        shipped = frozenset() if self._ledger is None else frozenset(self._ledger.shipped)
        self._members.extend(_Held(file, file.member.id in shipped) for file in files)
        self._members.sort(key=lambda member: member.file.ordinal)

    async def _compare(self, present: Present | None) -> tuple[Cursors, Cursor]:
        """Find out which of our members the object holds, and mark them; all cursors in it, and ours."""
        if present is None:
            if self._cursor != ZERO or any(member.shipped for member in self._members):
                self._lost("the object is not there any more")
            self._mark(set(), ZERO)
            return NO_CURSORS, ZERO
        cursors = parse_cursors(present.metadata)
        remote = cursors.by_writer.get(self._spool)
        if self._ledger is None and self._certain and remote is None:
            # Nothing of what is on this disk was ever sent, so nothing of it can be there.
            return cursors, ZERO
        known_well = self._ledger is not None and self._certain and not self._renamed
        if known_well and (remote is not None or cursors.complete):
            pending = self._pending()
            number = held(self._cursor, [member.file.member for member in pending], remote or ZERO)
            if number is not None:
                for member in pending[:number]:
                    member.shipped = True
                self._cursor = remote or ZERO
                return cursors, self._cursor
        return await self._walk(present, cursors)

    async def _walk(self, present: Present, cursors: Cursors) -> tuple[Cursors, Cursor]:
        _log.info("{key}: its metadata do not tell what it holds of ours, so its members are read", key=self.key)
        walker = Walker()
        try:
            async for chunk in self._store.get(self.key, if_match=present.etag):
                await self._offload(lambda chunk=chunk: walker.feed(chunk))  # type: ignore[misc]
            walker.end()
        except Strange as strange:
            # Readers of gzip stop there too, so what follows it could not be read whoever wrote it.
            _log.error(
                "{key}: {why}; somebody else wrote that. Our members are put behind it all the same: look at the "
                "object",
                key=self.key,
                why=str(strange),
            )
        own = [member for member in walker.members if member.spool == self._spool]
        if len(own) < self._cursor.count and not self._renamed:
            self._lost(f"it holds {len(own)} members of ours and had {self._cursor.count}")
        self._mark({member.id for member in walker.members}, advance_all(ZERO, own))
        self._certain = True
        return cursors, self._cursor

    @property
    def _renamed(self) -> bool:
        """Whether this disk had another identity when some of its members were sealed; cursors tell nothing then."""
        return any(member.file.member.spool != self._spool for member in self._members)

    @property
    def _salvaging(self) -> bool:
        return self.failures >= _SALVAGE

    def _mark(self, there: set[str], cursor: Cursor) -> None:
        self._pending()
        self._cursor = cursor
        for member in self._members:
            member.shipped = member.file.member.id in there

    def _lost(self, why: str) -> None:
        self.lost_records += 1
        _log.error(
            "{key}: {why}: it was removed or overwritten by somebody else; what is still on this disk is written again",
            key=self.key,
            why=why,
        )

    async def _sound(self) -> list[_Held]:
        """The members that are to go, each of them read whole and found undamaged."""
        files = [member.file for member in self._members]
        sound = await self._offload(lambda: self._files.check(files, self._salvaging))
        for member in self._members:
            member.sha256 = sound.get(member.file.path)
        bad = [file for file in files if file.path not in sound]
        if bad:
            self.damaged += len(bad)
            self._members = [member for member in self._members if member.file not in bad]
            self._space.remove(sum(file.member.packed_bytes for file in bad), drained=False)
        return self._pending()

    async def _write(self, present: Present | None, cursors: Cursors, own: Cursor) -> None:
        pending = await self._sound()
        if not pending:
            return
        files = [member.file for member in pending]
        target = advance_all(own, [file.member for file in files])
        metadata = format_cursors(cursors, self._spool, target)
        capabilities = await self._store.capabilities()
        chosen = way(
            size=None if present is None else present.size,
            mirrored=present is not None and self._mirrors(present, cursors, own),
            append_min=capabilities.append_min,
            append_guarded=capabilities.append_guarded,
            part_copy=capabilities.part_copy,
            put_if_match=capabilities.put_if_match,
        )
        # From here on a write may have taken effect whatever is heard of it, and a later start has to know.
        await self._note(multipart=True)
        written = await self._written(chosen, present, pending, metadata)
        for member in pending:
            member.shipped = True
        self._cursor = target
        await self._note(multipart=False)
        self._tell(files, written)
        await self._drop_if_safe(written)

    def _tell(self, files: Sequence[MemberFile], present: Present, *, found: bool = False) -> None:
        records = sum(file.member.records for file in files)
        packed = sum(file.member.packed_bytes for file in files)
        if files:
            self._grown(Grown(self.key, len(files), records, packed, present.size, found))

    async def _written(
        self, chosen: Way, present: Present | None, pending: list[_Held], metadata: dict[str, str]
    ) -> Present:
        tail = _body(pending)
        if present is None:
            return await self._store.put(
                self.key, tail, metadata=metadata, content_type=CONTENT_TYPE, condition=Absent()
            )
        if chosen is Way.APPEND:
            return await self._store.append(self.key, present, tail, metadata=metadata, content_type=CONTENT_TYPE)
        if chosen is Way.MIRROR:
            whole = _body(self._members)
        else:
            base = await self._fetch(present)
            whole = Body((base, *tail.slices))
        return await self._store.put(
            self.key, whole, metadata=metadata, content_type=CONTENT_TYPE, condition=Unchanged(present.etag)
        )

    def _mirrors(self, present: Present, cursors: Cursors, own: Cursor) -> bool:
        """Whether the members on disk that are shipped are, to the byte, the object."""
        shipped = [member.file for member in self._members if member.shipped]
        in_front = all(member.shipped for member in self._members[: len(shipped)])
        return (
            in_front
            and set(cursors.by_writer) == {self._spool}
            and own.count == len(shipped)
            and own == advance_all(ZERO, [file.member for file in shipped])
            and present.size == sum(file.member.packed_bytes for file in shipped)
        )

    async def _fetch(self, present: Present) -> Slice:
        handle, path = await self._offload(self._files.fresh_base)
        length = 0
        try:
            async for chunk in self._store.get(self.key, if_match=present.etag):
                await self._offload(lambda chunk=chunk: handle.write([chunk]))  # type: ignore[misc]
                length += len(chunk)
        finally:
            await self._offload(handle.close)
        if length != present.size:
            raise StoreError(
                Kind.TRANSIENT, f"read {self.key}", f"{length} bytes came of {present.size}", applied=False
            )
        return Slice(path, 0, length)

    async def _note(self, *, multipart: bool | None = None) -> None:
        known = self._ledger or HourLedger()
        shipped = tuple(member.file.member.id for member in self._members if member.shipped)
        unfinished = known.multipart if multipart is None else multipart
        ledger = HourLedger(self._cursor, shipped, unfinished, self._certain, self._host)
        if ledger == self._ledger:
            return
        await self._offload(lambda: self._files.write_ledger(ledger))
        self._ledger = ledger

    async def _drop_if_safe(self, present: Present | None) -> None:
        """Free the disk of what the object holds, where growing it further will not need it."""
        if present is None:
            return
        capabilities: Capabilities = await self._store.capabilities()
        if capabilities.append_guarded and present.size >= capabilities.append_min:
            await self._drop()

    async def _drop(self) -> None:
        """Remove the members that are in the object for certain."""
        shipped = [member for member in self._members if member.shipped]
        gone: list[str] = []
        paths = [member.file.path for member in shipped]
        try:
            await self._offload(lambda: self._files.remove(paths, gone.append))
        finally:
            freed = [member for member in shipped if member.file.path in gone]
            self._members = [member for member in self._members if member.file.path not in gone]
            self._space.remove(sum(member.file.member.packed_bytes for member in freed))


def _body(members: Sequence[_Held]) -> Body:
    return Body(tuple(Slice(one.file.path, 0, one.file.member.packed_bytes, one.sha256) for one in members))
