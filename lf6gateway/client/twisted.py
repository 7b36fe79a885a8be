"""The client for Twisted programs: the same queue and the same decisions as ``lf6gateway.client``, in a reactor instead
of threads. Owns its loops and its thread pools; must never touch the disk in the reactor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool
from twisted.web.iweb import IAgent

from lf6gateway.client.answers import Answer, Verdict, judge, unanswered
from lf6gateway.client.events import Event, Statistics
from lf6gateway.client.failures import ClientError, Closed, QueueFailed, QueueFull
from lf6gateway.client.options import Options
from lf6gateway.client.outbox import Ticket
from lf6gateway.client.parcel import Parcel
from lf6gateway.client.parts import Parts
from lf6gateway.client.records import exception_record, line_of
from lf6gateway.client.specimen import Source, Specimen, specimen_of
from lf6gateway.client.target import Who, fields_of, target_of
from lf6gateway.client.twisted_request import Sender

_log = Logger()
T = TypeVar("T")

_PIECE: Final = 64 * 1024
_MOST_BODY: Final = 64 * 1024
_AFTER_TROUBLE: Final = 1.0
"""Seconds until the sender tries again when the queue's disk failed."""
_NOT_SENT: Final = (ConnectError, DNSLookupError)


@define(eq=False)
class _Handed:
    """A record on its way to the disk."""

    stream: str
    line: bytes
    kept: Deferred[None]


