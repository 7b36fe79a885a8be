"""Specimens on disk: whole or not there at all, acknowledged once durable, and no damage that goes unseen."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.filesystem import Entry, Handle, OsFileSystem
from lf6gateway.disk.offload import Offload, inline
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.space import Space
from lf6gateway.disk.specimen_file import (
    TRAILER_BYTES,
    WITHDRAWN,
    Head,
    Specimen,
    encode_head,
    encode_trailer,
    read_head,
    read_specimen,
    verify,
)
from lf6gateway.disk.specimen_writer import LOW_WATER, SpecimenWriter
from lf6gateway.disk.specimens import (
    SpecimenSpool,
    drop_old_keys,
    finish,
    key_counts,
    specimen_keys,
    take_stock,
    waiting_specimens,
)
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.values.idempotency import KeyUse
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of, unfired
from tests.later import Later

SLOT = Slot(490_000)
NOON = SLOT.start_ns
HEAD = Head("0" * 31 + "a", NOON + 5, "usér", "file:///C:/a%20b.png", "image/png", "key-1", "request-1")
BODY = b"some bytes\0of a body"
WHOLE = encode_head(HEAD) + BODY + encode_trailer(len(BODY), sha256(BODY).digest())


class FaultyHandle:
    """A file that notes its effects, and fails where it is told to."""

    def __init__(self, handle: Handle, name: str, fs: FaultyFileSystem) -> None:
        self._handle, self._name, self._fs = handle, name, fs

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        try:
            self._fs.note("write", self._name)
        except OSError:
            data = b"".join(bytes(part) for part in parts)
            self._handle.write([data[: len(data) // 2]])  # an unknown part of it is in the file
            raise
        self._handle.write(parts)

    def sync(self) -> None:
        self._fs.note("sync", self._name)
        self._handle.sync()

    def patch(self, offset: int, data: bytes) -> None:
        self._fs.note("patch", self._name)
        self._handle.patch(offset, data)

    def truncate(self, size: int) -> None:
        self._fs.note("truncate", self._name)
        self._handle.truncate(size)

    def __getattr__(self, name: str) -> object:
        return getattr(self._handle, name)


class FaultyFileSystem(OsFileSystem):
    """The real file system, with a record of every effect, and errors at the effects that are told."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: list[tuple[str, str]] = []
        self.fail: dict[tuple[str, int], OSError] = {}
        self._making = 0

    def note(self, effect: str, path: str) -> None:
        self.effects.append((effect, os.path.basename(path)))
        error = self.fail.pop((effect, sum(effect == seen for seen, _ in self.effects)), None)
        if error is not None:
            raise error

    def create(self, path: str) -> Handle:
        self.note("create", path)
        return FaultyHandle(super().create(path), path, self)  # type: ignore[return-value]

    def open(self, path: str, *, writable: bool = False) -> Handle:
        return FaultyHandle(super().open(path, writable=writable), path, self)  # type: ignore[return-value]

    def rename(self, source: str, target: str) -> None:
        self.note("rename", target)
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self.note("unlink", path)
        super().unlink(path)

    def make_dirs(self, path: str) -> None:
        self._making += 1
        try:
            super().make_dirs(path)
        finally:
            self._making -= 1

    def sync_dir(self, path: str) -> None:
        self.note("make_dirs" if self._making else "sync_dir", path)
        super().sync_dir(path)


