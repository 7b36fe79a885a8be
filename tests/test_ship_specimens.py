"""Specimens go to the store one by one, each until it is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_twisted
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.offload import inline
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.space import Space
from lf6gateway.disk.specimen_file import Head, encode_head, encode_trailer
from lf6gateway.disk.specimens import SpecimenSpool
from lf6gateway.services.breaker import Breaker
from lf6gateway.services.send_specimen import Names
from lf6gateway.services.ship_specimens import SpecimenShipper
from lf6gateway.services.specimen_backlog import Left, SpecimenFiles
from lf6gateway.services.specimen_turns import Turns
from lf6gateway.services.threads import Threads
from lf6gateway.stores.memory import MemoryStore
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.retry import RetryPolicy
from lf6gateway.values.slot import Slot
from tests.deferreds import result_of, unfired

T = TypeVar("T")
reactor: Any = _reactor
HOUR = Slot(400_000)
RETRY = RetryPolicy(1.0, 64.0)


class Bench:
    """A folder of real files, a store in memory, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.fs = OsFileSystem()
        self.root = str(folder / "spool")
        self.quarantine = Quarantine(self.fs, str(folder / "quarantine"))
        self.clock: Any = Clock()
        self.store = MemoryStore()
        self.breaker = Breaker(self.clock, RETRY, "specimens", random=lambda: 0.999)
        self.space = Space(1 << 40, 1, 1, monotonic=self.clock.seconds)
        self.files = SpecimenFiles.under(self.fs, self.root)
        self.count = 0
        self.open: list[Deferred[None]] = []

    def now_ns(self) -> int:
        return HOUR.start_ns + int(self.clock.seconds() * 1e9)

    def shipper(self, **other: Any) -> SpecimenShipper:
        return SpecimenShipper(
            store=self.store,
            files=other.pop("files", self.files),
            names=Names.under("s/"),
            quarantine=self.quarantine,
            offload=other.pop("offload", inline),
            clock=self.clock,
            now_ns=self.now_ns,
            breaker=self.breaker,
            retry=RETRY,
            space=self.space,
            random=lambda: 0.999,
            **other,
        )

    def put(self, body: bytes = b"body", *, user: str = "ann", uri: str = "a.png", key: str | None = None) -> str:
        """A whole specimen on disk; its path."""
        self.count += 1
        received = HOUR.start_ns + self.count
        head = Head(f"{self.count:032x}", received, user, uri, None, key, "r")
        path = os.path.join(self.root, "specimen", HOUR.name, f"{received:020d}-{head.id}.spec")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data = encode_head(head) + body + encode_trailer(len(body), sha256(body).digest())
        Path(path).write_bytes(data)
        self.space.add(len(data))
        return path

    def key(self, number: int, attempt: int = 0) -> str:
        return f"s/ann/{HOUR.path[:-3]}/a.{HOUR.start_ns + number + attempt}.png"

    def on_disk(self) -> list[str]:
        return sorted(path.name for path in Path(self.root).rglob("*.*"))

    def hold(self, request: str, key: str) -> Deferred[None]:
        """A store that answers when the test says so."""
        waiting: Deferred[None] = Deferred()
        self.open.append(waiting)
        return waiting


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []
    observe: Any = seen.append
    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def fault(kind: Kind, applied: bool | None = None) -> StoreError:
    return StoreError(kind, "put b/k", "it said no", applied=applied, remedy="mend it")


def failing(bench: Bench, kind: Kind, when: Callable[[str, str], bool] = lambda request, key: True) -> None:
    def before(request: str, key: str) -> None:
        if when(request, key):
            raise fault(kind)

    bench.store.before = before


