"""The process under test in ``tests/campaigns/outage.py``: the real gateway and its real HTTP port, on the real disk,
with a clock that the campaign can set, a count of every effect on disk, and a word on each write to the store.

    python -m tests.campaigns.outage_process CONFIG CLOCK

CLOCK is a file of eight bytes: how many nanoseconds the wall clock is ahead. While there is a file ``CLOCK.down``, a
store that is a folder answers nothing but errors. Answers are lines on standard output that begin with ``@``, and hold
JSON; a command is a line on standard input."""

from __future__ import annotations

import json
import mmap
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet import stdio
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import connectionDone
from twisted.logger import globalLogBeginner
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from lf6gateway.disk.filesystem import Entry, Handle, OsFileSystem
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.settings_file import load_settings
from lf6gateway.edges.logs import make_observer
from lf6gateway.edges.mounting import gateway_resource
from lf6gateway.edges.ports import bind_port, listen
from lf6gateway.edges.site import GatewaySite
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.outlets import Outlets
from lf6gateway.services.surroundings import real
from lf6gateway.stores.store import Body, Capabilities, Condition, Listed, ObjectStore, Present
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.limits import Limits
from lf6gateway.values.settings import Settings

reactor: Any = _reactor


def tell(**facts: Any) -> None:
    """One answer."""
    os.write(1, b"@" + json.dumps(facts).encode() + b"\n")


