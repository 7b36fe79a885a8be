"""A folder as a store: what is in the way, what a crash leaves, and who else writes there."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from lf6gateway.disk.offload import inline
from lf6gateway.stores import directory
from lf6gateway.stores.directory import DirectoryStore
from lf6gateway.stores.open_file import OpenFile
from lf6gateway.stores.store import Absent, Body, Present, Slice, Unchanged
from lf6gateway.values.failure import Kind, StoreError
from tests.deferreds import result_of

TYPE = "application/gzip"


def store_in(folder: Path) -> DirectoryStore:
    return DirectoryStore(str(folder / "objects"), offload=inline)


def body(folder: Path, content: bytes) -> Body:
    path = folder / "content"
    path.write_bytes(content)
    return Body((Slice(str(path), 0, len(content)),))


def put(store: DirectoryStore, key: str, content: Body, condition: Absent | Unchanged | None = None) -> Present:
    return result_of(store.put(key, content, metadata={"n": "1"}, content_type=TYPE, condition=condition))


def refused(work: Callable[[], object]) -> StoreError:
    with pytest.raises(StoreError) as told:
        work()
    return told.value


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("what", ["folder", "link to a folder", "link to a file", "file above"])
def test_what_is_in_the_way_of_one_object_is_no_fault_of_the_store(tmp_path: Path, what: str) -> None:
    store = store_in(tmp_path)
    content = body(tmp_path, b"1")
    put(store, "a/other", content)
    place = tmp_path / "objects" / "a" / "b"
    outside = tmp_path / "outside"
    outside.write_bytes(b"not ours")
    if what == "folder":
        place.mkdir()
    elif what == "link to a folder":
        place.symlink_to(tmp_path)
    elif what == "link to a file":
        place.symlink_to(outside)
    key = "a/b"
    if what == "file above":
        put(store, key, content)
        key = "a/b/c"
        assert result_of(store.head(key)) is None
    else:
        assert refused(lambda: result_of(store.head(key))).kind is Kind.REFUSED
    error = refused(lambda: put(store, key, content, Absent()))
    assert (error.kind, error.applied) == (Kind.REFUSED, False)
    assert outside.read_bytes() == b"not ours"
    reading = refused(lambda: result_of(anext(store.get(key))))  # type: ignore[arg-type]
    assert reading.kind is (Kind.GONE if what == "file above" else Kind.REFUSED)


def test_a_folder_that_may_not_be_written_waits_for_the_operator(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        error = store_in(tmp_path)._error("write a", OSError(13, "Permission denied"))  # root is refused nothing
    else:
        (tmp_path / "objects").mkdir(mode=0o500)
        error = refused(lambda: put(store_in(tmp_path), "a", body(tmp_path, b"1")))
    assert error.kind is Kind.DENIED
    assert str(tmp_path / "objects") in error.remedy
    assert store_in(tmp_path)._error("write a", OSError(30, "Read-only file system")).kind is Kind.DENIED
    assert store_in(tmp_path)._error("write a", OSError(28, "No space left on device")).kind is Kind.TRANSIENT


def test_what_a_crash_left_half_written_is_written_over_or_cleaned_up(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    content = body(tmp_path, b"1")
    put(store, "a/b", content)
    for folder in ("objects/a", "objects/.meta/a"):
        (tmp_path / folder / ".lf6gateway.part").write_bytes(b"half")
    put(store, "a/c", content)
    assert files(tmp_path / "objects" / "a") == ["b", "c"]
    assert files(tmp_path / "objects" / ".meta" / "a") == [".lock", "b.json", "c.json"]
    for folder in ("objects/a", "objects/.meta/a"):
        (tmp_path / folder / ".lf6gateway.part").write_bytes(b"half")
    assert result_of(store.abort_uploads("a/b", before_ns=1)) == 0
    assert result_of(store.abort_uploads("a/b", before_ns=1 << 62)) == 2
    assert result_of(store.abort_uploads("nowhere/b", before_ns=1 << 62)) == 0
    assert files(tmp_path / "objects" / "a") == ["b", "c"]
    assert result_of(store.list_keys("")) == ["a/b", "a/c"]


def test_a_write_that_fails_leaves_the_object_as_it_was(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, "a/b", body(tmp_path, b"before"))
    missing = Body((Slice(str(tmp_path / "missing"), 0, 1),))
    assert refused(lambda: put(store, "a/b", missing)).kind is Kind.DAMAGED
    short = Body((Slice(str(tmp_path / "content"), 0, 100),))
    assert refused(lambda: put(store, "a/b", short)).kind is Kind.DAMAGED
    assert files(tmp_path / "objects" / "a") == ["b"]
    present = result_of(store.head("a/b"))
    assert present is not None
    assert (present.size, dict(present.metadata)) == (6, {"n": "1"})


def test_each_step_of_a_write_is_durable_before_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes, then the name they get, and the names of the folders above."""
    done: list[str] = []
    fsync, rename, mkdir = os.fsync, os.rename, os.mkdir

    def synced(descriptor: int) -> None:
        where = os.readlink(f"/proc/self/fd/{descriptor}")
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        done.append(f"sync {kind} {os.path.relpath(where, tmp_path)}")
        fsync(descriptor)

    def renamed(before: str, after: str) -> None:
        done.append(f"rename {os.path.relpath(after, tmp_path)}")
        rename(before, after)

    def made(path: str, mode: int) -> None:
        done.append(f"mkdir {os.path.relpath(path, tmp_path)}")
        mkdir(path, mode)

    monkeypatch.setattr(directory.os, "fsync", synced)
    monkeypatch.setattr(directory.os, "rename", renamed)
    monkeypatch.setattr(directory.os, "mkdir", made)
    put(store_in(tmp_path), "a/b", body(tmp_path, b"1"))
    assert [step for step in done if ".meta" not in step] == [
        "mkdir objects",
        "sync folder .",
        "mkdir objects/a",
        "sync folder objects",
        "sync folder objects",  # for .meta
        "sync file objects/a/.lf6gateway.part",
        "rename objects/a/b",
        "sync folder objects/a",
    ]
    noted = done.index("rename objects/.meta/a/b.json")
    assert done[noted - 1] == "sync file objects/.meta/a/.lf6gateway.part"
    assert done[noted + 1] == "sync folder objects/.meta/a"
    assert noted < done.index("rename objects/a/b")


