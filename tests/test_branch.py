"""A worker's door and the gateway's side of it, joined without a process or a socket between them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.journal import Journal
from lf6gateway.disk.offload import inline
from lf6gateway.disk.space import Refusal, Space
from lf6gateway.disk.specimens import SpecimenSpool
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.services.branch import Branch
from lf6gateway.services.distant import DistantReceiver
from lf6gateway.services.receive import Receiver
from lf6gateway.values.idempotency import KeyIndex
from lf6gateway.values.slot import HOUR_NS
from lf6gateway.values.stream import Stream
from lf6gateway.values.wire import DiskFailed, Drain, Gone, Message, Outcome, State
from tests.deferreds import result_of

NOON = 490_000 * HOUR_NS


class FailingNames(OsFileSystem):
    """A disk that can be told to rename nothing."""

    broken = False

    def rename(self, source: str, target: str) -> None:
        if self.broken:
            raise OSError(5, "Input/output error", source)
        super().rename(source, target)


class Desk:
    """A gateway with one worker."""

    def __init__(self, folder: Path, max_bytes: int = 1 << 24, max_waiting: int = 1 << 20) -> None:
        self.fs = FailingNames()
        self.root = str(folder)
        self.space = Space(max_bytes, 0, 0, monotonic=Clock().seconds)
        self.found: list[tuple[str, int]] = []
        numbers = itertools.count(1)
        moments = itertools.count(NOON)
        self.held: list[Message] | None = None

        def new_id() -> str:
            return f"{next(numbers):032x}"

        journals = {
            stream: Journal(
                fs=self.fs,
                root=self.root,
                stream=stream,
                offload=inline,
                space=self.space,
                segment_bytes=1 << 20,
                new_id=new_id,
                closed=lambda segment: None,
            )
            for stream in (Stream.USAGE, Stream.ERROR)
        }
        self.specimens = SpecimenSpool(
            fs=self.fs, root=self.root, offload=inline, space=self.space, new_id=new_id, committed=self._found
        )
        self.receiver = Receiver(
            journals=journals,
            specimens=self.specimens,
            space=self.space,
            keys=KeyIndex(100),
            max_waiting=1 << 20,
            now_ns=lambda: next(moments),
        )
        self.receiver.open()
        self.receiver.keys_loaded()
        self.branch = Branch(
            receiver=self.receiver,
            send=self._to_worker,
            fs=self.fs,
            offload=inline,
            space=self.space,
            specimens=self.specimens,
            found=self._found,
        )
        self.worker = DistantReceiver(
            send=self._to_gateway,
            fs=self.fs,
            root=self.root,
            offload=inline,
            new_id=new_id,
            max_waiting=max_waiting,
            now_ns=lambda: next(moments),
        )

    def _found(self, path: str, size: int) -> None:
        self.found.append((path, size))

    def _to_gateway(self, message: Message) -> None:
        self.branch.received(message)

    def _to_worker(self, message: Message) -> None:
        if self.held is not None:
            self.held.append(message)
        elif isinstance(message, State):
            self.worker.told(message)
        else:
            assert isinstance(message, Outcome)
            self.worker.outcome(message)

    def put(self, lines: bytes = b"1\n", key: str | None = None) -> Deferred[None]:
        return Deferred.fromCoroutine(
            self.worker.records(Stream.USAGE, user="alice", lines=lines, count=1, key=key, request_id="r")
        )

    def specimen(self, data: bytes, key: str | None = None) -> Deferred[None]:
        reception = self.worker.specimen(user="alice", uri="a", content_type=None, key=key, request_id="r")
        reception.write(data)
        return Deferred.fromCoroutine(reception.commit())

    def files(self) -> list[str]:
        return sorted(name.rpartition(".")[2] for _, _, names in os.walk(self.root) for name in names)


def refused(work: Deferred[None]) -> str:
    with pytest.raises(SpoolUnavailable) as caught:
        result_of(work)
    return caught.value.reason


def reason(refusal: Refusal | None) -> str:
    return "" if refusal is None else refusal.reason


def test_nothing_is_taken_before_the_gateway_has_said_so(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert reason(desk.worker.refusal()) == "starting"
    desk.branch.tell_state()
    assert desk.worker.refusal() is None


def test_a_record_is_acknowledged_when_the_gateway_has_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.held = []
    put = desk.put()
    assert not put.called
    (outcome,) = desk.held
    assert isinstance(outcome, Outcome)
    desk.worker.outcome(outcome)
    assert result_of(put) is None
    assert desk.files() == ["seg"]


def test_a_repeated_key_is_kept_once_whoever_asks(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for _ in range(2):
        result_of(desk.put(key="k"))
        result_of(desk.specimen(b"body", key="k"))
    assert len(desk.found) == 1
    assert desk.files() == ["seg", "spec"]
    assert desk.space.used == sum(entry.stat().st_size for entry in tmp_path.rglob("*") if entry.is_file())


def test_a_specimen_counts_from_the_gateways_word_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result_of(desk.specimen(b"x" * 1000))
    ((path, size),) = desk.found
    assert path.endswith(".spec") and os.path.getsize(path) == size == desk.space.used


def test_a_specimen_that_can_get_no_name_is_refused_and_gone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fs.broken = True
    assert refused(desk.specimen(b"body")) == "disk_failing"
    assert desk.files() == []
    assert desk.space.used == 0
    assert reason(desk.worker.refusal()) == "disk_failing"


def test_a_full_spool_is_told_before_and_checked_again_at_the_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path, max_bytes=10_000)
    desk.branch.tell_state()
    assert desk.worker.refusal(9_000) is None
    assert reason(desk.worker.refusal(11_000)) == "spool_full"
    assert refused(desk.specimen(b"x" * 11_000)) == "spool_full"
    assert desk.files() == []
    assert desk.space.used == 0
    assert refused(desk.put(b"x" * 11_000)) == "spool_full"


def test_what_waits_for_the_gateway_is_bounded(tmp_path: Path) -> None:
    desk = Desk(tmp_path, max_waiting=100)
    desk.branch.tell_state()
    desk.held = []
    desk.put(b"x" * 90)
    assert reason(desk.worker.refusal(20)) == "busy"
    assert desk.worker.refusal(10) is None


def test_a_disk_that_fails_is_tried_by_one_request_now_and_then(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.branch.received(DiskFailed("Input/output error"))
    assert reason(desk.worker.refusal()) == "disk_failing"
    assert desk.worker.admission(1) is None
    assert reason(desk.worker.admission(1)) == "disk_failing"


def test_what_a_dead_worker_was_writing_is_removed(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    reception = desk.worker.specimen(user="alice", uri="a", content_type=None, key=None, request_id="r")
    reception.write(b"x" * 2_000_000)
    assert desk.space.used == 2_000_000
    assert desk.files() == ["part"]
    (path,) = tmp_path.rglob("*.part")
    assert desk.specimens.is_open(str(path))
    desk.branch.lost()
    assert not desk.specimens.is_open(str(path))
    assert desk.files() == []
    assert desk.space.used == 0


def test_a_specimen_whose_sender_broke_off_leaves_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    reception = desk.worker.specimen(user="alice", uri="a", content_type=None, key=None, request_id="r")
    reception.write(b"x" * 2_000_000)
    result_of(reception.abort())
    assert desk.files() == []
    assert desk.space.used == 0


def test_a_worker_says_nothing_else(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.branch.received(Gone("/never/heard/of"))
    with pytest.raises(ValueError, match="Drain"):
        desk.branch.received(Drain())
