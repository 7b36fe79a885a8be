"""Threads for one purpose each."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError

from lf6gateway.services.threads import Threads, ThreadsStopped
from tests.deferreds import result_of, unfired

reactor: Any = _reactor


@pytest_twisted.ensureDeferred
async def test_work_runs_in_a_thread_of_that_name_and_is_told_in_the_reactor() -> None:
    threads = Threads(reactor, "seal")
    threads.startService()
    here = threading.current_thread()
    told: list[threading.Thread] = []

    def tell(name: str) -> str:
        told.append(threading.current_thread())
        return name

    assert "lf6-seal" in await threads(lambda: threading.current_thread().name).addCallback(tell)
    assert told == [here]
    await threads.stopService()


@pytest_twisted.ensureDeferred
async def test_an_error_is_handed_on_and_the_next_job_runs() -> None:
    threads = Threads(reactor, "seal")
    threads.startService()
    with pytest.raises(OSError, match="no such disk"):
        await threads(lambda: (_ for _ in ()).throw(OSError("no such disk")))
    assert await threads(lambda: 7) == 7
    await threads.stopService()


@pytest_twisted.ensureDeferred
async def test_one_thread_keeps_the_order_of_the_calls() -> None:
    threads = Threads(reactor, "flush")
    threads.startService()
    order: list[int] = []
    jobs = [threads(lambda n=n: order.append(n)) for n in range(200)]  # type: ignore[misc]
    for job in jobs:
        await job
    assert order == list(range(200))
    await threads.stopService()


@pytest_twisted.ensureDeferred
async def test_a_stop_waits_for_all_that_was_taken_and_leaves_no_thread() -> None:
    threads = Threads(reactor, "stopping", size=2)
    threads.startService()
    gate = threading.Event()
    ran: list[int] = []

    def job(number: int) -> int:
        assert gate.wait(20)
        ran.append(number)
        return number

    jobs = [threads(lambda n=n: job(n)) for n in range(6)]  # type: ignore[misc]
    stopped = threads.stopService()
    assert unfired(stopped) and threads.unfinished == 6
    with pytest.raises(ThreadsStopped, match="stopping"):
        result_of(threads(lambda: 1))
    gate.set()
    await stopped
    assert sorted(ran) == list(range(6))
    assert sorted(result_of(each) for each in jobs) == list(range(6))
    assert not [thread for thread in threading.enumerate() if "lf6-stopping" in thread.name]


@pytest_twisted.ensureDeferred
async def test_a_stop_also_waits_for_a_job_whose_result_was_let_go() -> None:
    threads = Threads(reactor, "let-go")
    threads.startService()
    gate = threading.Event()
    ran: list[bool] = []
    job = threads(lambda: ran.append(gate.wait(20)))
    job.cancel()
    with pytest.raises(CancelledError):
        result_of(job)
    stopped = threads.stopService()
    assert unfired(stopped)
    gate.set()
    await stopped
    assert ran == [True]


@pytest_twisted.ensureDeferred
async def test_a_stop_can_be_given_up_on() -> None:
    threads = Threads(reactor, "hung")
    threads.startService()
    gate = threading.Event()
    job = threads(lambda: gate.wait(20))
    stopped = threads.stopService()
    stopped.cancel()
    with pytest.raises(CancelledError):
        result_of(stopped)
    gate.set()
    assert await job
    assert threads.finished == 1


def test_before_the_start_it_refuses() -> None:
    with pytest.raises(ThreadsStopped):
        result_of(Threads(reactor, "early")(lambda: 1))


@pytest_twisted.ensureDeferred
async def test_it_can_be_started_again() -> None:
    threads = Threads(reactor, "again")
    for _ in range(2):
        threads.startService()
        assert await threads(lambda: 3) == 3
        await threads.stopService()