def test_no_two_writes_have_one_etag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File numbers are used again, and a file system's clock stands still for milliseconds: here, all the time."""
    copy = directory._copy

    def copied(source: int, target: int, offset: int, length: int) -> None:
        copy(source, target, offset, length)
        os.utime(target, ns=(1_800_000_000_000_000_000, 1_800_000_000_000_000_000))

    monkeypatch.setattr(directory, "_copy", copied)
    store = store_in(tmp_path)
    content = body(tmp_path, b"1")
    moments = {put(store, "a", content).etag.rpartition("-")[2] for _ in range(100)}
    assert len(moments) == 100
    found = (tmp_path / "objects" / "a").stat()
    assert found.st_mtime_ns // 1_000_000_000 == 1_800_000_000


def test_a_name_cannot_be_taken_for_the_short_form_of_a_long_one(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    long = "ü" * 128
    put(store, f"{long}/object", body(tmp_path, b"long"))
    (short,) = [path.name for path in (tmp_path / "objects").iterdir() if path.name != ".meta"]
    assert len(short.encode()) <= 250
    assert result_of(store.head(f"{short}/object")) is None
    put(store, f"{short}/object", body(tmp_path, b"short one"), Absent())
    found = [result_of(store.head(f"{name}/object")) for name in (long, short)]
    assert [present.size for present in found if present is not None] == [4, 9]


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/x", "a//b", "a/", ".", "..", "link/x", "a\0b", ""])
def test_a_key_cannot_leave_the_folder(tmp_path: Path, key: str) -> None:
    store = store_in(tmp_path)
    content = body(tmp_path, b"1")
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "link").symlink_to(tmp_path)
    before = files(tmp_path)
    for work in (
        lambda: put(store, key, content),
        lambda: result_of(store.head(key)),
        lambda: result_of(anext(store.get(key))),  # type: ignore[arg-type]
        lambda: result_of(store.delete(key)),
        lambda: result_of(store.abort_uploads(key, before_ns=1 << 62)),
    ):
        error = refused(work)
        assert (error.kind, error.applied) == (Kind.REFUSED, False)
    assert files(tmp_path) == before


