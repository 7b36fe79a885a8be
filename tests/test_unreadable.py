"""What the disk damages or cannot read any more is set aside, and everything else goes on."""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pytest
from twisted.internet.task import Clock

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.filesystem import Handle, OsFileSystem
from lf6gateway.disk.folders import MemberFile, check_member_file, hour_folder, waiting_hours
from lf6gateway.disk.hour_files import HourFiles
from lf6gateway.disk.identity import FormatUnknown, Identity, read_identity, spool_identity
from lf6gateway.disk.offload import inline
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.seal import seal
from lf6gateway.disk.segment import Bad, Whole, read_segment
from lf6gateway.disk.space import Space
from lf6gateway.services.retain import TRIAL, TRIAL_EVERY, RetainService
from lf6gateway.stores.memory import MemoryStore
from lf6gateway.values import frame
from lf6gateway.values.checked import encode_fields
from lf6gateway.values.entry import Entry
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.member import HEADER_BYTES
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of
from tests.simulation.chance import Chance
from tests.simulation.disk import Disk as SimulatedDisk
from tests.simulation.disk import Mount
from tests.test_growth import SLOT, Disk, lines
from tests.test_seal import segment_of

Reads = Callable[[int, int], bool]


class BadSectors(OsFileSystem):
    """A disk that cannot read some bytes of files of one ending."""

    def __init__(self, ending: str, bad: range) -> None:
        super().__init__()
        self.ending = ending
        self.bad = bad

    def open(self, path: str, *, writable: bool = False) -> Handle:
        handle = super().open(path, writable=writable)
        return _Bad(handle, self.bad) if path.endswith(self.ending) else handle


class _Bad:
    def __init__(self, handle: Handle, bad: range) -> None:
        self._handle = handle
        self._bad = bad

    def read_at(self, offset: int, size: int) -> bytes:
        if size and max(offset, self._bad.start) < min(offset + size, self._bad.stop):
            raise OSError(errno.EIO, "Input/output error")
        return self._handle.read_at(offset, size)

    def __getattr__(self, name: str) -> object:
        return getattr(self._handle, name)


PAGE = 4096
ENTRIES = [
    Entry(
        SLOT.start_ns + number, "alice", b'{"n":%d,"p":"%s"}\n' % (number, b"x" * (number * 397 % 2000)), 1, None, "r"
    )
    for number in range(40)
]
FRAMES = [b"".join(frame.encode(entry)) for entry in ENTRIES]
WHOLE = frame.FILE_HEADER + b"".join(FRAMES)


def hit(bad: range) -> int:
    """How many frames have a byte in a range."""
    count, start = 0, len(frame.FILE_HEADER)
    for data in FRAMES:
        count += max(start, bad.start) < min(start + len(data), bad.stop)
        start += len(data)
    return count


