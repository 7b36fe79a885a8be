"""All parts of a gateway, made from the settings and connected. Owns who is handed what; must never start or stop
anything, nor decide in what order that happens."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from twisted.internet import task
from twisted.logger import Logger

from lf6gateway.disk import keyfile, specimens
from lf6gateway.disk.folders import HourFound
from lf6gateway.disk.journal import Journal
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.seal import Sealed, seal
from lf6gateway.disk.segment import Segment
from lf6gateway.disk.space import Space
from lf6gateway.disk.specimen_file import Specimen, read_specimen, verify
from lf6gateway.services.breaker import Breaker
from lf6gateway.services.receive import Receiver
from lf6gateway.services.retain import RetainService
from lf6gateway.services.sealing import RETRY, SealService
from lf6gateway.services.send_specimen import Names
from lf6gateway.services.ship_hours import HourShipper
from lf6gateway.services.ship_specimens import SpecimenShipper
from lf6gateway.services.specimen_backlog import SpecimenFiles
from lf6gateway.services.surroundings import Surroundings, Workers
from lf6gateway.values.entry import Entry
from lf6gateway.values.envelope import Envelope
from lf6gateway.values.failure import StoreError
from lf6gateway.values.idempotency import KeyIndex, KeyUse, digest_of
from lf6gateway.values.object_key import record_key
from lf6gateway.values.recent import Recent
from lf6gateway.values.retry import RetryPolicy, full_jitter
from lf6gateway.values.settings import Settings
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream
from lf6gateway.values.surges import Surges
from lf6gateway.values.volumes import Volumes

_log = Logger()
_KEYS_AT_ONCE: Final = 2000


class Assembly:
    """Every part, as an attribute.

    :param surroundings: what they stand on.
    :param spool: this disk's identity.
    """

    def __init__(self, settings: Settings, surroundings: Surroundings, *, spool: str, quarantine: Quarantine) -> None:
        self.settings = settings
        self.root = os.path.join(settings.cache_dir, "spool")
        self._fs = fs = surroundings.fs
        self._now_ns = now_ns = surroundings.now_ns
        self._reactor = reactor = surroundings.reactor
        self._new_id = surroundings.new_id
        self._chance = surroundings.chance
        self.spool = spool
        threads = surroundings.threads
        self._retry = RetryPolicy(settings.upload.retry_min.seconds, settings.upload.retry_max.seconds)
        self.flush_threads = {stream: threads(f"flush-{stream.value}", 1) for stream in RECORD_STREAMS}
        self.specimen_threads = threads("specimens", 4)
        self.seal_threads = threads("seal", 2)
        self.store_threads = threads("store", 4)
        self.send_threads = threads("send-specimens", 4)
        self.decode_threads = threads("decode", 2)
        self.retain_threads = threads("retain", 2)
        self.threads: list[Workers] = [
            *self.flush_threads.values(),
            self.specimen_threads,
            self.seal_threads,
            self.store_threads,
            self.send_threads,
            self.decode_threads,
            self.retain_threads,
        ]
        self._inherited: set[str] = set()
        self._found_slots: dict[Stream, set[Slot]] = {stream: set() for stream in RECORD_STREAMS}
        self.quarantine = quarantine
        self.space = Space(
            settings.spool.max_bytes,
            settings.spool.min_free_bytes,
            settings.spool.min_free_inodes,
            monotonic=reactor.seconds,
        )
        self.keys = KeyIndex(settings.idempotency.max_keys)
        self.volumes = Volumes()
        self.specimens_found: int | None = None
        """Specimens that an earlier process left; known a while after the start."""
        self.recent = Recent(now_ns)
        self.surges = Surges(settings.alerts.error_factor, settings.alerts.error_least)
        self.outlets = surroundings.outlets(settings, self.store_threads, spool)
        self.breakers = {
            stream: Breaker(
                reactor,
                self._retry,
                f"{self.outlets.names[stream]} ({stream.value})",
                random=self._chance,
                failed=partial(self._store_failed, stream),
            )
            for stream in Stream
        }
        self.specimen_shipper = self._specimen_shipper()
        self.hour_shippers: dict[Stream, HourShipper] = {}
        self.seals: dict[Stream, SealService] = {}
        self.journals: dict[Stream, Journal] = {}
        for stream in RECORD_STREAMS:
            self._records(stream)
        self.specimens = specimens.SpecimenSpool(
            fs=fs,
            root=self.root,
            offload=self.specimen_threads,
            space=self.space,
            new_id=self._new_id,
            committed=self.specimen_shipper.found,
        )
        self.receiver = Receiver(
            journals=self.journals,
            specimens=self.specimens,
            space=self.space,
            keys=self.keys,
            max_waiting=settings.spool.max_waiting_bytes,
            now_ns=now_ns,
            specimen_kept=self.volumes.specimen,
        )
        searched: tuple[set[str], set[str]] = set(), set()
        self.retain = RetainService(
            clock=reactor,
            now_ns=now_ns,
            offload=self.retain_threads,
            fs=fs,
            path=settings.cache_dir,
            space=self.space,
            drop={
                "the keys of records": lambda now: keyfile.drop_old_keys(fs, self.root, now, searched[0]),
                "the keys of specimens": lambda now: specimens.drop_old_keys(fs, self.root, now, searched[1]),
            },
            expire=self.keys.expire,
            reserve=surroundings.reserve(settings.cache_dir),
        )

    def found(self, stream: Stream, hours: list[HourFound]) -> None:
        """What a start found of one stream's hours."""
        self.space.add(sum(hour.bytes for hour in hours))
        segments = [segment for hour in hours for segment in hour.segments]
        self._inherited.update(segment.path for segment in segments)
        self._found_slots[stream] = {segment.slot for segment in segments}
        self.seals[stream].recovered(segments)
        self.hour_shippers[stream].found(hours)

    async def load_keys(self) -> None:
        """Take the idempotency keys of the last hour from disk, a thousand or two at a time; again from the start
        where the disk fails, for requests with a key wait until they are known.

        Those in segments of an earlier process count once they are sealed: it may have been killed behind a sync that
        failed, of which nobody knows any more, and the next sync of the same file would succeed whatever is lost."""
        failures = 0
        since = Slot.at(self._now_ns() - HOUR_NS)
        for stream, service in self.seals.items():
            await service.when_sealed(slot for slot in self._found_slots[stream] if slot >= since)
        while True:
            try:
                await self._load_keys(self._inherited)
            except OSError as error:
                failures += 1
                seconds = full_jitter(failures, RETRY, self._chance)
                _log.error(
                    "the idempotency keys of the last hour could not be read; requests with a key wait, the next "
                    "attempt is in {seconds:.1f} s: {error}",
                    seconds=seconds,
                    error=str(error),
                )
                await task.deferLater(self._reactor, seconds)
            else:
                break
        self.receiver.keys_loaded()

    async def _load_keys(self, doubted: set[str]) -> None:
        now = self._now_ns()
        uses: Iterator[KeyUse] = itertools.chain(
            keyfile.recent_keys(self._fs, self.root, now, self.quarantine, doubted),
            specimens.specimen_keys(self._fs, self.root, now, self.quarantine),
        )
        while batch := await self.retain_threads(lambda: list(itertools.islice(uses, _KEYS_AT_ONCE))):
            for use in batch:
                self.keys.remember(digest_of(use.stream, use.user, use.key), use.received_ns)

    def _records(self, stream: Stream) -> None:
        settings = self.settings
        envelope = Envelope(settings.hostname) if settings.records.envelope else None

        def sealed(segment: Segment, salvage: bool) -> Sealed:
            return seal(
                self._fs,
                segment,
                spool=self.spool,
                level=settings.aggregation.compression_level,
                quarantine=self.quarantine,
                salvage=salvage,
                envelope=envelope,
            )

        def unsealed(slot: Slot) -> bool:
            return service.unsealed(slot)

        shipper = HourShipper(
            stream=stream,
            store=self.outlets.stores[stream],
            fs=self._fs,
            offload=self.store_threads,
            clock=self._reactor,
            now_ns=self._now_ns,
            root=self.root,
            spool=self.spool,
            key_of=lambda slot, host: record_key(self.outlets.prefixes[stream], slot, host),
            host=settings.hostname,
            quarantine=self.quarantine,
            space=self.space,
            breaker=self.breakers[stream],
            unsealed=unsealed,
            hours_at_once=settings.upload.hours_at_once,
            policy=self._retry,
            random=self._chance,
            shipped=lambda grown: self.recent.shipped(
                stream, self.outlets.names[stream], grown.key, grown.records, grown.bytes, grown.size
            ),
        )
        service = SealService(
            stream=stream,
            journal=None,
            offload=self.seal_threads,
            seal=sealed,
            clock=self._reactor,
            now_ns=self._now_ns,
            interval_s=settings.interval(stream).seconds,
            on_sealed=shipper.add,
            space=self.space,
            random=self._chance,
        )
        service.journal = self.journals[stream] = Journal(
            fs=self._fs,
            root=self.root,
            stream=stream,
            offload=self.flush_threads[stream],
            space=self.space,
            segment_bytes=settings.aggregation.segment_bytes,
            new_id=self._new_id,
            closed=service.closed,
            kept=partial(self._kept, stream),
            now=self._reactor.seconds,
        )
        self.hour_shippers[stream] = shipper
        self.seals[stream] = service

    def _specimen_shipper(self) -> SpecimenShipper:
        return SpecimenShipper(
            store=self.outlets.stores[Stream.SPECIMEN],
            files=SpecimenFiles(
                waiting=lambda: specimens.waiting_specimens(self._fs, self.root, self.specimens.is_open),
                read=self._read,
                finish=self._finish,
            ),
            names=Names.under(self.outlets.prefixes[Stream.SPECIMEN]),
            quarantine=self.quarantine,
            offload=self.send_threads,
            clock=self._reactor,
            now_ns=self._now_ns,
            breaker=self.breakers[Stream.SPECIMEN],
            space=self.space,
            retry=self._retry,
            at_once=self.settings.upload.specimens_at_once,
            random=self._chance,
            sent=lambda key, size: self.recent.shipped(
                Stream.SPECIMEN, self.outlets.names[Stream.SPECIMEN], key, 1, size, size
            ),
        )

    def _kept(self, stream: Stream, entries: Sequence[Entry]) -> None:
        self.volumes.records(stream, entries)
        if stream is Stream.ERROR:
            self.surges.records(entries, self._now_ns())

    def _store_failed(self, stream: Stream, error: StoreError) -> None:
        self.recent.failed(stream.value, error.kind.value, f"{error.what}: {error.detail}", error.remedy)

    def _read(self, path: str) -> Specimen:
        """A specimen whose every byte was compared with its digest. Blocks."""
        specimen = read_specimen(self._fs, path)
        verify(self._fs, specimen)
        return specimen

    def _finish(self, path: str, has_key: bool) -> None:
        """A specimen is shipped; of its key nothing is kept that counts no more. Blocks."""
        specimens.finish(self._fs, path, has_key and specimens.key_counts(path, self._now_ns()))

    def reconfigure(self, settings: Settings) -> None:
        """Take over the values that can change while all runs."""
        self.settings = settings
        self.surges.factor, self.surges.least = settings.alerts.error_factor, settings.alerts.error_least
        self.space.max_bytes = settings.spool.max_bytes
        self.space.min_free_bytes = settings.spool.min_free_bytes
        self.space.min_free_inodes = settings.spool.min_free_inodes
        self.keys.max_keys = settings.idempotency.max_keys
        self.receiver.max_waiting = settings.spool.max_waiting_bytes
        for stream, service in self.seals.items():
            service.interval_s = settings.interval(stream).seconds
