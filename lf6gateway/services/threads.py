"""Threads for one purpose each, so that slow work of one kind holds up no other and the reactor's own pool stays free.
Owns the threads' life; must never leave a job behind: a stop waits for all that was taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")
_log = Logger()


@dataclass(frozen=True, slots=True)
class PoolFigures:
    """What threads for one purpose have to do.

    :param busy: jobs that run.
    :param queued: jobs that wait for a thread.
    :param finished: jobs that have ended, well or not, since the start.
    """

    name: str
    size: int
    busy: int
    queued: int
    finished: int


class ThreadsStopped(RuntimeError):
    """Work was handed to threads that are not running."""


_Job = tuple[Callable[[], Any], Callable[[Any], None]]


class _Pool:
    """Threads that take jobs from one queue. twisted.python.threadpool does the same through several queues in Python,
    and a group commit waits for that round trip: this one takes half the time."""

    def __init__(self, reactor: IReactorFromThreads, name: str, size: int) -> None:
        self._reactor = reactor
        self._name = name
        self._size = size
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[Thread] = []

    def call(self, work: Callable[[], Any], told: Callable[[Any], None], unfinished: int) -> None:
        """Run ``work`` in a thread, and tell the reactor what it came to: a result, or a ``Failure``."""
        self._jobs.put((work, told))
        if len(self._threads) < min(self._size, unfinished):
            # A job that hangs in the kernel (a dead disk) must not keep a process alive whose stop has run out of time.
            thread = Thread(target=self._run, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """End the threads, which have nothing left to do."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            work, told = job
            try:
                outcome = work()
            except BaseException:
                outcome = Failure()
            self._reactor.callFromThread(told, outcome)
            del job, work, told, outcome  # nothing of them is kept while the thread waits


class Threads(Service):
    """An ``Offload`` (see ``disk/offload.py``): call it with work, get a Deferred that fires in the reactor.

    With ``size`` 1 the jobs run one after the other in the order of the calls. Cancelling a job's Deferred lets go of
    its result; the job itself runs to its end, and a stop waits for it.

    :param reactor: where results are told.
    :param name: what the work is for; in the threads' names and in errors.
    :param size: the most threads at once; they are made as needed.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str, size: int = 1) -> None:
        self._reactor = reactor
        self.setName(f"threads-{name}")
        self._what = name
        self._size = size
        self._pool: _Pool | None = None
        self._idle: list[Deferred[None]] = []
        self.unfinished = 0
        """Jobs taken and not yet finished."""
        self.finished = 0
        """Jobs finished, well or not."""

    @property
    def figures(self) -> PoolFigures:
        """What they have to do."""
        busy = min(self.unfinished, self._size)
        return PoolFigures(self._what, self._size, busy, self.unfinished - busy, self.finished)

    def startService(self) -> None:
        """Take work from now on."""
        super().startService()
        if self._pool is None:
            self._pool = _Pool(self._reactor, f"lf6-{self._what}", self._size)

    def stopService(self) -> Deferred[None]:
        """Take no more work; fires when all that was taken is done and the threads have ended. Cancelling it leaves the
        threads to their jobs."""
        super().stopService()
        if not self.unfinished:
            self._end()
            return succeed(None)
        done: Deferred[None] = Deferred(self._idle.remove)
        self._idle.append(done)
        return done

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """Run ``work`` in a thread; fails with ``ThreadsStopped`` before the start and from the stop on."""
        pool = self._pool
        if not self.running or pool is None:
            return fail(ThreadsStopped(f"the threads for {self._what} are not running; nothing was done"))
        self.unfinished += 1
        result: Deferred[T] = Deferred()
        # What is told is this service, which nobody can cancel, so that it is known when the job has ended.
        pool.call(work, lambda outcome: self._done(outcome, result), self.unfinished)
        return result

    def _done(self, outcome: T | Failure, result: Deferred[T]) -> None:
        self.unfinished -= 1
        self.finished += 1
        try:
            if result.called and isinstance(outcome, Failure):
                _log.failure("a job for {what} that nobody waits for any longer failed", outcome, what=self._what)
            result.callback(outcome)  # a Failure makes it fail
        finally:
            if not self.unfinished and not self.running:
                self._end()
                idle, self._idle = self._idle, []
                for done in idle:
                    done.callback(None)

    def _end(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.stop()  # joins threads that have nothing left to do
