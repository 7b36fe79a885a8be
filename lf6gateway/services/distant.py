"""The door for records and specimens in a worker process, which has no journal: the gateway it belongs to keeps them.
Owns what was asked and not yet answered; must never acknowledge anything by itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred

from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.space import Refusal
from lf6gateway.disk.specimen_writer import SpecimenWriter
from lf6gateway.disk.specimens import SpecimenSpool
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.services.admission import DISK_FAILING, LOOK_EVERY, STARTING, Trials, busy, room_for
from lf6gateway.values.moment import Moments
from lf6gateway.values.stream import Stream
from lf6gateway.values.wire import DiskFailed, Gone, Grew, Message, Outcome, Records, State, Whole

FULL_RETRY: Final = 30
"""Seconds until asking again makes sense where there is room, but not for so much."""


class DistantReceiver:
    """As ``Receiver``, for the edge.

    :param send: passes a message on to the gateway.
    :param root: ``cache_dir/spool``.
    :param offload: writes specimens.
    :param max_waiting: the most bytes that may wait for the gateway's answer before more are refused.
    :param now_ns: the time in nanoseconds since 1970.
    """

    def __init__(
        self,
        *,
        send: Callable[[Message], None],
        fs: FileSystem,
        root: str,
        offload: Offload,
        new_id: Callable[[], str],
        max_waiting: int,
        now_ns: Callable[[], int],
    ) -> None:
        self.max_waiting = max_waiting
        self.send = send
        self._moments = Moments(now_ns)
        self._trials = Trials(now_ns)
        self._ids = itertools.count(1)
        self._asked: dict[int, tuple[Callable[[Outcome], None], int]] = {}
        self._waiting = 0
        self._refusal: Refusal | None = STARTING
        self._left = 0
        self._specimens = SpecimenSpool(
            fs=fs, root=root, offload=offload, space=self, new_id=new_id, committed=lambda path, size: None, named=False
        )

    def told(self, state: State) -> None:
        """The gateway says whether it takes data."""
        self._left = state.left
        self._refusal = Refusal(state.reason, state.detail, state.retry_after) if state.reason else None

    def outcome(self, outcome: Outcome) -> None:
        """The gateway says what became of a request."""
        told, size = self._asked.pop(outcome.id)
        self._waiting -= size
        told(outcome)

    def refusal(self, incoming: int = 0) -> Refusal | None:
        """See ``Receiver``."""
        if self._waiting and self._waiting + incoming > self.max_waiting:
            return busy(self._waiting)
        if self._refusal is None and incoming > self._left:
            return Refusal("spool_full", f"there is room for {self._left} bytes", FULL_RETRY)
        return self._refusal

    def admission(self, incoming: int) -> Refusal | None:
        """See ``Receiver``."""
        return self._trials.unless_tried(self.refusal(incoming))

    def repeated(self, stream: Stream, user: str, key: str | None) -> bool:
        """The gateway alone knows, and is asked with the whole request."""
        return False

    def keep(
        self,
        stream: Stream,
        user: str,
        lines: bytes,
        count: int,
        request_id: str,
        told: Callable[[Exception | None], None],
    ) -> None:
        """See ``Receiver``."""
        identity = next(self._ids)
        size = len(lines)
        self._asked[identity] = (lambda outcome: told(_error(outcome)), size)
        self._waiting += size
        self.send(Records(identity, stream.value, user, lines, count, None, request_id))

    async def records(
        self, stream: Stream, *, user: str, lines: bytes, count: int, key: str | None, request_id: str
    ) -> None:
        """See ``Receiver``."""
        identity = next(self._ids)
        asked = Records(identity, stream.value, user, lines, count, key, request_id)
        await self._ask(identity, asked, len(lines))

    def specimen(
        self,
        *,
        user: str,
        uri: str,
        content_type: str | None,
        key: str | None,
        request_id: str,
        length: int | None = None,
    ) -> DistantReception:
        """See ``Receiver``."""
        received_ns = self._moments.next()
        writer = self._specimens.begin(
            received_ns=received_ns, user=user, uri=uri, content_type=content_type, key=key, request_id=request_id
        )
        return DistantReception(self, writer, received_ns, user, key, room_for(length))

    async def finish(self, writer: SpecimenWriter, received_ns: int, user: str, key: str | None) -> None:
        """Have the gateway keep a specimen that is whole and synced."""
        identity = next(self._ids)
        await self._ask(identity, Whole(identity, writer.path, writer.size, user, key, received_ns), 0)

    def check_room(self) -> None:
        """Refuse to go on with a specimen where the spool has filled up meanwhile."""
        refusal = self._refusal
        if refusal is not None and refusal.reason not in (DISK_FAILING, "draining"):
            raise SpoolUnavailable(refusal.reason, refusal.detail, refusal.retry_after)

    def _ask(self, identity: int, message: Message, size: int) -> Deferred[bool]:
        answer: Deferred[bool] = Deferred()

        def told(outcome: Outcome) -> None:
            error = _error(outcome)
            if error is None:
                answer.callback(not outcome.repeated)
            else:
                answer.errback(error)

        self._asked[identity] = (told, size)
        self._waiting += size
        self.send(message)
        return answer

    # What the writers of specimens say of the disk.

    def add(self, size: int) -> None:
        """Told by ``Grew``."""

    def remove(self, size: int, *, drained: bool = True) -> None:
        """Told by ``Gone``."""

    def add_file(self) -> None:
        """Seen when the disk is looked at."""

    def note_failure(self, detail: str) -> None:
        """The disk failed."""
        self.send(DiskFailed(detail))

    def note_success(self) -> None:
        """The gateway sees that when it gives the specimen its name."""


def _error(outcome: Outcome) -> SpoolUnavailable | None:
    return SpoolUnavailable(outcome.reason, outcome.detail, outcome.retry_after) if outcome.reason else None


class DistantReception:
    """One specimen that comes in; as ``SpecimenReception``."""

    def __init__(
        self,
        receiver: DistantReceiver,
        writer: SpecimenWriter,
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
        self._size = 0
        self._told = promised
        # Before there is a file, so that one of a worker that died is known.
        receiver.send(Grew(writer.path, promised))

    @property
    def waiting(self) -> int:
        """Bytes that wait for the disk."""
        return self._writer.waiting

    def write(self, data: bytes) -> None:
        """See ``SpecimenReception``."""
        self._size += len(data)
        if self._size - self._told >= LOOK_EVERY:
            self._told = self._size
            self._receiver.send(Grew(self._writer.path, self._size))
            self._receiver.check_room()
        self._writer.write(data)

    def when_drained(self) -> Deferred[None]:
        """See ``SpecimenReception``."""
        return self._writer.when_drained()

    async def commit(self) -> None:
        """See ``SpecimenReception``."""
        try:
            await self._writer.commit()
        except BaseException:
            self._receiver.send(Gone(self._writer.path))
            raise
        await self._receiver.finish(self._writer, self._received_ns, self._user, self._key)

    def abort(self) -> Deferred[None]:
        """See ``SpecimenReception``."""
        return self._writer.abort().addBoth(self._aborted)

    def _aborted(self, outcome: None) -> None:
        self._receiver.send(Gone(self._writer.path))
        return outcome
