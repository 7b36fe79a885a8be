"""The queue of one process on disk: what was handed over and is not acknowledged. Owns its folder and the order of
effects by which a kill at any moment loses none of it; must never send anything, nor hold more than one batch in
memory.

``queue/<identity>/<process>/`` belongs to the process that has locked the file ``lock`` in it. What a process leaves
behind is taken over, file by file, by the next one that finds the lock free. A batch grows in its file, synced before
anybody is told that a record is there; it is sent when it is closed, and never written to again."""

from __future__ import annotations

import bisect
import json
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from lf6gateway.client.events import Event
from lf6gateway.client.failures import ClientError, QueueFailed, QueueFull
from lf6gateway.client.folder import Folder, sync_folder
from lf6gateway.client.options import Options
from lf6gateway.client.parcel import OPEN, PART, READY, Parcel, half_key, room_of

_PIECE: Final = 1 << 20


@dataclass(slots=True)
class _Growing:
    """A batch that still grows, all of it synced."""

    parcel: Parcel
    descriptor: int
    count: int
    begun: float


class Ticket:
    """Whether something is still wanted; once it is claimed it cannot be given up any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._claimed = False
        self.given_up = False

    def claim(self) -> bool:
        """Whether it is wanted, from now on for good."""
        with self._lock:
            self._claimed = not self.given_up
            return self._claimed

    def give_up(self) -> bool:
        """Whether it is given up."""
        with self._lock:
            self.given_up = not self._claimed
            return self.given_up


class Outbox:
    """See the module. All methods block on the disk, and any thread may call them.

    :param root: the folder of the identity.
    :param told: told what is dropped or set aside.
    """

    def __init__(
        self,
        root: str,
        options: Options,
        *,
        told: Callable[[Event], None],
        new_key: Callable[[], str],
        now_ns: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = options
        self._told = told
        self._new_key = new_key
        self._now_ns = now_ns
        self._monotonic = monotonic
        self._lock = threading.RLock()
        self._growing: dict[str, _Growing] = {}
        self._parcels: list[Parcel] = []
        self._taken: Parcel | None = None
        self._last_ns = 0
        self._folder = Folder(root)
        self._used = self._folder.aside_room()
        self.adopt()

    # Putting in.

    def append(self, stream: str, lines: Sequence[bytes]) -> list[ClientError | None]:
        """Add records, each a line; for each, why it was not kept. What is kept is on stable storage."""
        with self._lock:
            done: list[ClientError | None] = []
            while len(done) < len(lines):
                fitting = self._fitting(stream, lines[len(done) :])
                error = self._write(stream, fitting)
                done += [error] * len(fitting)
            return done

    def _fitting(self, stream: str, lines: Sequence[bytes]) -> list[bytes]:
        """The first of some lines, which go into the batch that grows, or into a new one."""
        growing = self._growing.get(stream)
        count, size = (0, 0) if growing is None else (growing.count, growing.parcel.size)
        most, most_bytes = self._options.batch_records, self._options.batch_bytes
        if growing is not None and (count >= most or size + len(lines[0]) > most_bytes):
            self._close(stream)
            count = size = 0
        fitting = [lines[0]]
        size += len(lines[0])
        for line in lines[1:]:
            size += len(line)
            if count + len(fitting) >= most or size > most_bytes:
                break
            fitting.append(line)
        return fitting

    def _write(self, stream: str, lines: list[bytes]) -> ClientError | None:
        data = b"".join(lines)
        growing = self._growing.get(stream)
        size = 0 if growing is None else growing.parcel.size
        more = room_of(size + len(data)) - (room_of(size) if growing else 0)
        try:
            self._make_room(more)
            if growing is None:
                growing = self._growing[stream] = self._begin(stream)
            _write_all(growing.descriptor, data)
            os.fdatasync(growing.descriptor)
        except QueueFull as error:
            return error
        except OSError as error:
            self._give_up(stream)
            return QueueFailed(f"{self._folder.path}: the queue's disk failed: {error}")
        growing.parcel = replace(growing.parcel, size=size + len(data))
        growing.count += len(lines)
        self._used += more
        return None

    def _begin(self, stream: str) -> _Growing:
        parcel = Parcel(self._moment(), self._new_key(), stream, 0, state=OPEN)
        descriptor = os.open(self._folder.file(parcel), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        growing = _Growing(parcel, descriptor, 0, self._monotonic())
        try:
            sync_folder(self._folder.path)
        except OSError:
            os.close(descriptor)
            raise
        return growing

    def _give_up(self, stream: str) -> None:
        """After an error nobody knows what the disk has: the batch ends at what was synced before."""
        growing = self._growing.get(stream)
        if growing is None:
            return
        with suppress(OSError):  # then the start after this one cuts it, or the gateway is sent what nobody counted on
            os.ftruncate(growing.descriptor, growing.parcel.size)
        self._close(stream)

    def specimen(self, source: BinaryIO, head: dict[str, str], *, expected: int, ticket: Ticket) -> Parcel | None:
        """Copy a specimen into the queue; ``None``: it was given up.

        :param head: what is known of it: ``uri``, and perhaps ``content_type``.
        :raises QueueFull: there is no room.
        :raises OSError: it could not be read or written.
        """
        with self._lock:
            self._make_room(room_of(expected))
            parcel = Parcel(self._moment(), self._new_key(), "specimen", 0, state=PART)
        path = self._folder.file(parcel)
        first = json.dumps(head).encode() + b"\n"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            try:
                _write_all(descriptor, first)
                size = len(first)
                while piece := source.read(_PIECE):
                    size += len(piece)
                    if size > expected + len(first):
                        with self._lock:
                            self._make_room(room_of(size))
                    if ticket.given_up:
                        break
                    _write_all(descriptor, piece)
                else:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            with self._lock:
                ready = replace(parcel, size=size, state=READY)
                self._make_room(ready.room)
                if ticket.claim():
                    os.rename(path, self._folder.file(ready))
                    sync_folder(self._folder.path)
                    bisect.insort(self._parcels, ready, key=_order)
                    self._used += ready.room
                    return ready
        except BaseException:
            os.unlink(path)
            raise
        os.unlink(path)
        return None

    def _moment(self) -> int:
        self._last_ns = max(self._now_ns(), self._last_ns + 1)
        return self._last_ns

    def _make_room(self, more: int) -> None:
        options = self._options
        while self._used + more > options.max_bytes:
            oldest = next((one for one in self._parcels if one != self._taken), None)
            if options.when_full == "refuse" or oldest is None:
                raise QueueFull(
                    f"{self._folder.root}: the queue takes up {self._used} bytes of the {options.max_bytes} it may "
                    "(max_bytes); it empties when the gateway can be reached"
                )
            self._drop(oldest, f"the queue is full (max_bytes is {options.max_bytes})")

    # Taking out.

    def take(self, without: Sequence[str] = (), *, everything: bool = False) -> Parcel | None:
        """The oldest parcel, which stays until ``sent`` or ``set_aside``; batches whose time is over are closed.

        :param without: streams of which none is wanted.
        :param everything: close all batches.
        """
        with self._lock:
            for stream, growing in list(self._growing.items()):
                if stream not in without and (
                    everything or self._monotonic() - growing.begun >= self._options.batch_seconds
                ):
                    self._close(stream)
            self._taken = next((one for one in self._parcels if one.stream not in without), None)
            return self._taken

    def due(self, without: Sequence[str] = ()) -> float | None:
        """Seconds until a batch that grows is closed; ``None``: none grows."""
        with self._lock:
            begun = [growing.begun for stream, growing in self._growing.items() if stream not in without]
            return max(0.0, min(begun) + self._options.batch_seconds - self._monotonic()) if begun else None

    def mark(self, parcel: Parcel, since: int | None) -> Parcel:
        """Note, durably, from when on the gateway may have kept it, before it is sent."""
        with self._lock:
            marked = replace(parcel, since=since)
            if marked != parcel:
                os.rename(self._folder.file(parcel), self._folder.file(marked))
                if since is not None:
                    sync_folder(self._folder.path)
                self._replace(parcel, [marked])
                self._taken = marked
            return marked

    def body(self, parcel: Parcel) -> bytes:
        """The lines of a batch."""
        with open(self._folder.file(parcel), "rb") as file:
            return file.read(parcel.size)

    def open_specimen(self, parcel: Parcel) -> tuple[dict[str, str], BinaryIO, int]:
        """What is known of a specimen, its file at the beginning of its bytes, and how many they are."""
        file = open(self._folder.file(parcel), "rb")  # noqa: SIM115 - the caller closes it
        try:
            first = file.readline()
            return json.loads(first), file, parcel.size - len(first)
        except BaseException:
            file.close()
            raise

    def sent(self, parcel: Parcel) -> None:
        """It is acknowledged: remove it."""
        with self._lock:
            os.unlink(self._folder.file(parcel))
            sync_folder(self._folder.path)
            self._replace(parcel, [])

    def split(self, parcel: Parcel, data: bytes) -> None:
        """Put two halves in the place of a batch of which something is never taken. Halved again after a crash, they
        have the same keys."""
        lines = data.splitlines(keepends=True)
        middle = len(lines) // 2
        with self._lock:
            halves = []
            for number, some in enumerate((lines[:middle], lines[middle:])):
                text = b"".join(some)
                half = Parcel(parcel.created_ns, half_key(parcel.key, number), parcel.stream, len(text))
                path = self._folder.file(replace(half, state=PART))
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                try:
                    _write_all(descriptor, text)
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
                os.rename(path, self._folder.file(half))
                halves.append(half)
            sync_folder(self._folder.path)
            os.unlink(self._folder.file(parcel))
            sync_folder(self._folder.path)
            self._replace(parcel, halves)

    def set_aside(self, parcel: Parcel, why: str) -> str:
        """Keep it where nobody sends it, with a note of why; where that is."""
        with self._lock:
            path = self._folder.take_aside(parcel, why)
            self._replace(parcel, [])
            self._used += parcel.room + room_of(0)
            return path

    def expire(self, before_ns: int) -> None:
        """Drop what was handed over before a moment."""
        with self._lock:
            while self._parcels and self._parcels[0].created_ns < before_ns:
                self._drop(self._parcels[0], f"it waited longer than max_age ({self._options.max_age} s)")

    def adopt(self) -> None:
        """Take over what processes that are gone left behind."""
        with self._lock:
            for parcel in self._folder.adopt():
                bisect.insort(self._parcels, parcel, key=_order)
                self._used += parcel.room

    def strangers(self) -> int:
        """How many other identities have left something in the same queue."""
        return self._folder.strangers()

    @property
    def used(self) -> int:
        """Bytes on disk."""
        return self._used

    @property
    def waiting(self) -> int:
        """Parcels, those that grow among them. Takes no lock, so that nobody waits here for the disk."""
        return len(self._parcels) + len(self._growing)

    def close(self) -> None:
        """Leave the queue to the next process."""
        with self._lock:
            for stream in list(self._growing):
                self._close(stream)
            self._folder.close()

    def forget(self) -> None:
        """In a process that was forked: let go of the files, which are the parent's. Takes no lock."""
        for growing in self._growing.values():
            os.close(growing.descriptor)
        self._folder.forget()

    def _close(self, stream: str) -> None:
        growing = self._growing[stream]
        if growing.parcel.size == 0:
            os.unlink(self._folder.file(growing.parcel))
        else:
            # Needs no sync: under its old name it is found again as it is, and with the same key.
            closed = replace(growing.parcel, state=READY)
            os.rename(self._folder.file(growing.parcel), self._folder.file(closed))
            bisect.insort(self._parcels, closed, key=_order)
        # Only now, so that ``waiting`` never misses it.
        del self._growing[stream]
        os.close(growing.descriptor)

    def _drop(self, parcel: Parcel, why: str) -> None:
        records = self.records(parcel)
        os.unlink(self._folder.file(parcel))
        self._replace(parcel, [])
        self._told(Event("dropped", parcel.stream, records, why))

    def records(self, parcel: Parcel) -> int:
        """How many records it holds."""
        if parcel.stream == "specimen":
            return 1
        try:
            return self.body(parcel).count(b"\n")
        except OSError:
            return 0

    def _replace(self, parcel: Parcel, others: Sequence[Parcel]) -> None:
        # The new ones come first, so that ``waiting`` never misses them.
        for other in others:
            bisect.insort_right(self._parcels, other, key=_order)
            self._used += other.room
        del self._parcels[bisect.bisect_left(self._parcels, _order(parcel), key=_order)]
        self._used -= parcel.room
        if self._taken == parcel:
            self._taken = None


def _order(parcel: Parcel) -> tuple[int, str]:
    return parcel.created_ns, parcel.key


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