def test_a_new_one_goes_at_once_with_all_that_is_known_of_it(bench: Bench, lines: list[dict[str, Any]]) -> None:
    shipper = bench.shipper()
    shipper.startService()
    path = bench.put(b"pixels", uri="dir/a.png?x=ü")
    shipper.found(path, 6)
    (stored,) = bench.store.objects.values()
    assert bench.store.objects.keys() == {bench.key(1)}
    assert (stored.data, stored.content_type) == (b"pixels", "image/png")
    assert stored.metadata["specimen-id"] == f"{1:032x}"
    assert stored.metadata["sha256"] == sha256(b"pixels").hexdigest()
    assert stored.metadata["user"] == "ann"
    assert bench.on_disk() == [] and bench.space.used == 0
    shipped = [line for line in lines if line["log_format"].startswith("shipped")]
    assert [line["key"] for line in shipped] == [bench.key(1)]
    result_of(shipper.stopService())
    assert bench.clock.getDelayedCalls() == []


def test_what_lay_there_at_the_start_goes_too(bench: Bench) -> None:
    for _ in range(5):
        bench.put()
    shipper = bench.shipper()
    shipper.startService()
    assert len(bench.store.objects) == 5 and bench.on_disk() == []
    assert shipper.shipped == 5 and shipper.held == 0


def test_a_key_of_one_with_an_idempotency_key_stays(bench: Bench) -> None:
    bench.put(b"x" * 1000, key="once")
    shipper = bench.shipper()
    shipper.startService()
    (name,) = bench.on_disk()
    assert name.endswith(".key")
    assert len(bench.store.objects) == 1


def test_thousands_of_files_never_are_in_memory(bench: Bench) -> None:
    for _ in range(3000):
        bench.put(b"x")
    shipper = bench.shipper(at_once=8)
    bench.store.before = bench.hold
    shipper.startService()
    most = shipper.held
    found = 0
    while bench.open:
        assert shipper.under_way <= 8
        if found < 600:
            shipper.found(bench.put(b"new"))
            found += 1
        bench.open.pop(0).callback(None)
        most = max(most, shipper.held)
    assert len(bench.store.objects) == 3600 and bench.on_disk() == []
    assert 64 <= most <= 8 + 64 + 256
    assert shipper.held == 0


def test_a_rush_of_new_ones_beyond_what_is_remembered_loses_none(bench: Bench) -> None:
    shipper = bench.shipper(at_once=2, turns=Turns(most_fresh=4))
    bench.store.before = bench.hold
    shipper.startService()
    for _ in range(50):
        shipper.found(bench.put())
    assert shipper.held <= 2 + 4
    while bench.open:
        bench.open.pop(0).callback(None)
        assert shipper.held <= 2 + 4 + 64
    assert len(bench.store.objects) == 50 and bench.on_disk() == []


def test_a_new_one_does_not_wait_behind_the_backlog(bench: Bench) -> None:
    for _ in range(500):
        bench.put()
    shipper = bench.shipper(at_once=4)
    bench.store.before = bench.hold
    shipper.startService()
    shipper.found(bench.put())
    for _ in range(8):
        bench.open.pop(0).callback(None)
    assert bench.key(501) in bench.store.objects


def test_the_file_stays_until_the_store_has_confirmed(bench: Bench) -> None:
    bench.put()
    shipper = bench.shipper()
    bench.store.after = bench.hold
    shipper.startService()
    assert len(bench.store.objects) == 1 and len(bench.on_disk()) == 1
    bench.open.pop().callback(None)
    assert bench.on_disk() == []


def test_an_answer_that_got_lost_makes_no_second_object(bench: Bench) -> None:
    bench.put()
    lost = [1]

    def after(request: str, key: str) -> None:
        if request == "put" and lost:
            lost.pop()
            raise fault(Kind.TRANSIENT)

    bench.store.after = after
    shipper = bench.shipper()
    shipper.startService()
    assert len(bench.on_disk()) == 1
    bench.clock.advance(2)
    assert list(bench.store.objects) == [bench.key(1)] and bench.on_disk() == []
    assert shipper.found_there == 1
    assert [request for request, _ in bench.store.requests] == ["put", "head"]


def test_after_a_restart_one_that_is_there_already_is_known_again(bench: Bench) -> None:
    path = bench.put()
    data = Path(path).read_bytes()
    first = bench.shipper()
    first.startService()
    result_of(first.stopService())
    Path(path).write_bytes(data)
    second = bench.shipper()
    second.startService()
    assert list(bench.store.objects) == [bench.key(1)] and bench.on_disk() == []
    assert second.found_there == 1


