"""What lay there at a start is counted behind it, and before it is shipped."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest_twisted
from twisted.internet import reactor, task

from lf6gateway import GatewayService, load_settings
from lf6gateway.disk.filesystem import Entry, OsFileSystem
from lf6gateway.services.surroundings import real


class SlowCount(OsFileSystem):
    """The thread that counts waits for the test."""

    def __init__(self) -> None:
        super().__init__()
        self.let = threading.Event()

    def scan(self, path: str) -> Iterator[Entry]:
        if "retain" in threading.current_thread().name:
            assert self.let.wait(30)
        return super().scan(path)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await task.deferLater(reactor, 0.02)  # type: ignore[arg-type]
    assert true()


async def send(gateway: GatewayService, data: bytes) -> None:
    reception = gateway.receiver.specimen(user="u", uri="f.txt", content_type=None, key=None, request_id="r")
    reception.write(data)
    await reception.commit()


@pytest_twisted.ensureDeferred
async def test_what_is_shipped_right_after_a_start_is_counted_once(tmp_path: Path) -> None:
    objects, config, fs = tmp_path / "objects", tmp_path / "config.yml", SlowCount()
    settings = {
        "cache_dir": str(tmp_path / "cache"),
        "hostname": "a",
        "storage": {"directory": str(objects)},
        "shutdown": {"deadline": "300ms"},
        "upload": {"retry_min": "50ms", "retry_max": "100ms"},
    }
    config.write_text(json.dumps(settings))

    async def started() -> GatewayService:
        surroundings = replace(real(reactor), fs=fs)
        gateway = GatewayService(load_settings(str(config), environ={}), surroundings=surroundings)
        gateway.startService()
        await gateway.started
        return gateway

    def shipped() -> list[bytes]:
        return sorted(path.read_bytes() for path in (objects / "specimen").rglob("f.*.txt"))

    objects.write_bytes(b"not a folder: the store fails")
    fs.let.set()
    gateway = await started()
    for number in range(5):
        await send(gateway, b"old %d" % number)
    await gateway.stopService()
    part = next((tmp_path / "cache" / "spool" / "specimen").iterdir()) / f"{1:020d}-{'a' * 32}.part"
    part.write_bytes(b"came in when the process ended")
    objects.unlink()
    fs.let.clear()
    gateway = await started()
    await send(gateway, b"new")
    await until(lambda: shipped() == [b"new"])
    space = gateway.assembly.space
    await until(lambda: space.used == 0)
    assert part.exists()
    objects.rename(tmp_path / "aside")
    objects.write_bytes(b"not a folder: the store fails")
    fs.let.set()
    waiting = sum(path.stat().st_size for path in part.parent.glob("*.spec"))
    await until(lambda: space.used == waiting > 0)
    objects.unlink()
    (tmp_path / "aside").rename(objects)
    await until(lambda: len(shipped()) == 6 and gateway.assembly.specimen_shipper.held == 0)
    assert space.used == 0 and not part.exists()
    await gateway.stopService()