class CountingFileSystem(OsFileSystem):
    """The real one, which counts what is asked of it; ``entries`` are names listed, each of them with its ``stat``."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self._guard = threading.Lock()

    def _count(self, what: str, number: int = 1) -> None:
        before_ready = "lf6-start" in threading.current_thread().name
        with self._guard:
            self.counts[what] += number
            if before_ready:
                self.counts[f"{what} before ready"] += number

    def create(self, path: str) -> Handle:
        self._count("creates")
        return super().create(path)

    def open(self, path: str, *, writable: bool = False) -> Handle:
        self._count("opens")
        return super().open(path, writable=writable)

    def rename(self, source: str, target: str) -> None:
        self._count("renames")
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self._count("unlinks")
        super().unlink(path)

    def sync_dir(self, path: str) -> None:
        self._count("folder syncs")
        super().sync_dir(path)

    def exists(self, path: str) -> bool:
        self._count("exists")
        return super().exists(path)

    def scan(self, path: str) -> Iterator[Entry]:
        self._count("listings")
        for entry in super().scan(path):
            self._count("entries")
            yield entry


class WatchedStore:
    """A store whose writes are told, and which may be away.

    :param down: the file whose presence means that it is away.
    """

    def __init__(self, store: ObjectStore, down: str | None) -> None:
        self._store = store
        self._down = down

    def _check(self, what: str) -> None:
        if self._down is not None and os.path.exists(self._down):
            raise StoreError(Kind.TRANSIENT, what, "the campaign has taken it away", applied=False)

    def _tell(self, key: str, begun: float, body: Body) -> None:
        """Of a write that took effect: what was in it, and when the newest of its files was finished."""
        newest = max((os.stat(each.path).st_mtime for each in body.slices), default=0.0)
        tell(put=key, begun=begun, ended=time.time(), bytes=body.length, newest=newest)

    async def capabilities(self) -> Capabilities:
        return await self._store.capabilities()

    async def head(self, key: str) -> Present | None:
        self._check(f"look at {key}")
        return await self._store.head(key)

    async def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        self._check(f"read {key}")
        async for chunk in self._store.get(key, if_match=if_match, start=start, length=length):
            yield chunk

    async def put(
        self, key: str, body: Body, *, metadata: Mapping[str, str], content_type: str, condition: Condition = None
    ) -> Present:
        self._check(f"put {key}")
        begun = time.time()
        present = await self._store.put(key, body, metadata=metadata, content_type=content_type, condition=condition)
        self._tell(key, begun, body)
        return present

    async def append(
        self, key: str, present: Present, tail: Body, *, metadata: Mapping[str, str], content_type: str
    ) -> Present:
        self._check(f"append to {key}")
        begun = time.time()
        found = await self._store.append(key, present, tail, metadata=metadata, content_type=content_type)
        self._tell(key, begun, tail)
        return found

    async def delete(self, key: str) -> None:
        self._check(f"remove {key}")
        await self._store.delete(key)

    async def list_keys(self, prefix: str) -> Sequence[str]:
        return await self._store.list_keys(prefix)

    def listed(self, prefix: str, *, after: str = "") -> AsyncIterator[Sequence[Listed]]:
        return self._store.listed(prefix, after=after)

    async def folders(self, prefix: str) -> Sequence[str]:
        return await self._store.folders(prefix)

    async def abort_uploads(self, key: str, *, before_ns: int) -> int:
        self._check(f"clean up {key}")
        return await self._store.abort_uploads(key, before_ns=before_ns)

    async def close(self) -> None:
        await self._store.close()


class Process(LineOnlyReceiver):
    """The gateway and the commands."""

    delimiter = b"\n"

    def __init__(self, settings: Settings, clock: str) -> None:
        self._fs = CountingFileSystem()
        with open(clock, "r+b") as file:
            self._ahead = mmap.mmap(file.fileno(), 8)
        down = f"{clock}.down" if settings.storage is not None else None

        def outlets(chosen: Settings, offload: Offload, spool: str) -> Outlets:
            made = Outlets(chosen, reactor=reactor, offload=offload, spool=spool)
            made.stores = {stream: WatchedStore(store, down) for stream, store in made.stores.items()}
            return made

        surroundings = replace(real(reactor, self._now_ns), fs=self._fs, outlets=outlets)
        self._settings = settings
        self._gateway = GatewayService(settings, surroundings=surroundings)
        self._bound = bind_port(0)
        self._ports: list[Any] = []

    def _now_ns(self) -> int:
        return time.time_ns() + int.from_bytes(self._ahead[:], "little", signed=True)

    def begin(self) -> None:
        """Start, and tell the port; end the process where that fails."""
        reactor.addSystemEventTrigger("before", "shutdown", self._stop)
        self._gateway.startService()
        Deferred.fromCoroutine(self._listen()).addErrback(self._failed)

    async def _listen(self) -> None:
        await self._gateway.started
        site = GatewaySite(gateway_resource(self._gateway), Limits.of(self._settings), reactor=reactor)
        read = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        self._ports = await listen(reactor, site, [self._bound], [])
        tell(ready=self._ports[0].getHost().port, counts=dict(self._fs.counts), read=int(read["rchar"]))
        stdio.StandardIO(self)

    def _failed(self, failure: Failure) -> None:
        failure.printTraceback(sys.stderr)
        os._exit(3)

    async def _stopped(self) -> None:
        for port in self._ports:
            await port.stopListening()
        await self._gateway.stopService()

    def _stop(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._stopped())

    def lineReceived(self, line: bytes) -> None:
        parts = self._gateway.assembly
        command = line.decode()
        if command == "seal":
            done = gatherResults([service.seal_now() for service in parts.seals.values()])
            done.addCallback(lambda left: tell(sealed=time.time(), unsealed=sum(left)))
            done.addErrback(self._failed)
        elif command == "facts":
            tell(
                counts=dict(self._fs.counts),
                members=sum(one.waiting.members for one in parts.hour_shippers.values()),
                unsealed=sum(one.waiting for one in parts.seals.values()),
                held=parts.specimen_shipper.held,
                under_way=parts.specimen_shipper.under_way,
                shipped=parts.specimen_shipper.shipped,
                used=parts.space.used,
                states=[breaker.state for breaker in parts.breakers.values()],
            )

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The campaign is gone."""


def main() -> None:
    config, clock = sys.argv[1:]
    globalLogBeginner.beginLoggingTo([make_observer(sys.stderr, "text", "info")], redirectStandardIO=False)
    process = Process(load_settings(config, hostname="test.host"), clock)
    reactor.callWhenRunning(process.begin)
    reactor.run()


if __name__ == "__main__":
    main()