def test_anothers_object_is_never_overwritten(bench: Bench) -> None:
    path = bench.put(b"theirs")
    data = Path(path).read_bytes()
    first = bench.shipper()
    first.startService()
    theirs = bench.store.objects[bench.key(1)]
    bench.store.objects[bench.key(1)] = type(theirs)(
        b"theirs", {**theirs.metadata, "specimen-id": "f" * 32}, "x/y", '"e"'
    )
    result_of(first.stopService())
    Path(path).write_bytes(data)
    second = bench.shipper()
    second.startService()
    assert bench.store.objects[bench.key(1)].metadata["specimen-id"] == "f" * 32
    assert bench.store.objects[bench.key(1, 1)].data == b"theirs"
    assert bench.on_disk() == []


def test_a_conflict_with_another_write_under_way_is_looked_at_again_but_not_for_ever(bench: Bench) -> None:
    bench.put()
    bench.put(uri="b.png")
    conflicts = [0]

    def before(request: str, key: str) -> None:
        if request == "put" and "/a." in key and bench.clock.seconds() < 3:
            conflicts[0] += 1
            raise fault(Kind.CONFLICT, applied=False)

    bench.store.before = before
    shipper = bench.shipper()
    shipper.startService()
    assert len(bench.store.objects) == 1 and shipper.parked == 1
    assert conflicts[0] == 16
    bench.clock.pump([0.5] * 12)
    assert len(bench.store.objects) == 2 and bench.on_disk() == []
    assert conflicts[0] < 100


def test_one_that_is_refused_waits_slowly_and_holds_up_no_other(bench: Bench, lines: list[dict[str, Any]]) -> None:
    for uri in ("bad.png", "a.png", "b.png"):
        bench.put(uri=uri)
    failing(bench, Kind.REFUSED, lambda request, key: "bad" in key)
    shipper = bench.shipper(at_once=1)
    shipper.startService()
    assert len(bench.store.objects) == 2 and shipper.parked == 1
    assert bench.breaker.state == "closed"
    tries = len(bench.store.requests)
    bench.clock.pump([1.0] * 1200)
    assert 10 <= len(bench.store.requests) - tries <= 40
    told = [line for line in lines if "bad" in str(line.get("why", "")) or "specimen {path}" in line["log_format"]]
    assert len(told) == 1 and "mend it" in told[0]["why"]
    bench.store.before = None
    bench.clock.pump([1.0] * 65)
    assert len(bench.store.objects) == 3 and bench.on_disk() == []


def test_thousands_that_are_refused_fill_no_memory_and_are_all_tried_again(bench: Bench) -> None:
    for _ in range(300):
        bench.put(uri="bad.png")
    bench.put(uri="good.png")
    failing(bench, Kind.REFUSED, lambda request, key: "bad" in key)
    shipper = bench.shipper(turns=Turns(most_parked=20))
    shipper.startService()
    assert len(bench.store.objects) == 1 and shipper.held <= 20
    bench.store.before = None
    bench.clock.pump([1.0] * 130)
    assert len(bench.store.objects) == 301 and bench.on_disk() == []


def test_a_store_that_is_down_holds_all_back_and_counts_against_none(bench: Bench) -> None:
    for _ in range(30):
        bench.put()
    failing(bench, Kind.TRANSIENT)
    shipper = bench.shipper(at_once=8)
    shipper.startService()
    bench.clock.pump([1.0] * 600)
    assert len(bench.store.requests) < 30, "it does not spin"
    assert shipper.parked == 0 and shipper.failures == 0 and shipper.under_way == 8
    bench.store.before = None
    bench.clock.pump([1.0] * 65)
    assert len(bench.store.objects) == 30 and bench.on_disk() == []


def test_what_an_operator_has_to_mend_is_delivered_once_it_is_mended(bench: Bench) -> None:
    bench.put()
    failing(bench, Kind.DENIED)
    shipper = bench.shipper()
    shipper.startService()
    bench.clock.pump([10.0] * 100)
    shipper.found(bench.put())
    bench.store.before = None
    bench.clock.pump([1.0] * 65)
    assert len(bench.store.objects) == 2