@pytest.mark.parametrize("page", range(len(WHOLE) // PAGE + 1))
def test_a_segment_with_a_bad_sector_gives_all_that_can_be_read(tmp_path: Path, page: int) -> None:
    bad = range(page * PAGE, (page + 1) * PAGE)
    fs = BadSectors(".seg", bad)
    quarantine = Quarantine(fs, str(tmp_path / "quarantine"))
    segment = segment_of(tmp_path, WHOLE)
    with pytest.raises(OSError, match="Input/output"):
        seal(fs, segment, spool="a" * 16, level=1, quarantine=quarantine)
    assert Path(segment.path).exists() and not list(tmp_path.rglob("*.tmp"))
    made = seal(fs, segment, spool="a" * 16, level=1, quarantine=quarantine, salvage=True)
    assert made.records == len(ENTRIES) - hit(bad)
    assert made.damaged >= 1
    kept = list((tmp_path / "quarantine" / "usage").glob("*.seg"))
    assert [path.read_bytes() for path in kept] == [WHOLE]
    assert all(path.with_name(path.name + ".why.json").exists() for path in kept)
    assert not Path(segment.path).exists()


def flip(path: str, at: int) -> None:
    data = bytearray(Path(path).read_bytes())
    data[at] ^= 0x20
    Path(path).write_bytes(bytes(data))


def test_any_flipped_byte_of_a_member_is_found(tmp_path: Path) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    file = disk.seal(b'{"n":1}\n')
    check_member_file(disk.fs, file)
    for at in range(file.member.packed_bytes):
        flip(file.path, at)
        with pytest.raises(Damaged):
            check_member_file(disk.fs, file)
        flip(file.path, at)
    for size in range(file.member.packed_bytes):
        data = Path(file.path).read_bytes()
        Path(file.path).write_bytes(data[:size])
        with pytest.raises(Damaged):
            check_member_file(disk.fs, file)
        Path(file.path).write_bytes(data)


@pytest.mark.parametrize("at", [0, 20, HEADER_BYTES - 2])
def test_the_digest_of_a_member_is_of_what_was_compared(tmp_path: Path, at: int) -> None:
    """Found by the simulation (seed 222937): its header was read again for the digest that its upload is compared with,
    and had been damaged meanwhile."""

    class Rotting(OsFileSystem):
        def open(self, path: str, *, writable: bool = False) -> Handle:
            handle = super().open(path, writable=writable)
            if self.opened:
                flip(path, at)  # the header has been read
            self.opened += 1
            return handle

        opened = 0

    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    file = disk.seal(b'{"n":1}\n')
    before = Path(file.path).read_bytes()
    fs = Rotting()
    assert check_member_file(fs, file) == sha256(before).hexdigest()
    assert fs.opened == 2 and Path(file.path).read_bytes() != before


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("at", [0, 20, 150, -3])
def test_a_damaged_member_is_set_aside_and_the_others_are_shipped(tmp_path: Path, at: int, restart: bool) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    files: list[MemberFile] = [disk.seal(b'{"n":%d}\n' % number) for number in range(3)]
    flip(files[1].path, at)
    if restart:
        disk.start()
    assert disk.ship()
    assert lines(disk.store) == [b'{"n":0}\n', b'{"n":2}\n']
    assert len(list((tmp_path / "quarantine" / "usage").glob("*.gz"))) == 1
    disk.seal(b'{"n":3}\n')
    assert disk.ship()
    assert lines(disk.store) == [b'{"n":0}\n', b'{"n":2}\n', b'{"n":3}\n']


def test_a_shipped_member_that_is_damaged_later_never_reaches_the_object_again(tmp_path: Path) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    file = disk.seal(b'{"n":0}\n')
    assert disk.ship()
    flip(file.path, 150)
    disk.seal(b'{"n":1}\n')
    assert disk.ship()
    assert lines(disk.store) == disk.sealed


def test_a_member_the_disk_cannot_read_is_set_aside_after_some_trials(tmp_path: Path) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    files = [disk.seal(b'{"n":%d}\n' % number) for number in range(2)]
    disk.fs = BadSectors(os.path.basename(files[0].path), range(160, 161))  # type: ignore[assignment]
    disk.start()
    for failures in range(3):
        disk.hour.failures = failures
        with pytest.raises(OSError, match="Input/output"):
            disk.ship()
    disk.hour.failures = 3
    assert disk.ship()
    assert lines(disk.store) == [b'{"n":1}\n']
    assert len(list((tmp_path / "quarantine" / "usage").glob("*.gz"))) == 1


@pytest.mark.parametrize("lost", [False, True])
def test_a_disk_that_lost_its_identity_doubles_nothing(tmp_path: Path, lost: bool) -> None:
    """The write before took effect, whether or not its answer came; its members lie on disk under the old identity."""
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    disk.seal(b'{"n":0}\n')
    if lost:

        def gone(request: str, key: str) -> None:
            if request == "put":
                raise StoreError(Kind.TRANSIENT, request, "the answer is lost")

        disk.store.after = gone
        assert not disk.ship()
        disk.store.after = None
    else:
        assert disk.ship()
    disk.spool = "b" * 16
    disk.start()
    disk.seal(b'{"n":1}\n')
    assert disk.ship()
    assert lines(disk.store) == disk.sealed
    disk.seal(b'{"n":2}\n')
    assert disk.ship()
    assert lines(disk.store) == disk.sealed


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"{}", b'{"format":1,"spool":"x"}', b"[" * 100_000])
def test_an_identity_that_cannot_be_read_is_replaced(tmp_path: Path, content: bytes) -> None:
    fs = OsFileSystem()
    quarantine = Quarantine(fs, str(tmp_path / "quarantine"))
    (tmp_path / "spool.json").write_bytes(content)
    first = spool_identity(fs, str(tmp_path), quarantine, lambda: "c" * 32)
    assert spool_identity(fs, str(tmp_path), quarantine, lambda: "d" * 32) == first == "c" * 16
    assert (tmp_path / "quarantine" / "spool" / "spool.json").read_bytes() == content


