"""The two threads of a client in one process: one writes what is handed over to the queue, one sends it. Owns their
loops and what waits between the application and the disk; must never keep the application longer than it asked for."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from typing import Final

from lf6gateway.client.answers import Verdict, judge, unanswered
from lf6gateway.client.connection import Connection, Unanswered
from lf6gateway.client.events import Event, Statistics
from lf6gateway.client.failures import ClientError, Closed, QueueFailed, QueueFull
from lf6gateway.client.options import Options
from lf6gateway.client.outbox import Ticket
from lf6gateway.client.parcel import Parcel
from lf6gateway.client.parts import Parts
from lf6gateway.client.specimen import Specimen
from lf6gateway.client.target import Target, Who

_log = logging.getLogger("lf6gateway.client")

_AT_ONCE: Final = 1 << 20
"""Bytes that are written with one sync."""
_AFTER_TROUBLE: Final = 1.0
"""Seconds until the sender tries again when the queue's disk failed."""


class _Slot:
    """A record between the application and the disk."""

    __slots__ = ("done", "error", "left", "line", "stream")

    def __init__(self, stream: str, line: bytes) -> None:
        self.stream = stream
        self.line = line
        self.done = False
        self.left = False
        self.error: ClientError | None = None


class Threads:
    """See the module. They begin at once.

    :raises OSError: the queue cannot be made, or a certificate not be read.
    """

    def __init__(self, target: Target, who: Who, options: Options) -> None:
        self._options = options
        self._connection = Connection(target, options)
        self._parts = Parts(target, who, options)
        self._changed = threading.Condition()
        self._slots: deque[_Slot] = deque()
        self._unwritten = 0
        self._busy = False
        self._copying = 0
        self._closed = False
        self._ended = False
        self._wake = threading.Event()
        self._left_alone = False
        self._writer = threading.Thread(target=self._write, name="lf6gateway-client-queue", daemon=True)
        self._sender = threading.Thread(target=self._send, name="lf6gateway-client-send", daemon=True)
        self._writer.start()
        self._sender.start()

    def put(self, stream: str, line: bytes, wait: float) -> bool:
        """Hand a record over; whether it is on disk, after ``wait`` seconds at most. Where it is not, it still waits
        for the disk.

        :raises ClientError: it is not kept.
        """
        deadline = time.monotonic() + wait
        slot = _Slot(stream, line)
        with self._changed:
            while not self._closed and self._unwritten + len(line) > self._options.max_unwritten_bytes:
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    raise QueueFull(
                        f"{self._unwritten} bytes wait for the queue's disk already (max_unwritten_bytes is "
                        f"{self._options.max_unwritten_bytes})"
                    )
            if self._closed:
                raise Closed("the client is closed")
            self._slots.append(slot)
            self._unwritten += len(line)
            self._changed.notify_all()
            while not slot.done:
                left = deadline - time.monotonic()
                if left <= 0:
                    slot.left = True
                    break
                self._changed.wait(left)
        if slot.error is not None:
            raise slot.error
        return slot.done

    def specimen(self, specimen: Specimen, wait: float) -> bool:
        """Copy a specimen into the queue; whether it is there. A copy that takes longer than ``wait`` seconds is given
        up; only if it was just about to count, the answer is ``False``.

        :raises ClientError: it is not kept.
        :raises OSError: it cannot be read.
        """
        ticket, over = Ticket(), threading.Event()
        errors: list[BaseException] = []

        def copy() -> None:
            try:
                with specimen.opened() as (file, expected):
                    self._parts.outbox.specimen(file, specimen.head, expected=expected, ticket=ticket)
            except BaseException as error:
                errors.append(error)
            finally:
                with self._changed:
                    self._copying -= 1
                    self._changed.notify_all()
                over.set()
                self._wake.set()

        with self._changed:
            if self._closed:
                raise Closed("the client is closed")
            self._copying += 1
        # A thread of its own: a source that gives nothing must hold up nobody else.
        threading.Thread(target=copy, name="lf6gateway-client-copy", daemon=True).start()
        if not over.wait(wait):
            if ticket.give_up():
                raise QueueFailed(f"the specimen could not be copied into the queue within {wait} s; it is not kept")
            return over.is_set()
        if errors:
            raise errors[0]
        return True

    def flush(self, seconds: float) -> bool:
        """Send everything now; whether all of it is acknowledged, after so many seconds at most."""
        deadline = time.monotonic() + seconds
        courier = self._parts.courier
        courier.everything = True
        try:
            courier.hurry()
            self._wake.set()
            with self._changed:
                while self._slots or self._busy or self._copying or self._parts.outbox.waiting:
                    left = deadline - time.monotonic()
                    if left <= 0:
                        return False
                    self._changed.wait(left)
            return True
        finally:
            courier.everything = self._closed

    def close(self, seconds: float) -> bool:
        """Take nothing more, send what there is, and end; whether all of it is acknowledged. What is not stays in the
        queue."""
        deadline = time.monotonic() + seconds
        with self._changed:
            if self._closed:
                return True
            self._closed = True
            self._changed.notify_all()
        done = self.flush(seconds)
        self._ended = True
        self._wake.set()
        with self._changed:
            self._changed.notify_all()
        self._connection.close()
        for thread in (self._writer, self._sender):
            thread.join(max(0.5, deadline - time.monotonic()))
        with self._changed:
            self._left_alone = self._sender.is_alive() or self._writer.is_alive()
        if not self._left_alone:
            self._parts.outbox.close()
        return done

    def statistics(self) -> Statistics:
        """Figures since the beginning."""
        return self._parts.statistics(len(self._slots))

    def forget(self) -> None:
        """In a process that was forked, which has none of these threads: let go of what is the parent's. Takes no
        lock."""
        self._parts.outbox.forget()
        self._connection.forget()

    # The writer.

    def _write(self) -> None:
        while True:
            with self._changed:
                while not self._slots:
                    if self._ended:
                        return
                    self._changed.wait()
                some = [self._slots.popleft()]
                size = len(some[0].line)
                while self._slots and size + len(self._slots[0].line) <= _AT_ONCE:
                    some.append(self._slots.popleft())
                    size += len(some[-1].line)
                self._busy = True
            errors = self._append(some)
            with self._changed:
                self._busy = False
                self._unwritten -= size
                for slot, error in zip(some, errors, strict=True):
                    # With the lock held, as ``left`` is set: so either its owner hears of an error, or ``told`` does.
                    slot.error, slot.done = error, True
                self._changed.notify_all()
            lost = [error for slot, error in zip(some, errors, strict=True) if error is not None and slot.left]
            if lost:
                self._parts.teller(Event("lost", "", len(lost), str(lost[0])))
            self._wake.set()

    def _append(self, slots: list[_Slot]) -> list[ClientError | None]:
        errors: dict[int, ClientError | None] = {}
        for stream in ("usage", "error"):
            chosen = [slot for slot in slots if slot.stream == stream]
            if not chosen:
                continue
            try:
                found = self._parts.outbox.append(stream, [slot.line for slot in chosen])
            except Exception as error:
                _log.exception("the queue could not take %d records", len(chosen))
                found = [QueueFailed(f"the queue failed: {error}")] * len(chosen)
            errors |= {id(slot): error for slot, error in zip(chosen, found, strict=True)}
        return [errors[id(slot)] for slot in slots]

    # The sender.

    def _send(self) -> None:
        courier = self._parts.courier
        while not self._ended:
            self._wake.clear()
            try:
                step = courier.next()
                if isinstance(step, Parcel):
                    courier.settle(step, self._exchange(step))
                    with self._changed:
                        self._changed.notify_all()
                    continue
            except Exception:
                _log.exception("the queue failed; it is tried again in %.0f s", _AFTER_TROUBLE)
                step = _AFTER_TROUBLE
            self._wake.wait(step)
        with self._changed:
            if self._left_alone:  # close() could not wait for us
                self._parts.outbox.close()

    def _exchange(self, parcel: Parcel) -> Verdict:
        try:
            request = self._parts.request(parcel)
        except ValueError as error:
            return Verdict("refused", str(error))
        except Exception as error:
            if isinstance(error, OSError):
                raise
            _log.exception("the user or token could not be had")
            return Verdict("refused", f"the user or token could not be had: {type(error).__name__}")
        try:
            return judge(self._connection.send(request.path, request.fields, request.body, request.length))
        except Unanswered as none:
            return unanswered(none.error, sent=none.sent)
        finally:
            request.close()
