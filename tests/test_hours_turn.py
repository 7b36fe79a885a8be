"""The hour of a record is that of its reception, to the nanosecond, whenever it is sealed and shipped."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest_twisted
from twisted.internet import reactor, task
from twisted.internet.defer import Deferred

from lf6gateway import GatewayService, load_settings
from lf6gateway.values.stream import Stream

MS = 1_000_000
TURN = int(datetime(2028, 2, 29, tzinfo=UTC).timestamp()) * 1_000_000_000
"""Midnight between the 28th and the 29th of February."""


class World:
    """A gateway on a folder, whose wall clock is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_ns = TURN - 1 * MS

    async def start(self) -> None:
        config = self.folder / "config.yml"
        settings = {
            "cache_dir": str(self.folder / "cache"),
            "hostname": "a.b",
            "storage": {"directory": str(self.folder / "objects")},
            "shutdown": {"deadline": "300ms"},
            "aggregation": {"usage_interval": "50ms", "error_interval": "50ms"},
        }
        config.write_text(json.dumps(settings))
        self.gateway = GatewayService(
            load_settings(str(config), environ={}), reactor=reactor, now_ns=lambda: self.now_ns
        )
        self.gateway.startService()
        await self.gateway.started

    async def usage(self, number: int) -> None:
        await self.gateway.receiver.records(
            Stream.USAGE, user="u", lines=b'{"n":%d}\n' % number, count=1, key=None, request_id="r"
        )

    async def specimen(self, data: bytes) -> None:
        reception = self.gateway.receiver.specimen(user="u", uri="f.txt", content_type=None, key=None, request_id="r")
        reception.write(data)
        await reception.commit()

    def objects(self) -> dict[str, list[int]]:
        top = self.folder / "objects"
        return {
            str(path.relative_to(top)): [
                json.loads(line)["n"] for line in gzip.decompress(path.read_bytes()).splitlines()
            ]
            for path in top.rglob("*.jsonl.gz")
        }

    async def until(self, wanted: dict[str, list[int]]) -> None:
        for _ in range(400):
            if self.objects() == wanted:
                return
            await task.deferLater(reactor, 0.02)  # type: ignore[arg-type]
        assert self.objects() == wanted


BEFORE = "usage/2028/02/28/23/2028022823.a-b.jsonl.gz"
AFTER = "usage/2028/02/29/00/2028022900.a-b.jsonl.gz"


@pytest_twisted.ensureDeferred
async def test_the_last_and_the_first_moment_of_an_hour(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.start()
    works: list[Deferred[None]] = []
    for number, moment in enumerate((TURN - 2, TURN - 1, TURN, TURN + 1)):
        world.now_ns = moment
        works.append(Deferred.fromCoroutine(world.usage(number)))  # all four share a flush
    for work in works:
        await work
    await world.until({BEFORE: [0, 1], AFTER: [2, 3]})
    await world.gateway.stopService()
    assert world.objects() == {BEFORE: [0, 1], AFTER: [2, 3]}


@pytest_twisted.ensureDeferred
async def test_three_intervals_make_one_object_and_the_next_hour_another(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.start()
    for number in range(3):
        await world.usage(number)
        await world.until({BEFORE: list(range(number + 1))})
    world.now_ns = TURN
    await world.usage(3)
    await world.until({BEFORE: [0, 1, 2], AFTER: [3]})
    await world.gateway.stopService()
    assert not list((tmp_path / "cache" / "spool").rglob("*.gz"))


@pytest_twisted.ensureDeferred
async def test_what_is_shipped_hours_later_goes_into_its_own_hour(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "objects").write_bytes(b"not a folder: the store fails")
    await world.start()
    await world.usage(0)
    await world.specimen(b"old")
    world.now_ns = TURN + 5 * 3600 * 1000 * MS
    await world.gateway.stopService()
    (tmp_path / "objects").unlink()
    await world.start()
    await world.usage(1)
    await world.gateway.stopService()
    assert world.objects() == {BEFORE: [0], "usage/2028/02/29/05/2028022905.a-b.jsonl.gz": [1]}
    (specimen,) = (tmp_path / "objects" / "specimen").rglob("f.*.txt")
    assert specimen.relative_to(tmp_path / "objects" / "specimen").as_posix() == f"u/2028/02/28/f.{TURN - MS + 1}.txt"


@pytest_twisted.ensureDeferred
async def test_a_clock_set_back_puts_no_record_before_an_earlier_one(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.start()
    world.now_ns = TURN
    await world.usage(0)
    world.now_ns = TURN - 3600 * 1000 * MS
    await world.usage(1)
    await world.gateway.stopService()
    assert world.objects() == {AFTER: [0, 1]}
