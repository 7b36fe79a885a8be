"""The gateway's side of one worker: does what it asks for, and knows which unfinished files it leaves behind when it
dies. Owns that list; must never know how a worker is started, or how its messages travel."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.space import Space
from lf6gateway.disk.specimen_writer import final_path, give_name
from lf6gateway.disk.specimens import SpecimenSpool
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.services.admission import DISK_FAILING
from lf6gateway.services.receive import Receiver
from lf6gateway.values.stream import Stream
from lf6gateway.values.wire import DiskFailed, Gone, Grew, Message, Outcome, Records, State, Whole

_log = Logger()


class Branch:
    """Serves one worker.

    :param send: passes a message on to it.
    :param offload: runs what touches the disk.
    :param specimens: told which files the worker writes to.
    :param found: told the path and size of each specimen that counts from now on.
    """

    def __init__(
        self,
        *,
        receiver: Receiver,
        send: Callable[[Message], None],
        fs: FileSystem,
        offload: Offload,
        space: Space,
        specimens: SpecimenSpool,
        found: Callable[[str, int], None],
    ) -> None:
        self._receiver = receiver
        self._send = send
        self._fs = fs
        self._offload = offload
        self._space = space
        self._specimens = specimens
        self._found = found
        self._unfinished: dict[str, int] = {}
        self._told: State | None = None

    def received(self, message: Message) -> None:
        """The worker says something."""
        match message:
            case Records() if message.key is None:
                self._keep(message)
            case Records():
                Deferred.fromCoroutine(self._records(message)).addErrback(self._refused, message.id)
            case Whole():
                Deferred.fromCoroutine(self._specimen(message)).addErrback(self._refused, message.id)
            case Grew():
                self._specimens.begun(message.path)
                self._space.add(message.size - self._unfinished.get(message.path, 0))
                self._unfinished[message.path] = message.size
                self.tell_state()
            case Gone():
                self._specimens.ended(message.path)
                self._space.remove(self._unfinished.pop(message.path, 0), drained=False)
            case DiskFailed():
                self._space.note_failure(message.detail)
                self.tell_state()
            case _:
                raise ValueError(f"a worker does not say {type(message).__name__}")

    def tell_state(self) -> None:
        """Let the worker know why nothing is taken now, or that it is, where that has changed."""
        refusal = self._receiver.refusal()
        if refusal is None:
            now = State(self._space.left)
        else:
            now = State(0, refusal.reason, refusal.detail, refusal.retry_after)
        if now != self._told:
            self._told = now
            self._send(now)

    def lost(self) -> None:
        """The worker is dead: nobody finishes what it was writing."""
        unfinished, self._unfinished = self._unfinished, {}
        for path, size in unfinished.items():
            self._space.remove(size, drained=False)
            Deferred.fromCoroutine(self._forget(path)).addErrback(_not_removed, path)

    def _keep(self, asked: Records) -> None:
        def told(error: Exception | None) -> None:
            if error is None:
                self._send(Outcome(asked.id))
            else:
                self._refused(Failure(error), asked.id)

        try:
            stream = Stream(asked.stream)
            self._receiver.keep(stream, asked.user, asked.lines, asked.count, asked.request_id, told)
        except Exception:
            self._refused(Failure(), asked.id)

    async def _records(self, asked: Records) -> None:
        await self._receiver.records(
            Stream(asked.stream),
            user=asked.user,
            lines=asked.lines,
            count=asked.count,
            key=asked.key,
            request_id=asked.request_id,
        )
        self._send(Outcome(asked.id))

    async def _specimen(self, asked: Whole) -> None:
        # From here on the file is ours, whatever becomes of the worker.
        refusal = self._space.refusal(asked.size - self._unfinished.get(asked.path, 0))
        self._space.add(asked.size - self._unfinished.pop(asked.path, 0))
        kept = False
        try:
            if refusal is not None and refusal.reason != DISK_FAILING:  # a disk that fails says so itself
                raise SpoolUnavailable(refusal.reason, refusal.detail, refusal.retry_after)
            kept = await self._receiver.finish_specimen(
                user=asked.user,
                key=asked.key,
                received_ns=asked.received_ns,
                size=asked.size,
                keep=lambda: self._offload(partial(give_name, self._fs, asked.path)).addCallback(_nothing),
            )
        except OSError as error:
            self._space.note_failure(str(error))
            raise SpoolUnavailable("disk_failing", f"the disk failed: {error}", 5) from error
        finally:
            if not kept:
                self._space.remove(asked.size, drained=False)
                await self._offload(partial(self._remove, asked.path)).addErrback(_not_removed, asked.path)
            self._specimens.ended(asked.path)
        if kept:
            self._space.note_success()
            self._found(final_path(asked.path), asked.size)
        self._send(Outcome(asked.id, repeated=not kept))
        self.tell_state()

    async def _forget(self, path: str) -> None:
        try:
            await self._offload(partial(self._remove, path))
        finally:
            self._specimens.ended(path)

    def _remove(self, path: str) -> None:
        for name in (path, final_path(path)):
            if self._fs.exists(name):
                self._fs.unlink(name)
                self._fs.sync_dir(os.path.dirname(name))

    def _refused(self, failure: Failure, identity: int) -> None:
        error = failure.value
        if not isinstance(error, SpoolUnavailable):
            _log.failure("what a worker asked for failed", failure)
            error = SpoolUnavailable("disk_failing", f"the gateway failed: {error}", 5)
        self._send(Outcome(identity, False, error.reason, error.detail, error.retry_after))
        self.tell_state()


def _nothing(_: object) -> None:
    """What was to be done is done."""


def _not_removed(failure: Failure, path: str) -> None:
    _log.failure("{path} could not be removed; the next start removes it", failure, path=path)
