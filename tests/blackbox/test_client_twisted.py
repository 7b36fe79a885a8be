"""The client for Twisted programs against the running gateway."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, task
from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from lf6gateway.client import Closed, Event, NotSendable, Options, QueueFull
from lf6gateway.client.options import MIB
from lf6gateway.client.twisted import Client
from tests.blackbox.gateway import Gateway, free_port, records
from tests.blackbox.test_client import answering, left_in, queue_of, url_of
from tests.blackbox.test_running import stored
from tests.certificates import Authority

Make = Callable[..., Gateway]


@pytest_twisted.ensureDeferred
async def test_everything_arrives_as_it_was_handed_over(gateway: Make, tmp_path: Path) -> None:
    daemon = await deferToThread(gateway(http={"max_specimen": "4MiB"}).start)
    picture = tmp_path / "picture.png"
    picture.write_bytes(os.urandom(3 * MIB))
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(12 * MIB))
    client = Client(url_of(daemon), "Älice", queue_of(tmp_path))
    early = client.usage({"n": 0})  # waits for the start
    client.startService()
    await early
    await gatherResults([client.usage({"n": n}) for n in range(1, 2000)])
    try:
        raise ValueError("at fault")
    except ValueError:
        await client.error(Failure(), more={"version": "6.1"})
    await client.specimen(large)
    await client.specimen(picture)
    for wrong in (float("nan"), object()):
        with pytest.raises(NotSendable):
            await client.usage(wrong)
    with pytest.raises(FileNotFoundError):
        await client.specimen(tmp_path / "nothing")
    assert await client.flush(30)
    assert (client.statistics.sent, client.statistics.set_aside) == (2002, 1)
    await client.stopService()
    with pytest.raises(Closed):
        await client.usage(1)
    assert len(left_in(tmp_path)) == 2  # the one that is too large, and why
    assert await deferToThread(daemon.stop) == 0
    objects = stored(tmp_path / "objects")
    assert [one["n"] for one in records(objects, "usage/")] == list(range(2000))
    (error,) = records(objects, "error/")
    assert (error["version"], error["message"], error["traceback"][0]["function"]) == (
        "6.1",
        "at fault",
        "test_everything_arrives_as_it_was_handed_over",
    )
    (found,) = [path for path in (tmp_path / "objects/specimen").rglob("*.png") if ".meta" not in path.parts]
    assert found.read_bytes() == picture.read_bytes()


@pytest_twisted.ensureDeferred
async def test_a_gateway_that_is_away_and_is_killed_gets_everything_once(gateway: Make, tmp_path: Path) -> None:
    port = free_port()
    client = Client(f"http://127.0.0.1:{port}", "alice", queue_of(tmp_path))
    client.startService()
    await client.usage({"n": 0})
    assert not await client.flush(0.1)
    daemon = gateway()
    for round_number in range(1, 3):
        await deferToThread(daemon.start, port=port)
        await gatherResults([client.usage({"n": 1000 * round_number + n}) for n in range(200)])
        while client.statistics.sent < 100 * round_number:
            await task.deferLater(reactor, 0.02)
        await deferToThread(daemon.kill)
        await client.usage({"n": round_number})
    await deferToThread(daemon.start, port=port)
    assert await client.flush(30)
    await client.stopService()
    assert await deferToThread(daemon.stop) == 0
    found = [one["n"] for one in records(stored(tmp_path / "objects"), "usage/")]
    assert sorted(found) == [*range(3), *(1000 * one + n for one in range(1, 3) for n in range(200))]


@pytest_twisted.ensureDeferred
async def test_what_is_not_sent_at_the_stop_is_sent_by_the_next_client(gateway: Make, tmp_path: Path) -> None:
    with answering(lambda number: (503, {"Retry-After": "60"}, b"")) as (url, seen):
        options: dict[str, Any] = {"exit_wait": 0.1, "identity": "the same", "max_unwritten_bytes": 1000}
        client = Client(url, "alice", queue_of(tmp_path, **options))
        client.startService()
        await client.usage({"n": 1})
        with pytest.raises(QueueFull):
            await client.usage("x" * 1000)
        while not seen:
            await task.deferLater(reactor, 0.01)
        await client.usage({"n": 2})
        await client.stopService()
        assert len(seen) == 1
    daemon = await deferToThread(gateway().start)
    told: list[Event] = []
    client = Client(
        url_of(daemon), "alice", Options(queue=str(tmp_path / "queue"), identity="the same", told=told.append)
    )
    client.startService()
    assert await client.flush(30)
    await client.stopService()
    assert await deferToThread(daemon.stop) == 0
    assert [one["n"] for one in records(stored(tmp_path / "objects"), "usage/")] == [1, 2]
    assert told == []


@pytest_twisted.ensureDeferred
async def test_certificates_of_both_sides(gateway: Make, tmp_path: Path) -> None:
    servers, clients = Authority(tmp_path, "servers"), Authority(tmp_path, "clients")
    certificate, key = servers.make("server", "server")
    own, own_key = clients.make("alice", "alice", client=True)
    tls = {"certificate": str(certificate), "key": str(key), "client_ca": str(clients.path)}
    daemon = await deferToThread(gateway(http={"tls": tls}).start)
    url = f"https://localhost:{daemon.port}"
    options: dict[str, Any] = {"identity": "one", "exit_wait": 0.3}
    stranger = Client(url, "-", queue_of(tmp_path, ca_file=str(clients.path), **options))
    stranger.startService()
    await stranger.usage({"n": 1})
    await stranger.stopService()
    assert stranger.statistics.sent == 0
    client = Client(
        url, "-", queue_of(tmp_path, ca_file=str(servers.path), certificate=str(own), key=str(own_key), **options)
    )
    client.startService()
    assert await client.flush(30)
    await client.stopService()
    assert await deferToThread(daemon.stop) == 0
    assert [one["n"] for one in records(stored(tmp_path / "objects"), "usage/")] == [1]