def test_one_that_always_times_out_while_others_go_waits_by_itself(bench: Bench) -> None:
    bench.put(uri="huge.png")
    failing(bench, Kind.TRANSIENT, lambda request, key: "huge" in key)
    shipper = bench.shipper(at_once=2)
    shipper.startService()
    for _ in range(200):
        shipper.found(bench.put())
        bench.clock.advance(1)
    assert len(bench.store.objects) == 200
    assert shipper.parked == 1
    huge = [key for _, key in bench.store.requests if "huge" in key]
    assert 4 <= len(huge) <= 12, "its pauses grow"


@pytest.mark.parametrize("kind", [Kind.DAMAGED, Kind.GONE, Kind.UNSUPPORTED])
def test_any_other_failure_is_retried_with_pauses(bench: Bench, kind: Kind) -> None:
    bench.put()
    failing(bench, kind)
    shipper = bench.shipper()
    shipper.startService()
    bench.clock.pump([1.0] * 100)
    assert 3 <= len(bench.store.requests) <= 40 and len(bench.on_disk()) == 1
    bench.store.before = None
    bench.clock.pump([1.0] * 65)
    assert len(bench.store.objects) == 1 and bench.on_disk() == []


def test_a_damaged_one_goes_to_quarantine_and_blocks_nothing(bench: Bench) -> None:
    path = bench.put(b"the body")
    data = bytearray(Path(path).read_bytes())
    data[data.index(b"the body")] ^= 1
    Path(path).write_bytes(data)
    bench.put()
    shipper = bench.shipper()
    shipper.startService()
    assert len(bench.store.objects) == 1 and bench.on_disk() == []
    assert bench.quarantine.taken == 1 and shipper.set_aside == 1 and shipper.held == 0


def test_one_damaged_after_it_was_stored_goes_to_quarantine(bench: Bench) -> None:
    """Found by the simulation: it was an unforeseen error, as its header is read once more for its key."""
    path = bench.put(b"x" * 50, key="k")

    def after(request: str, key: str) -> None:
        data = bytearray(Path(path).read_bytes())
        data[20] ^= 1
        Path(path).write_bytes(bytes(data))

    bench.store.after = after
    shipper = bench.shipper()
    shipper.startService()
    assert bench.store.objects[bench.key(1)].data == b"x" * 50
    assert bench.quarantine.taken == 1 and shipper.set_aside == 1 and shipper.held == 0
    assert bench.space.used == 0


def test_one_that_cannot_be_read_is_tried_again_then_set_aside(bench: Bench) -> None:
    bench.put()

    def read(path: str) -> Any:
        raise OSError(5, "Input/output error", path)

    shipper = bench.shipper(files=SpecimenFiles(bench.files.waiting, read, bench.files.finish))
    shipper.startService()
    assert shipper.parked == 1
    bench.clock.pump([1.0] * 10)
    assert bench.quarantine.taken == 1 and shipper.held == 0


def test_a_file_that_cannot_be_removed_is_not_sent_twice(bench: Bench) -> None:
    bench.put()
    broken = [1, 2]
    failing(bench, Kind.DENIED, lambda request, key: False)

    def finish(path: str, has_key: bool) -> None:
        if broken:
            broken.pop()
            raise PermissionError(13, "Permission denied", path)
        bench.files.finish(path, has_key)

    shipper = bench.shipper(files=SpecimenFiles(bench.files.waiting, bench.files.read, finish))
    shipper.startService()
    bench.clock.pump([1.0] * 10)
    assert bench.on_disk() == [] and shipper.shipped == 1
    assert [request for request, _ in bench.store.requests] == ["put", "head", "head"]


def test_a_stop_during_the_probe_leaves_the_turn_to_others_of_the_store(bench: Bench) -> None:
    bench.put()
    failing(bench, Kind.TRANSIENT)
    shipper = bench.shipper()
    shipper.startService()
    bench.store.before = bench.hold
    bench.clock.advance(2)
    assert bench.breaker.state == "probing"
    other = bench.breaker.wait()
    result_of(shipper.stopService())
    assert not unfired(other)
    bench.breaker.stop()