class Desk:
    """A spool of specimens on a folder of the test's."""

    def __init__(self, folder: Path, offload: Offload = inline) -> None:
        self.fs = FaultyFileSystem()
        self.root = str(folder / "spool")
        self.folder = Path(self.root) / Stream.SPECIMEN.value / SLOT.name
        self.space = Space(1 << 40, 0, 0, monotonic=lambda: 0.0)
        self.committed: list[tuple[str, int]] = []
        self.seen: list[tuple[str, list[tuple[str, str]]]] = []
        self._numbers = itertools.count(1)
        self._moments = itertools.count(NOON + 1)
        self._spool = SpecimenSpool(
            fs=self.fs,
            root=self.root,
            offload=offload,
            space=self.space,
            new_id=lambda: f"{next(self._numbers):032x}",
            committed=self._commit,
        )

    def _commit(self, path: str, size: int) -> None:
        self.committed.append((path, size))
        self.seen.append(("committed", list(self.fs.effects)))

    def begin(self, *, user: str = "ann", uri: str = "a.png", key: str | None = None) -> SpecimenWriter:
        return self._spool.begin(
            received_ns=next(self._moments), user=user, uri=uri, content_type=None, key=key, request_id="r"
        )

    def put(self, *parts: bytes, key: str | None = None) -> Specimen:
        writer = self.begin(key=key)
        for part in parts:
            writer.write(part)
        result_of(writer.commit())
        return read_specimen(self.fs, self.committed[-1][0])

    def files(self) -> list[str]:
        return sorted(path.name for path in Path(self.root).rglob("*") if path.is_file())

    def uses(self, now_ns: int = NOON) -> list[KeyUse]:
        return list(specimen_keys(self.fs, self.root, now_ns, Quarantine(self.fs, self.root + "/quarantine")))


def removed(desk: Desk) -> int:
    """What a start of another process removes."""
    return take_stock(desk.fs, desk.root, NOON, lambda path: False).unfinished


def body_of(specimen: Specimen) -> bytes:
    return Path(specimen.path).read_bytes()[specimen.offset : specimen.offset + specimen.length]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=500)
USERS = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=128)
HEADS = st.builds(
    Head,
    id=st.text("0123456789abcdef", min_size=32, max_size=32),
    received_ns=st.integers(0, 2**63),
    user=USERS.filter(lambda user: user not in (".", "..")),
    uri=TEXTS,
    content_type=st.none() | TEXTS,
    key=st.none() | TEXTS,
    request_id=TEXTS,
)


@given(HEADS, st.binary(max_size=3000))
def test_any_head_and_body_come_back(tmp_path_factory: pytest.TempPathFactory, head: Head, body: bytes) -> None:
    path = tmp_path_factory.mktemp("spec") / "a.spec"
    data = encode_head(head) + body + encode_trailer(len(body), sha256(body).digest())
    path.write_bytes(data)
    fs = OsFileSystem()
    found = read_specimen(fs, str(path))
    assert found.head == head
    assert (found.id, found.user, found.key, found.size) == (head.id, head.user, head.key, len(data))
    assert found.sha256 == sha256(body).hexdigest()
    assert body_of(found) == body
    verify(fs, found)


@settings(deadline=None)
@given(TEXTS, st.none() | TEXTS, st.lists(st.binary(max_size=3000), max_size=5))
def test_what_is_written_in_pieces_comes_back_whole(
    tmp_path_factory: pytest.TempPathFactory, uri: str, key: str | None, parts: list[bytes]
) -> None:
    desk = Desk(tmp_path_factory.mktemp("spec"))
    writer = desk.begin(uri=uri, key=key)
    for part in parts:
        writer.write(part)
    result_of(writer.commit())
    ((path, size),) = desk.committed
    found = read_specimen(desk.fs, path)
    verify(desk.fs, found)
    assert (found.head.uri, found.head.key, body_of(found)) == (uri, key, b"".join(parts))
    assert list(waiting_specimens(desk.fs, desk.root)) == [(path, size)]
    assert desk.space.used == size == found.size == os.path.getsize(path)


def test_a_specimen_larger_than_a_piece_is_verified_whole(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    body = bytes(range(256)) * 10_000
    found = desk.put(body)
    verify(desk.fs, found)
    for at in (0, (1 << 20) - 1, 1 << 20, len(body) - 1):
        data = bytearray(Path(found.path).read_bytes())
        data[found.offset + at] ^= 1
        bad = tmp_path / "bad.spec"
        bad.write_bytes(data)
        with pytest.raises(Damaged, match="does not fit its digest"):
            verify(desk.fs, read_specimen(desk.fs, str(bad)))


def checked(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    fs = OsFileSystem()
    verify(fs, read_specimen(fs, str(path)))


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80, 0xFF])
def test_any_byte_flipped_is_damage(tmp_path: Path, flip: int) -> None:
    path = tmp_path / "a.spec"
    checked(path, WHOLE)
    for at in range(len(WHOLE)):
        with pytest.raises(Damaged):
            checked(path, WHOLE[:at] + bytes([WHOLE[at] ^ flip]) + WHOLE[at + 1 :])