def test_a_spool_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    fs = OsFileSystem()
    (tmp_path / "spool.json").write_bytes(encode_fields({"format": 2, "spool": "0123456789abcdef"}))
    with pytest.raises(FormatUnknown, match="format 2"):
        spool_identity(fs, str(tmp_path), Quarantine(fs, str(tmp_path / "quarantine")), lambda: "c" * 32)


def test_a_disk_that_failed_is_tried_without_any_request(tmp_path: Path) -> None:
    clock = Clock()
    broken = [True]

    class Failing(OsFileSystem):
        def create(self, path: str) -> Handle:
            if broken:
                raise OSError(errno.EROFS, "Read-only file system", path)
            return super().create(path)

    space = Space(1 << 40, 0, 0, monotonic=clock.seconds)
    service = RetainService(
        clock=clock,
        now_ns=lambda: SLOT.start_ns,
        offload=inline,
        fs=Failing(),
        path=str(tmp_path),
        space=space,
        drop={},
        expire=lambda now_ns: None,
    )
    service.startService()
    space.note_failure("EIO")
    clock.pump([TRIAL_EVERY] * 3)
    refusal = space.refusal(0)
    assert refusal is not None and refusal.reason == "disk_failing"
    broken.clear()
    clock.pump([TRIAL_EVERY])
    assert space.refusal(0) is None
    assert not (tmp_path / TRIAL).exists()
    result_of(service.stopService())


def test_the_hours_folder_is_found_again_without_what_was_set_aside(tmp_path: Path) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    file = disk.seal(b'{"n":0}\n')
    flip(file.path, 160)
    assert disk.ship()
    assert result_of(disk.hour.settle(over=True))
    assert not Path(hour_folder(disk.root, Stream.USAGE, SLOT)).exists()
    assert waiting_hours(disk.fs, disk.root, Stream.USAGE) == []
    assert disk.store.objects == {}


@pytest.mark.parametrize("salvage", [False, True])
def test_a_segment_with_a_damaged_beginning_and_a_bad_sector_gives_its_frames(tmp_path: Path, salvage: bool) -> None:
    """Found by the simulation: the look for a segment that holds nothing but zeros met a sector that cannot be read."""
    data = bytearray(WHOLE)
    data[2] ^= 1
    fs = BadSectors(".seg", range(2 * PAGE, 3 * PAGE)) if salvage else OsFileSystem()
    found = list(read_segment(fs, segment_of(tmp_path, bytes(data)), salvage=salvage))
    assert isinstance(found[0], Bad)
    assert (found[0].offset, found[0].length) == (0, len(frame.FILE_HEADER))
    whole = [one.entry for one in found if isinstance(one, Whole)]
    assert len(whole) == len(ENTRIES) - (hit(range(2 * PAGE, 3 * PAGE)) if salvage else 0)