class Client(Service):
    """Sends usage reports, error reports and specimens to a gateway, each once, through a queue on disk.

    Give it a parent service, or call ``startService`` and ``stopService`` yourself; what is handed over before the
    start waits. ``Options.wait`` and ``specimen_wait`` mean nothing here, for whoever does not want to wait does not.

    :param url: the gateway's, such as ``https://insights.example.com``.
    :param user_or_token: the user's name, or the token that proves it; or what gives one that is good now, called in a
        thread before each request.
    :param agent: sends the requests; one by ``Options`` if left out. A proxy needs one of your own.
    :param reactor: the global one if left out.
    :raises ValueError: the URL, the user or an option is none.
    :raises OSError: a certificate cannot be read.
    """

    def __init__(
        self,
        url: str,
        user_or_token: Who,
        options: Options | None = None,
        *,
        agent: IAgent | None = None,
        reactor: Any = None,
    ) -> None:
        if reactor is None:
            from twisted.internet import reactor as running

            reactor = running
        self.options = options or Options()
        if self.options.proxy:
            raise ValueError("proxy is not for the Twisted client; give it an agent that speaks through the proxy")
        self._target = target_of(url, self.options)
        self._who = user_or_token
        if isinstance(user_or_token, str):
            fields_of(user_or_token)
        self._reactor = reactor
        self._disk = ThreadPool(0, 1, "lf6gateway-client-queue")
        self._copies = ThreadPool(0, 2, "lf6gateway-client-copy")
        self._sender = Sender(self._target, self.options, agent, self._disk, reactor)
        self._parts: Parts | None = None
        self._handed: list[_Handed] = []
        self._unwritten = 0
        self._writing = False
        self._copying = 0
        self._closed = False
        self._ended = False
        self._sending: Deferred[None] | None = None
        self._request: Deferred[Answer] | None = None
        self._pause: tuple[Deferred[None], IDelayedCall | None] | None = None
        self._flushes: list[Deferred[None]] = []

    def startService(self) -> None:
        """Begin to send what is in the queue."""
        super().startService()
        self._disk.start()
        self._copies.start()
        self._sending = Deferred.fromCoroutine(self._send())

    def usage(self, report: Any) -> Deferred[None]:
        """Hand a usage report over; fires when it is on disk.

        :param report: as for ``lf6gateway.client.Client.usage``.
        :raises ClientError: it is not kept.
        """
        return Deferred.fromCoroutine(self._put("usage", report))

    def error(self, report: Any, *, more: Mapping[str, Any] | None = None) -> Deferred[None]:
        """Hand an error report over, or an exception, or a ``Failure``; fires when it is on disk.

        :param more: further members of the report.
        :raises ClientError: it is not kept.
        """
        if isinstance(report, Failure) and report.value is not None:
            found = report.value
            report = found if found.__traceback__ else found.with_traceback(report.getTracebackObject())
        if isinstance(report, BaseException):
            report = exception_record(report, more)
        elif more is not None:
            report = {**more, **report}
        return Deferred.fromCoroutine(self._put("error", report))

    def specimen(self, source: Source, *, uri: str | None = None, content_type: str | None = None) -> Deferred[None]:
        """Copy a specimen into the queue, in a thread; fires when it is on disk. Cancelling gives it up.

        :raises ClientError: it is not kept.
        :raises OSError: it cannot be read, or the disk failed.
        """
        return Deferred.fromCoroutine(self._specimen(source, uri, content_type))

    async def _specimen(self, source: Source, uri: str | None, content_type: str | None) -> None:
        self._check_open()
        specimen = specimen_of(source, uri, content_type)
        ticket = Ticket()
        self._copying += 1
        try:
            await self._in(self._copies, partial(self._copy, await self._begun(), specimen, ticket))
        except CancelledError:
            ticket.give_up()
            raise
        finally:
            self._copying -= 1
            self._wake()
            self._tell_flushes()

    def flush(self, timeout: float = 30.0) -> Deferred[bool]:
        """Send everything now. Whether all of it is acknowledged, after ``timeout`` seconds at most."""
        return Deferred.fromCoroutine(self._flush(timeout))

    async def _flush(self, timeout: float) -> bool:
        parts = await self._begun()
        parts.courier.everything = True
        parts.courier.hurry()
        self._wake()
        if self._empty():
            return True
        flushed: Deferred[None] = Deferred()
        self._flushes.append(flushed)
        call = self._reactor.callLater(timeout, flushed.cancel)
        try:
            await flushed
        except CancelledError:
            self._flushes.remove(flushed)
            return False
        finally:
            parts.courier.everything = self._closed
            if call.active():
                call.cancel()
        return True

    def stopService(self) -> Deferred[None]:
        """Send what there is for ``Options.exit_wait`` seconds; what is left stays in the queue."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._closed = True
        if self._sending is None:
            return
        try:
            if self._parts is not None or self._handed:
                await self._flush(self.options.exit_wait)
        except OSError as error:
            _log.error("the queue could not be opened: {error}", error=str(error))
        self._ended = True
        if self._request is not None:
            self._request.cancel()
        self._wake()
        await self._sending
        await self._sender.close()
        # Their threads may wait for a disk or a source; the reactor does not wait with them.
        for pool in (self._copies, self._disk):
            await self._threaded(pool.stop)
        if self._parts is not None:
            await self._threaded(self._parts.outbox.close)

    @property
    def statistics(self) -> Statistics:
        """Figures since the start."""
        return Statistics() if self._parts is None else self._parts.statistics(len(self._handed))

    # The queue.

    async def _begun(self) -> Parts:
        # Its pool has one thread, so that whoever asks at the same time gets the same.
        present = self._parts
        return await self._in(self._disk, self._made) if present is None else present

    def _made(self) -> Parts:
        made = self._parts
        if made is None:
            made = self._parts = Parts(self._target, self._who, self.options)
        return made

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the client is stopped")

    async def _put(self, stream: str, report: Any) -> None:
        self._check_open()
        line = line_of(report, most=self.options.batch_bytes, default=self.options.default)
        if self._unwritten + len(line) > self.options.max_unwritten_bytes:
            raise QueueFull(
                f"{self._unwritten} bytes wait for the queue's disk already (max_unwritten_bytes is "
                f"{self.options.max_unwritten_bytes})"
            )
        handed = _Handed(stream, line, Deferred(lambda _: None))
        self._unwritten += len(line)
        self._handed.append(handed)
        if not self._writing and self.running:
            self._writing = True
            Deferred.fromCoroutine(self._write()).addErrback(_unforeseen)
        await handed.kept

    async def _write(self) -> None:
        """Write what has been handed over, all that came meanwhile with one sync."""
        try:
            while self._handed:
                some, self._handed = self._handed, []
                errors: Sequence[ClientError | None]
                try:
                    parts = await self._begun()
                    errors = await self._in(self._disk, partial(_append, parts, some))
                except Exception as error:
                    _log.failure("the queue could not take {count} records", count=len(some))
                    errors = [QueueFailed(f"the queue failed: {error}")] * len(some)
                for handed, failed in zip(some, errors, strict=True):
                    self._unwritten -= len(handed.line)
                    if failed is None:
                        handed.kept.callback(None)
                    else:
                        if handed.kept.called and self._parts is not None:  # its owner has not waited
                            self._parts.teller(Event("lost", handed.stream, 1, str(failed)))
                        handed.kept.errback(failed)
        finally:
            self._writing = False
            self._wake()
            self._tell_flushes()

    def _copy(self, parts: Parts, specimen: Specimen, ticket: Ticket) -> None:
        with specimen.opened() as (file, expected):
            parts.outbox.specimen(file, specimen.head, expected=expected, ticket=ticket)

    # The sender.

    async def _send(self) -> None:
        while not self._ended:
            wait: float | None
            try:
                if self._handed and not self._writing:  # handed over before the start
                    self._writing = True
                    await self._write()
                parts = await self._begun()
                step = await self._in(self._disk, parts.courier.next)
                if isinstance(step, Parcel):
                    verdict = await self._exchange(parts, step)
                    await self._in(self._disk, partial(parts.courier.settle, step, verdict))
                    self._tell_flushes()
                    continue
                wait = step
            except Exception:
                _log.failure("the queue failed; it is tried again in {seconds} s", seconds=_AFTER_TROUBLE)
                wait = _AFTER_TROUBLE
            await self._rest(wait)

    async def _rest(self, seconds: float | None) -> None:
        if self._ended:
            return
        over: Deferred[None] = Deferred()
        call = None if seconds is None else self._reactor.callLater(seconds, self._wake)
        self._pause = over, call
        await over

    def _wake(self) -> None:
        pause, self._pause = self._pause, None
        if pause is not None:
            over, call = pause
            if call is not None and call.active():
                call.cancel()
            over.callback(None)

    async def _exchange(self, parts: Parts, parcel: Parcel) -> Verdict:
        try:
            request = await self._in(self._disk, partial(parts.request, parcel))
        except ValueError as error:
            return Verdict("refused", str(error))
        except OSError:
            raise
        except Exception as error:
            _log.failure("the user or token could not be had")
            return Verdict("refused", f"the user or token could not be had: {type(error).__name__}")
        self._request = self._sender.send(request)
        try:
            return judge(await self._request)
        except Exception as error:
            return unanswered(error, sent=not isinstance(error, _NOT_SENT))
        finally:
            self._request = None
            request.close()

    def _empty(self) -> bool:
        waiting = self._parts is not None and self._parts.outbox.waiting
        return not (self._handed or self._writing or self._copying or waiting)

    def _tell_flushes(self) -> None:
        if self._empty():
            flushes, self._flushes = self._flushes, []
            for one in flushes:
                one.callback(None)

    def _in(self, pool: ThreadPool, work: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, pool, work)

    def _threaded(self, work: Callable[[], object]) -> Deferred[object]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), work)


def _append(parts: Parts, some: list[_Handed]) -> list[ClientError | None]:
    errors: dict[int, ClientError | None] = {}
    for stream in ("usage", "error"):
        chosen = [handed for handed in some if handed.stream == stream]
        if chosen:
            found = parts.outbox.append(stream, [handed.line for handed in chosen])
            errors |= {id(handed): error for handed, error in zip(chosen, found, strict=True)}
    return [errors[id(handed)] for handed in some]


def _unforeseen(failure: Failure) -> None:
    _log.failure("the writing to the queue failed", failure)