def test_any_cut_is_damage(tmp_path: Path) -> None:
    for cut in range(len(WHOLE)):
        with pytest.raises(Damaged):
            checked(tmp_path / "a.spec", WHOLE[:cut])
        with pytest.raises(Damaged):
            checked(tmp_path / "a.spec", WHOLE[:cut] + bytes(len(WHOLE) - cut))
        if cut:
            with pytest.raises(Damaged):
                checked(tmp_path / "a.spec", WHOLE[cut:])


@pytest.mark.parametrize("more", [b"\0", b"x" * TRAILER_BYTES, WHOLE, WHOLE[-TRAILER_BYTES:]])
def test_anything_behind_the_end_is_damage(tmp_path: Path, more: bytes) -> None:
    with pytest.raises(Damaged):
        checked(tmp_path / "a.spec", WHOLE + more)


@given(st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE)), st.binary(max_size=60))
def test_any_stretch_replaced_is_damage(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int, stretch: bytes
) -> None:
    data = WHOLE[:start] + stretch + WHOLE[start + length :]
    if data != WHOLE and not data.startswith(WITHDRAWN):  # which is no damage
        with pytest.raises(Damaged):
            checked(tmp_path_factory.getbasetemp() / "stretch.spec", data)


def test_damage_says_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.spec"
    with pytest.raises(Damaged) as caught:
        checked(path, WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]))
    assert (caught.value.path, caught.value.offset) == (str(path), len(WHOLE) - TRAILER_BYTES)


@pytest.mark.parametrize("body", [b"", b"body"])
def test_a_specimen_is_acknowledged_after_its_bytes_and_its_name_are_durable(tmp_path: Path, body: bytes) -> None:
    desk = Desk(tmp_path)
    desk.put(b"one before, which makes the folder")
    desk.fs.effects.clear()
    desk.seen.clear()
    writer = desk.begin()
    writer.write(body)
    writer.commit().addCallback(lambda _: desk.seen.append(("acknowledged", list(desk.fs.effects))))
    name = f"{NOON + 2:020d}-{2:032x}"
    wanted = [
        ("create", f"{name}.part"),
        ("write", f"{name}.part"),
        *([("write", f"{name}.part")] if body else []),
        ("write", f"{name}.part"),
        ("sync", f"{name}.part"),
        ("rename", f"{name}.spec"),
        ("sync_dir", SLOT.name),
    ]
    assert desk.seen == [("committed", wanted), ("acknowledged", wanted)]


def test_the_folders_of_the_first_specimen_are_durable_before_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.put(b"x")
    first = desk.fs.effects.index(("create", f"{NOON + 1:020d}-{1:032x}.part"))
    assert desk.fs.effects[first - 3 : first] == [
        ("make_dirs", tmp_path.name),
        ("make_dirs", "spool"),
        ("make_dirs", "specimen"),
    ]