def test_a_hidden_name_is_neither_hidden_nor_lost(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, ".bashrc/.profile", body(tmp_path, b"1"))
    assert result_of(store.head(".bashrc/.profile")) is not None
    assert all(not path.name.startswith(".") for path in (tmp_path / "objects").iterdir() if path.name != ".meta")


def test_metadata_that_belong_to_another_write_are_not_shown(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    put(store, "a", body(tmp_path, b"ours"))
    meta = tmp_path / "objects" / ".meta" / "a.json"
    good = meta.read_bytes()
    for noted in (b"", b"{", b"[]", b"1", b"null", good.replace(b'"etag"', b'"gate"')):
        meta.write_bytes(noted)
        present = result_of(store.head("a"))
        assert present is not None
        assert present.metadata == {}
    meta.write_bytes(good)
    place = tmp_path / "objects" / "a"
    place.unlink()
    place.write_bytes(b"somebody else's")
    present = result_of(store.head("a"))
    assert present is not None
    assert (present.size, present.metadata) == (15, {})


def test_a_writer_that_was_stopped_does_not_hold_others_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory, "_TURN_S", 0.05)
    store = store_in(tmp_path)
    content = body(tmp_path, b"1")
    put(store, "a", content)
    with (tmp_path / "objects" / ".meta" / ".lock").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        error = refused(lambda: put(store, "a", content))
        assert (error.kind, error.applied) == (Kind.TRANSIENT, False)
    put(store, "a", content)


def test_a_folder_is_one_wherever_the_process_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = body(tmp_path, b"1")
    monkeypatch.chdir(tmp_path)
    store = DirectoryStore("objects", offload=inline)
    monkeypatch.chdir("/")
    put(store, "a", content)
    assert (tmp_path / "objects" / "a").read_bytes() == b"1"


def test_an_empty_list_and_one_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_in(tmp_path)
    assert result_of(store.list_keys("")) == []
    put(store, "a", body(tmp_path, b"1"))

    def fails(path: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(directory.os, "scandir", fails)
    assert refused(lambda: result_of(store.list_keys(""))).kind is Kind.DENIED


def test_lists_name_objects_by_their_keys_also_where_no_file_has_such_a_name(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    content = body(tmp_path, b"1")
    keys = ["s/.hidden/2026/01/02/a.1", f"s/u/2026/01/02/{'n' * 300}.1.png", "s/u~0123456789abcdef/x"]
    for key in keys:
        put(store, key, content)
    assert result_of(store.list_keys("s/")) == sorted(keys)
    assert result_of(store.folders("s/")) == [".hidden", "u", "u~0123456789abcdef"]
    assert result_of(store.list_keys("s/.hidden/")) == keys[:1]
    (tmp_path / "objects/s/foreign~0123456789abcdef").write_bytes(b"somebody else's")
    assert "s/foreign~0123456789abcdef" in result_of(store.list_keys("s/"))
    assert result_of(store.list_keys("../")) == result_of(store.list_keys("/etc/")) == []


def test_a_file_is_not_closed_under_a_read_that_is_still_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "object"
    path.write_bytes(b"content")
    file = OpenFile(os.open(path, os.O_RDONLY))
    real, closed = os.pread, []
    monkeypatch.setattr(os, "close", closed.append)

    def given_up(descriptor: int, size: int, offset: int) -> bytes:
        file.close()
        assert closed == []
        return real(descriptor, size, offset)

    monkeypatch.setattr(os, "pread", given_up)
    assert file.read(100, 3) == b"tent"
    assert len(closed) == 1
    assert file.read(100, 0) == b""
    file.close()
    assert len(closed) == 1
    monkeypatch.undo()
    os.close(closed[0])