def test_any_flipped_bit_of_a_ledger_doubles_nothing_and_is_set_aside(tmp_path: Path) -> None:
    """Found by thought on the simulation: a flipped digit in the list of what is shipped made a member be sent twice."""
    first = Disk(tmp_path / "first", MemoryStore(), "a" * 16)
    first.seal(b'{"n":0}\n')
    assert first.ship()
    ledger = Path(hour_folder(first.root, Stream.USAGE, SLOT)) / "ledger.json"
    size = len(ledger.read_bytes())
    for at in range(size):
        root = tmp_path / str(at)
        shutil.copytree(first.root, root)
        store = MemoryStore()
        store.objects.update(first.store.objects)
        disk = Disk(root, store, "a" * 16)
        disk.sealed, disk.ordinal = list(first.sealed), 1
        flip(str(Path(hour_folder(disk.root, Stream.USAGE, SLOT)) / "ledger.json"), at)
        disk.start()
        disk.seal(b'{"n":1}\n')
        assert disk.ship()
        assert lines(store) == disk.sealed
        assert disk.quarantine.taken == 1


def test_any_flipped_bit_of_the_identity_is_seen(tmp_path: Path) -> None:
    fs = OsFileSystem()
    quarantine = Quarantine(fs, str(tmp_path / "quarantine"))
    spool_identity(fs, str(tmp_path), quarantine, lambda: "c" * 32)
    whole = (tmp_path / "spool.json").read_bytes()
    for number, at in enumerate(range(len(whole) - 1), 1):
        (tmp_path / "spool.json").write_bytes(whole)
        flip(str(tmp_path / "spool.json"), at)
        assert spool_identity(fs, str(tmp_path), quarantine, lambda: "d" * 32) == "d" * 16
        assert quarantine.taken == number


@pytest.mark.parametrize("seed", range(20))
def test_nothing_lies_in_quarantine_without_its_note_after_a_power_loss(seed: int) -> None:
    """Found by the simulation: the move was durable before the name of the note was."""
    disk = SimulatedDisk(Chance(seed), lambda what: None, Counter())
    disk.put("/cache/spool/usage/x.gz", b"damaged")
    quarantine = Quarantine(Mount(disk), "/cache/quarantine")
    disk.faults.sync_names = 0.4
    disk.calm = False
    with suppress(OSError):
        quarantine.take("/cache/spool/usage/x.gz", "usage", "it is damaged")
    disk.crash(0.5)
    there = disk.files("/cache/quarantine/")
    assert "/cache/quarantine/usage/x.gz" not in there or "/cache/quarantine/usage/x.gz.why.json" in there
    assert any(disk.names[path] and path.endswith("x.gz") for path in disk.files("/cache/"))


def test_a_damaged_ledger_stays_in_doubt_over_a_start_that_ended_at_once(tmp_path: Path) -> None:
    """Found by the simulation (seed 1932): a start had set it aside and died; the next one found none, which says that
    nothing was ever sent, and with a new identity of the disk nothing spoke against that: a record was doubled."""
    first = Disk(tmp_path, MemoryStore(), "a" * 16)
    first.seal(b'{"n":0}\n')
    assert first.ship()
    folder = hour_folder(first.root, Stream.USAGE, SLOT)
    flip(os.path.join(folder, "ledger.json"), 5)
    for _ in range(2):
        files = HourFiles(OsFileSystem(), folder, Stream.USAGE, first.quarantine)
        ledger, _, certain, _ = files.read([], True, False)
        assert ledger is not None and not certain
    assert first.quarantine.taken == 1


class Full(OsFileSystem):
    """A disk that takes no new file."""

    def create(self, path: str) -> Handle:
        raise OSError(errno.ENOSPC, "No space left on device", path)


def test_a_disk_notes_the_hostname_and_a_full_one_starts_without(tmp_path: Path) -> None:
    fs = OsFileSystem()
    quarantine = Quarantine(fs, str(tmp_path / "quarantine"))
    spool = spool_identity(fs, str(tmp_path), quarantine, lambda: "c" * 32, "one")
    assert read_identity(fs, str(tmp_path)) == Identity(spool, "one")
    assert spool_identity(Full(), str(tmp_path), quarantine, lambda: "d" * 32, "two") == spool
    assert read_identity(fs, str(tmp_path)) == Identity(spool, "one")
    assert spool_identity(fs, str(tmp_path), quarantine, lambda: "d" * 32, "two") == spool
    assert read_identity(fs, str(tmp_path)) == Identity(spool, "two")