def test_nothing_is_on_disk_before_the_first_byte(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.begin().write(b"")
    assert desk.fs.effects == []
    assert not Path(desk.root).exists()


def test_nothing_is_acknowledged_while_the_disk_works(tmp_path: Path) -> None:
    later = Later()
    desk = Desk(tmp_path, later)  # type: ignore[arg-type]
    writer = desk.begin()
    writer.write(b"a" * 10)
    writer.write(b"b" * 20)
    writer.write(b"c" * 30)
    assert writer.waiting == 60
    committed = writer.commit()
    later.run()
    assert writer.waiting == 50
    later.run()
    assert unfired(committed)
    assert list(waiting_specimens(desk.fs, desk.root)) == []
    later.run()
    result_of(committed)
    assert body_of(read_specimen(desk.fs, desk.committed[0][0])) == b"a" * 10 + b"b" * 20 + b"c" * 30
    assert later.waiting == []


def test_who_writes_much_waits_until_little_is_left(tmp_path: Path) -> None:
    later = Later()
    desk = Desk(tmp_path, later)  # type: ignore[arg-type]
    writer = desk.begin()
    result_of(writer.when_drained())
    writer.write(b"a")
    writer.write(b"b" * (LOW_WATER + 1))
    drained = [writer.when_drained(), writer.when_drained()]
    later.run()
    assert all(map(unfired, drained))
    later.run()
    assert not any(map(unfired, drained))


def test_an_ended_specimen_takes_nothing_more(tmp_path: Path) -> None:
    writer = Desk(tmp_path).begin()
    result_of(writer.commit())
    with pytest.raises(RuntimeError):
        writer.write(b"x")
    with pytest.raises(RuntimeError):
        writer.commit()
    result_of(writer.abort())
    assert len(list(tmp_path.rglob("*.spec"))) == 1


# Which effect of the second specimen fails, counted from its beginning.
PLACES = [
    ("create", 1),
    ("write", 1),  # the header
    ("write", 2),  # the body
    ("write", 3),  # the trailer
    ("sync", 1),
    ("rename", 1),
    ("sync_dir", 1),
]
ERRORS = [OSError(errno.EIO, "Input/output error"), OSError(errno.ENOSPC, "No space left on device")]


@pytest.mark.parametrize("error", ERRORS, ids=["EIO", "ENOSPC"])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: f"{place[0]}-{place[1]}")
@pytest.mark.parametrize("key", [None, "key"])
def test_an_error_of_the_disk_fails_the_commit_and_leaves_nothing(
    tmp_path: Path, place: tuple[str, int], error: OSError, key: str | None
) -> None:
    desk = Desk(tmp_path)
    desk.put(b"before")
    before, used = desk.files(), desk.space.used
    desk.fs.effects.clear()
    desk.fs.fail[place] = error
    writer = desk.begin(key=key)
    writer.write(b"some body")
    with pytest.raises(SpoolUnavailable, match=str(error.strerror)) as caught:
        result_of(writer.commit())
    assert (caught.value.reason, caught.value.retry_after) == ("disk_failing", 5)
    assert desk.fs.fail == {}
    assert desk.files() == before
    assert desk.space.used == used
    assert len(desk.committed) == 1
    assert desk.uses() == []
    refusal = desk.space.refusal(0)
    assert refusal is not None and refusal.reason == "disk_failing"
    result_of(writer.abort())
    desk.put(b"after")
    assert desk.space.refusal(0) is None
    assert len(list(waiting_specimens(desk.fs, desk.root))) == 2


@pytest.mark.parametrize("place", PLACES[:3], ids=lambda place: f"{place[0]}-{place[1]}")
def test_an_error_of_the_disk_is_told_to_who_waits_and_ends_the_writing(tmp_path: Path, place: tuple[str, int]) -> None:
    desk = Desk(tmp_path)
    desk.fs.fail[place] = ERRORS[1]
    writer = desk.begin()
    writer.write(b"first")
    with pytest.raises(SpoolUnavailable, match="No space left"):
        result_of(writer.when_drained())
    count = len(desk.fs.effects)
    writer.write(b"second")
    assert (writer.waiting, len(desk.fs.effects)) == (0, count)
    result_of(writer.abort())
    assert (desk.files(), desk.space.used, desk.committed) == ([], 0, [])


