"""One run of ``lf6gateway ship``: what is shown while it goes on, and the summary behind it. Owns the figures; must
never decide what is shipped."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.task import LoopingCall
from twisted.logger import globalLogBeginner

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.identity import FormatUnknown
from lf6gateway.disk.inventory import Waiting, waiting
from lf6gateway.disk.lock import CacheInUse
from lf6gateway.disk.set_aside import listing
from lf6gateway.disk.specimen_file import Specimen
from lf6gateway.edges.commands.refusal import Refusal
from lf6gateway.edges.commands.terminal import size
from lf6gateway.edges.logs import make_observer
from lf6gateway.edges.progress import ProgressLine, bar
from lf6gateway.services.assembly import Assembly
from lf6gateway.services.emptying import Emptying, waiting_parts
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.send_specimen import Sent
from lf6gateway.values.grown import Grown
from lf6gateway.values.printable import printable
from lf6gateway.values.settings import Settings
from lf6gateway.values.settings_problem import shown
from lf6gateway.values.stream import Stream

_PROGRESS_EVERY = 0.2


@dataclass
class _Figures:
    """What went to one stream's store."""

    place: str
    objects: set[str] = field(default_factory=set)
    records: int = 0
    bytes: int = 0
    found: int = 0


class Shipping:
    """One run, and what came of it."""

    def __init__(self, chosen: argparse.Namespace, settings: Settings) -> None:
        self._chosen = chosen
        self._settings = settings
        self._root = os.path.join(settings.cache_dir, "spool")
        self._progress = ProgressLine()
        self._figures: dict[Stream, _Figures] = {}
        self._parts: Assembly | None = None
        self._set_aside = 0
        self._begun = waiting(OsFileSystem(), self._root)

    async def ship(self, reactor: Any) -> None:
        observer = make_observer(_Clearing(self._progress), "text", "info" if self._chosen.verbose else "warn")
        globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False, discardBuffer=True)
        gateway = GatewayService(self._settings, reactor=reactor)
        emptying = Emptying(gateway)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda _number, _frame: reactor.callFromThread(emptying.give_up))
        try:
            self._parts = parts = await emptying.start()
        except (CacheInUse, FormatUnknown) as error:
            raise Refusal(str(error)) from error
        for stream, shipper in parts.hour_shippers.items():
            shipper.on_grown = lambda grown, stream=stream: self._grown(stream, grown)  # type: ignore[misc]
        parts.specimen_shipper.on_shipped = self._sent
        self._figures = {stream: _Figures(parts.outlets.names[stream]) for stream in Stream}
        looping = LoopingCall(self._show)
        if self._progress.on:
            looping.start(_PROGRESS_EVERY)
        try:
            await emptying.run(reactor, self._chosen.deadline)
        finally:
            if looping.running:
                looping.stop()
            self._progress.clear()
        self._set_aside = parts.quarantine.taken

    def _show(self) -> None:
        assert self._parts is not None
        sent = self._parts.specimen_shipper
        specimens = max(0, self._begun.specimens - sent.shipped - sent.set_aside)
        waits = waiting_parts(self._parts) + specimens
        records = sum(one.records for stream, one in self._figures.items() if stream is not Stream.SPECIMEN)
        done = 1 - min(1.0, waits / max(1, self._begun.files))
        self._progress.show(
            lambda: (
                f"{bar(done)} {records} records, {self._figures[Stream.SPECIMEN].records} specimens, "
                f"{size(sum(one.bytes for one in self._figures.values()))} sent; {waits} files to go"
            )
        )

    def _grown(self, stream: Stream, grown: Grown) -> None:
        one = self._figures[stream]
        one.objects.add(grown.key)
        if grown.found:
            one.found += grown.records
        else:
            one.records += grown.records
            one.bytes += grown.bytes
        self._line(stream, grown.key, grown.records, grown.bytes, grown.found)

    def _sent(self, specimen: Specimen, sent: Sent) -> None:
        one = self._figures[Stream.SPECIMEN]
        if sent.found:
            one.found += 1
        else:
            one.records += 1
            one.bytes += specimen.length
        self._line(Stream.SPECIMEN, sent.key, 1, specimen.length, sent.found)

    def _line(self, stream: Stream, key: str, records: int, length: int, found: bool) -> None:
        place = self._figures[stream].place
        self._progress.clear()
        if self._chosen.json:
            told = {"stream": stream.value, "place": place, "key": key, "records": records, "bytes": length}
            print(json.dumps({**told, "there_before": found}), flush=True)
        else:
            what = "specimen" if stream is Stream.SPECIMEN else f"{records} records"
            how = "there already" if found else size(length)
            print(printable(f"{place}/{key}  {what}, {how}"), flush=True)

    def tell(self) -> int:
        """Print the summary; the exit status."""
        fs = OsFileSystem()
        left = waiting(fs, self._root)
        quarantined = [one for one in listing(fs, self._settings.cache_dir) if one.bytes is not None]
        streams: dict[str, Any] = {}
        for stream, one in self._figures.items():
            counted = Counter(records=one.records, bytes=one.bytes, there_before=one.found)
            streams[stream.value] = {"place": one.place, **counted}
            if stream is not Stream.SPECIMEN:
                streams[stream.value]["objects"] = len(one.objects)
        summary = {
            "host": self._settings.hostname,
            "cache_dir": self._settings.cache_dir,
            "streams": streams,
            "left": {"files": left.files, "bytes": left.bytes},
            "quarantine": {"now": self._set_aside, "files": len(quarantined)},
        }
        if self._chosen.json:
            print(json.dumps({"summary": summary}))
        else:
            self._print(left, len(quarantined))
        return 1 if left.files or quarantined else 0

    def _print(self, left: Waiting, quarantined: int) -> None:
        for stream, one in self._figures.items():
            what = "specimens" if stream is Stream.SPECIMEN else f"records in {len(one.objects)} objects"
            there = f", {one.found} were there already" if one.found else ""
            if one.records or one.found:
                print(printable(f"{stream.value}: {one.records} {what}, {size(one.bytes)}, to {one.place}{there}"))
        if not any(one.records or one.found for one in self._figures.values()) and not left.files:
            print("nothing waited in the spool")
        if left.files:
            print(
                f"lf6gateway: {left.files} files ({size(left.bytes)}) are left in the spool; run it again once what "
                "the lines above say is mended",
                file=sys.stderr,
            )
        if quarantined:
            print(
                f"lf6gateway: {quarantined} files are in quarantine, {self._set_aside} of them since now; lf6gateway "
                f"spool quarantine ls --spool {shown(self._chosen.spool)} lists them",
                file=sys.stderr,
            )
        if not left.files and not quarantined:
            print(f"everything of {self._settings.hostname} is delivered")


class _Clearing:
    """Standard error for log lines, which are not to be written behind a line of progress."""

    def __init__(self, progress: ProgressLine) -> None:
        self._progress = progress

    def write(self, text: str) -> None:
        self._progress.clear()
        sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()