@pytest_twisted.ensureDeferred
async def test_with_real_threads_and_files_all_that_is_received_while_it_runs_arrives(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.clock = reactor
    bench.breaker = Breaker(reactor, RETRY, "specimens")
    threads = Threads(reactor, "ship", 4)
    threads.startService()
    shipper = bench.shipper(offload=threads)
    ids = iter(range(1, 1000))
    spool = SpecimenSpool(
        fs=bench.fs,
        root=bench.root,
        offload=threads,
        space=bench.space,
        new_id=lambda: f"{next(ids):032x}",
        committed=shipper.found,
    )
    for number in range(60):
        if number == 30:
            shipper.startService()
        writer = spool.begin(
            received_ns=HOUR.start_ns + number, user="ann", uri="a.png", content_type=None, key=None, request_id="r"
        )
        writer.write(b"%d" % number)
        await writer.commit()
    assert await shipper.drain() == Left(0, 0)
    assert sorted(int(stored.data) for stored in bench.store.objects.values()) == list(range(60))
    assert shipper.shipped == 60 and bench.space.used == 0
    await shipper.stopService()
    await threads.stopService()


def test_an_unforeseen_error_is_no_end(bench: Bench) -> None:
    bench.put()
    broken = [1]

    def read(path: str) -> Any:
        if broken:
            broken.pop()
            raise ZeroDivisionError("unforeseen")
        return bench.files.read(path)

    shipper = bench.shipper(files=SpecimenFiles(bench.files.waiting, read, bench.files.finish))
    shipper.startService()
    bench.clock.pump([1.0] * 3)
    assert bench.on_disk() == []


def test_a_file_that_cannot_be_opened_while_it_is_sent_is_told_in_a_line_and_sent_later(
    bench: Bench, lines: list[dict[str, Any]]
) -> None:
    """Found by the campaign: without a descriptor left, each such specimen left a traceback."""
    bench.put()
    broken = [1]

    async def before(what: str, key: str) -> None:
        if what == "put" and broken:
            broken.pop()
            raise OSError(24, "Too many open files", key)

    bench.store.before = before
    shipper = bench.shipper()
    shipper.startService()
    assert len(bench.on_disk()) == 1
    assert any("Too many open files" in line.get("why", "") for line in lines)
    assert not any("log_failure" in line for line in lines)
    bench.clock.pump([1.0] * 3)
    assert bench.on_disk() == [] and len(bench.store.objects) == 1


def test_a_folder_that_cannot_be_listed_is_listed_later_and_new_ones_go_meanwhile(bench: Bench) -> None:
    bench.put()
    broken = [True]

    def waiting() -> Iterator[tuple[str, int]]:
        if broken:
            raise PermissionError(13, "Permission denied")
        yield from bench.files.waiting()

    shipper = bench.shipper(files=SpecimenFiles(waiting, bench.files.read, bench.files.finish))
    shipper.startService()
    shipper.found(bench.put())
    assert list(bench.store.objects) == [bench.key(2)]
    broken.clear()
    bench.clock.pump([1.0] * 3)
    assert len(bench.store.objects) == 2


def test_parts_that_an_earlier_process_left_are_given_up_and_a_missing_right_to_do_so_is_no_obstacle(
    bench: Bench,
) -> None:
    bench.put(b"x" * (5 << 20))
    failing(bench, Kind.DENIED, lambda request, key: request == "abort_uploads")
    shipper = bench.shipper()
    shipper.startService()
    assert [request for request, _ in bench.store.requests] == ["head", "abort_uploads", "put"]
    shipper.found(bench.put(b"x" * (5 << 20)))
    assert [request for request, _ in bench.store.requests][3:] == ["put"]
    assert bench.on_disk() == []


def test_drain_tells_when_all_is_shipped(bench: Bench) -> None:
    for _ in range(3):
        bench.put()
    bench.store.before = bench.hold
    shipper = bench.shipper()
    shipper.startService()
    drained = shipper.drain()
    assert unfired(drained)
    while bench.open:
        bench.open.pop().callback(None)
    assert result_of(drained) == Left(0, 0)


def test_drain_tries_what_waits_once_more_and_tells_what_is_left(bench: Bench) -> None:
    bench.put(uri="bad.png")
    size = os.path.getsize(bench.put(uri="worse.png"))
    failing(bench, Kind.REFUSED)
    shipper = bench.shipper()
    shipper.startService()
    failing(bench, Kind.REFUSED, lambda request, key: "worse" in key)
    assert result_of(shipper.drain()) == Left(1, size)
    assert len(bench.store.objects) == 1


def test_drain_waits_for_a_store_that_is_down_but_not_for_an_operator(bench: Bench) -> None:
    bench.put()
    failing(bench, Kind.TRANSIENT)
    shipper = bench.shipper()
    shipper.startService()
    drained = shipper.drain()
    assert unfired(drained)
    failing(bench, Kind.DENIED)
    bench.clock.advance(5)
    assert result_of(drained).count == 1


def test_drain_can_be_given_up_on(bench: Bench) -> None:
    bench.put()
    failing(bench, Kind.TRANSIENT)
    shipper = bench.shipper()
    shipper.startService()
    drained = shipper.drain()
    drained.cancel()
    with pytest.raises(CancelledError):
        result_of(drained)
    assert result_of(shipper.left()).count == 1


@pytest.mark.parametrize("held", ["store", "breaker", "thread"])
def test_a_stop_breaks_off_what_is_under_way_and_leaves_no_timer(bench: Bench, held: str) -> None:
    for _ in range(20):
        bench.put()
    jobs: list[Deferred[Any]] = []

    def offload(work: Callable[[], T], /) -> Deferred[T]:
        if held != "thread" or len(jobs) == 8:
            return inline(work)
        jobs.append(Deferred())
        return jobs[-1]

    if held == "store":
        bench.store.before = bench.hold
    elif held == "breaker":
        failing(bench, Kind.TRANSIENT)
    shipper = bench.shipper(offload=offload)
    if held == "thread":
        shipper._backlog._offload = inline
    shipper.startService()
    assert shipper.under_way == 8
    result_of(shipper.stopService())
    bench.breaker.stop()
    assert shipper.under_way == 0 and len(bench.on_disk()) == 20
    assert bench.clock.getDelayedCalls() == []
    shipper.found("never")
    assert shipper.held <= 64


def test_after_an_outage_the_newest_do_not_wait_for_the_backlog_that_came_in_it(bench: Bench) -> None:
    """Those that are remembered are the last that came, not the first: else each that comes when the store is back
    finds no room, and waits for a walk over everything that came while it was away."""
    shipper = bench.shipper(at_once=2, turns=Turns(most_fresh=4))
    bench.store.before = bench.hold
    shipper.startService()
    for _ in range(500):
        shipper.found(bench.put())
    newest = bench.put()
    shipper.found(newest)
    sent = 0
    while os.path.exists(newest):
        bench.open.pop(0).callback(None)
        sent += 1
    assert sent <= 2 + 2 * 4 + 2  # those under way, and one of the backlog for each that is remembered
    while bench.open:
        bench.open.pop(0).callback(None)
    assert len(bench.store.objects) == 501 and bench.on_disk() == []


def test_the_backlog_waits_until_it_is_counted_and_new_ones_do_not(bench: Bench) -> None:
    bench.put()
    shipper = bench.shipper()
    shipper.hold_backlog()
    shipper.startService()
    assert bench.store.objects.keys() == set()
    shipper.found(bench.put())
    assert bench.store.objects.keys() == {bench.key(2)}
    shipper.begin_backlog()
    assert bench.store.objects.keys() == {bench.key(1), bench.key(2)} and bench.on_disk() == []


def test_a_drain_does_not_wait_for_the_count(bench: Bench) -> None:
    bench.put()
    shipper = bench.shipper()
    shipper.hold_backlog()
    shipper.startService()
    assert result_of(shipper.drain()) == Left(0, 0)
    assert bench.store.objects.keys() == {bench.key(1)}