def test_a_folder_that_cannot_be_made_fails_the_commit(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fs.fail["make_dirs", 1] = ERRORS[0]
    with pytest.raises(SpoolUnavailable):
        desk.put(b"x")
    assert (desk.files(), desk.space.used) == ([], 0)
    desk.put(b"x")


def test_a_folder_removed_meanwhile_is_made_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fs.fail["create", 1] = FileNotFoundError(errno.ENOENT, "No such file or directory")
    assert body_of(desk.put(b"x")) == b"x"


def test_a_part_that_cannot_be_removed_is_not_shipped(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fs.fail["sync", 1] = ERRORS[0]
    desk.fs.fail["unlink", 1] = ERRORS[0]
    with pytest.raises(SpoolUnavailable):
        desk.put(b"x")
    assert list(waiting_specimens(desk.fs, desk.root)) == []
    assert len(desk.files()) == 1
    assert removed(desk) == 1
    assert desk.files() == []


def test_an_aborted_specimen_leaves_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    writer = desk.begin(key="key")
    writer.write(b"some body")
    assert len(desk.files()) == 1
    assert desk.space.used > 0
    result_of(writer.abort())
    result_of(writer.abort())
    assert (desk.files(), desk.space.used, desk.committed, desk.uses()) == ([], 0, [], [])
    assert desk.space.refusal(0) is None


def test_an_abort_before_the_first_byte_touches_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result_of(desk.begin().abort())
    assert desk.fs.effects == []


def test_an_abort_waits_for_the_write_under_way_and_does_no_further(tmp_path: Path) -> None:
    later = Later()
    desk = Desk(tmp_path, later)  # type: ignore[arg-type]
    writer = desk.begin()
    writer.write(b"first")
    writer.write(b"second")
    aborted = writer.abort()
    later.run()
    assert unfired(aborted)
    later.run()
    result_of(aborted)
    assert (desk.files(), desk.space.used) == ([], 0)
    assert [effect for effect, _ in desk.fs.effects].count("write") == 2  # the header, the first part
    assert later.waiting == []


def test_what_was_not_finished_is_removed_at_a_start_and_nothing_else(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    whole = desk.put(b"whole", key="1")
    shipped = desk.put(b"shipped", key="2")
    finish(desk.fs, shipped.path, True)
    for _ in range(2):
        desk.begin().write(b"unfinished")
    foreign = desk.folder / "foreign.part"
    foreign.write_bytes(b"x")
    before = len(desk.files())
    assert removed(desk) == 2
    assert len(desk.files()) == before - 2
    assert foreign.exists()
    assert list(waiting_specimens(desk.fs, desk.root)) == [(whole.path, whole.size)]
    assert len(desk.uses()) == 2
    assert removed(desk) == 0


def test_a_start_without_any_folder_finds_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert removed(desk) == 0
    assert list(waiting_specimens(desk.fs, desk.root)) == []
    assert desk.uses() == []
    assert drop_old_keys(desk.fs, desk.root, NOON) == 0


def test_waiting_specimens_come_with_the_oldest_hour_first(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk._moments = iter([NOON + HOUR_NS, NOON, NOON + 2 * HOUR_NS])  # type: ignore[assignment]
    for _ in range(3):
        desk.put(b"x")
    hours = [Path(path).parent.name for path, _ in waiting_specimens(desk.fs, desk.root)]
    assert hours == [Slot(SLOT.number + number).name for number in range(3)]


def test_a_shipped_specimen_without_a_key_is_gone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    finish(desk.fs, desk.put(b"x").path, False)
    assert desk.files() == []


def test_a_shipped_specimen_keeps_its_key_and_nothing_more(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    specimen = desk.put(b"body" * 1000, key="key")
    before = desk.uses()
    assert before == [KeyUse(NOON + 1, Stream.SPECIMEN, "ann", "key")]
    finish(desk.fs, specimen.path, True)
    (left,) = desk.folder.iterdir()
    assert left.suffix == ".key"
    assert left.read_bytes() == encode_head(specimen.head)
    assert desk.uses() == before
    assert list(waiting_specimens(desk.fs, desk.root)) == []


@pytest.mark.parametrize("remains", [False, True])
def test_one_that_was_refused_at_its_last_step_never_counts(tmp_path: Path, remains: bool) -> None:
    """Found by the simulation (seed 142409): its name could not be made durable, nor be removed; its sender was refused,
    sent it again, and the next start shipped both."""
    desk = Desk(tmp_path)
    writer = desk.begin(key="key")
    writer.write(b"body")
    desk.fs.fail["sync_dir", 1] = ERRORS[0]
    if remains:
        desk.fs.fail["unlink", 2] = ERRORS[0]  # the first is of the name that it no longer has
    with pytest.raises(SpoolUnavailable):
        result_of(writer.commit())
    effects = [effect for effect, _ in desk.fs.effects]
    assert effects[effects.index("sync_dir") :] == ["sync_dir", "patch", "truncate", "sync", "unlink", "unlink"]
    assert desk.space.used == 0
    assert desk.files() == ([Path(writer.path).with_suffix(".spec").name] if remains else [])
    for path, _ in waiting_specimens(desk.fs, desk.root):
        with pytest.raises(FileNotFoundError):
            read_specimen(desk.fs, path)
    assert (desk.files(), desk.uses()) == ([], [])


def test_one_whose_name_is_not_durable_yet_does_not_wait_to_be_shipped(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    specimen = desk.put(b"x")
    unfinished = specimen.path.removesuffix(".spec") + ".part"
    assert list(waiting_specimens(desk.fs, desk.root, lambda path: path == unfinished)) == []
    assert list(waiting_specimens(desk.fs, desk.root, lambda path: False)) == [(specimen.path, specimen.size)]


def test_a_finish_that_fails_loses_neither_specimen_nor_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    specimen = desk.put(b"body", key="key")
    desk.fs.effects.clear()
    desk.fs.fail["rename", 1] = ERRORS[0]
    with pytest.raises(OSError):
        finish(desk.fs, specimen.path, True)
    assert len(desk.uses()) == 1
    assert [path for path, _ in waiting_specimens(desk.fs, desk.root)] == [specimen.path]


@pytest.mark.parametrize("effect", ["sync_dir", "truncate"])
def test_a_finish_that_fails_behind_the_renaming_is_one(tmp_path: Path, effect: str) -> None:
    """Found by the simulation (seed 41522): it was tried again, found no file, and its bytes counted for ever."""
    desk = Desk(tmp_path)
    specimen = desk.put(b"body", key="key")
    desk.fs.effects.clear()
    desk.fs.fail[effect, 1] = ERRORS[0]
    finish(desk.fs, specimen.path, True)
    assert len(desk.uses()) == 1
    assert list(waiting_specimens(desk.fs, desk.root)) == []
    (left,) = desk.folder.iterdir()
    assert left.stat().st_size == specimen.size  # what could come back as a specimen is a whole one


def test_a_damaged_head_is_not_made_a_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    specimen = desk.put(b"body", key="key")
    data = b"x" + Path(specimen.path).read_bytes()[1:]
    Path(specimen.path).write_bytes(data)
    with pytest.raises(Damaged):
        finish(desk.fs, specimen.path, True)
    assert Path(specimen.path).read_bytes() == data


def test_the_keys_of_specimens_count_for_an_hour(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    received = NOON + 1
    finish(desk.fs, desk.put(b"x", key="key").path, True)
    assert len(desk.uses(received + HOUR_NS - 1)) == 1
    assert desk.uses(received + HOUR_NS + 1) == []
    over = Slot.at(received).end_ns + HOUR_NS
    assert drop_old_keys(desk.fs, desk.root, over - 1) == 0
    assert drop_old_keys(desk.fs, desk.root, over) == 1
    assert not desk.folder.exists()


def test_dropping_keys_leaves_what_waits(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    specimen = desk.put(b"x", key="key")
    assert drop_old_keys(desk.fs, desk.root, NOON + 100 * HOUR_NS) == 0
    assert [path for path, _ in waiting_specimens(desk.fs, desk.root)] == [specimen.path]


def test_a_specimen_whose_head_is_damaged_costs_no_other_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(3):
        desk.put(b"x", key=f"key-{number}")
    bad = Path(desk.committed[1][0])
    for data in (b"", b"x", bad.read_bytes()[:50], b"\0" * 500):
        bad.write_bytes(data)
        assert sorted(use.key for use in desk.uses()) == ["key-0", "key-2"]


def test_a_kept_key_that_is_damaged_is_set_aside(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(2):
        specimen = desk.put(b"x", key=f"key-{number}")
        finish(desk.fs, specimen.path, True)
    bad = Path(specimen.path).with_suffix(".key")
    data = bytearray(bad.read_bytes())
    data[30] ^= 1
    bad.write_bytes(bytes(data))
    assert [use.key for use in desk.uses()] == ["key-0"]
    assert not bad.exists()
    assert len(list((Path(desk.root) / "quarantine" / "specimen").glob("*.key"))) == 1


def test_a_specimen_that_cannot_be_read_costs_no_other_key(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(3):
        desk.put(b"x", key=f"key-{number}")
    bad = desk.committed[1][0]

    class Failing(OsFileSystem):
        def open(self, path: str, *, writable: bool = False) -> Handle:
            if path == bad:
                raise OSError(errno.EIO, "Input/output error", path)
            return super().open(path, writable=writable)

    assert sorted(
        use.key for use in specimen_keys(Failing(), desk.root, NOON, Quarantine(desk.fs, desk.root + "/quarantine"))
    ) == ["key-0", "key-2"]


def test_a_head_too_long_to_be_true_is_damage_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.spec"
    path.write_bytes(WHOLE[:10] + b"\xff\xff\xff\x7f" + WHOLE[14:])
    handle = OsFileSystem().open(str(path))
    with pytest.raises(Damaged):
        read_head(handle, str(path))
    handle.close()


class Counting(OsFileSystem):
    """Counts the names that are listed."""

    listed = 0

    def scan(self, path: str) -> Iterator[Entry]:
        for entry in super().scan(path):
            self.listed += 1
            yield entry


def test_taking_stock_spares_what_comes_in_and_counts_what_an_earlier_process_left(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    old = desk.put(b"old")
    shipped = desk.put(b"shipped", key="1")
    finish(desk.fs, shipped.path, True)
    desk.begin().write(b"left behind")
    left_behind = next(path for path in desk.folder.iterdir() if path.suffix == ".part")
    begun = next(desk._moments)
    coming = desk.begin()
    coming.write(b"comes in")
    desk.put(b"new")
    is_open = desk._spool.is_open
    stock = take_stock(desk.fs, desk.root, begun, lambda path: path != str(left_behind) and is_open(path))
    assert (stock.bytes, stock.unfinished) == (old.size, 1)
    assert not left_behind.exists()
    result_of(coming.commit())
    assert len(list(waiting_specimens(desk.fs, desk.root))) == 3


def test_a_specimen_is_open_until_it_is_ended(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for end in ("commit", "abort"):
        writer = desk.begin()
        writer.write(b"x")
        (part,) = [path for path in desk.folder.iterdir() if path.suffix == ".part"]
        assert desk._spool.is_open(str(part))
        result_of(getattr(writer, end)())
        assert not desk._spool.is_open(str(part))


def test_what_waits_for_days_is_not_listed_at_every_round(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(100):
        desk.put(b"x", key=f"{number}")
    finish(desk.fs, desk.committed[0][0], True)
    fs, searched, over = Counting(), set[str](), SLOT.end_ns + HOUR_NS
    assert drop_old_keys(fs, desk.root, over - 1, searched) == 0
    assert fs.listed <= 2
    assert drop_old_keys(fs, desk.root, over, searched) == 1
    fs.listed = 0
    for minute in range(60):
        assert drop_old_keys(fs, desk.root, over + minute * 60_000_000_000, searched) == 0
    assert fs.listed <= 60 * 2
    # The clock was set back and forth again: what was kept meanwhile is found.
    finish(desk.fs, desk.committed[1][0], True)
    assert drop_old_keys(fs, desk.root, over - 1, searched) == 0
    assert drop_old_keys(fs, desk.root, over, searched) == 1


def test_of_a_specimen_shipped_late_no_key_is_kept(tmp_path: Path) -> None:
    specimen = Desk(tmp_path).put(b"x", key="key")
    assert key_counts(specimen.path, NOON + 1 + HOUR_NS)
    assert not key_counts(specimen.path, NOON + 2 + HOUR_NS)


def test_a_start_looks_for_keys_in_the_last_hours_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in range(100):
        desk.put(b"x", key=f"{number}")
    fs = Counting()
    aside = Quarantine(fs, str(tmp_path / "quarantine"))
    assert list(specimen_keys(fs, desk.root, NOON + 3 * HOUR_NS, aside)) == []
    assert fs.listed <= 3
