"""The lock of a cache directory: one process at a time, however the one before it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lf6gateway.disk.lock import CacheInUse, CacheLock, in_use

HOLDER = """
import sys
from lf6gateway.disk.lock import CacheInUse, CacheLock
lock = CacheLock(sys.argv[1])
try:
    lock.acquire()
except CacheInUse as error:
    print(f"refused {error.pid}", flush=True)
else:
    print("held", flush=True)
    sys.stdin.readline()
"""

Holders = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def holders() -> Iterator[Holders]:
    """Starts processes that take the lock and keep it until they are told to go."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path, holders: Holders) -> None:
    first = holders(tmp_path)
    assert said(first) == "held"
    with pytest.raises(CacheInUse, match=f"{tmp_path} is in use by the process with pid {first.pid};") as caught:
        CacheLock(str(tmp_path)).acquire()
    assert (caught.value.cache_dir, caught.value.pid) == (str(tmp_path), first.pid)
    assert said(holders(tmp_path)) == f"refused {first.pid}"
    assert (tmp_path / "lock").read_text() == f"{first.pid}\n"


def test_this_process_refuses_others(tmp_path: Path, holders: Holders) -> None:
    lock = CacheLock(str(tmp_path))
    lock.acquire()
    try:
        assert said(holders(tmp_path)) == f"refused {os.getpid()}"
    finally:
        lock.release()
    assert said(holders(tmp_path)) == "held"


def test_the_lock_ends_with_its_process(tmp_path: Path, holders: Holders) -> None:
    first = holders(tmp_path)
    assert said(first) == "held"
    first.communicate("go\n")
    assert first.returncode == 0
    lock = CacheLock(str(tmp_path))
    lock.acquire()
    lock.release()


def test_the_lock_ends_with_a_process_that_is_killed(tmp_path: Path, holders: Holders) -> None:
    first = holders(tmp_path)
    assert said(first) == "held"
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert in_use(str(tmp_path)) is None
    lock = CacheLock(str(tmp_path))
    lock.acquire()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_the_file_is_never_removed_and_stays_the_same(tmp_path: Path) -> None:
    lock = CacheLock(str(tmp_path))
    lock.acquire()
    before = (tmp_path / "lock").stat().st_ino
    lock.release()
    lock.release()
    assert (tmp_path / "lock").exists()
    lock.acquire()
    assert (tmp_path / "lock").stat().st_ino == before
    lock.release()


def test_two_locks_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    first, second = CacheLock(str(tmp_path)), CacheLock(str(tmp_path))
    first.acquire()
    with pytest.raises(CacheInUse):
        second.acquire()
    second.release()
    assert in_use(str(tmp_path)) is not None
    first.release()
    second.acquire()
    second.release()


def test_a_refused_process_keeps_no_descriptor(tmp_path: Path) -> None:
    lock = CacheLock(str(tmp_path))
    lock.acquire()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(CacheInUse):
            CacheLock(str(tmp_path)).acquire()
        assert in_use(str(tmp_path)) is not None
    assert len(os.listdir("/proc/self/fd")) == before
    lock.release()


def test_a_program_that_is_started_does_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = CacheLock(str(tmp_path))
    lock.acquire()
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        lock.release()
        assert in_use(str(tmp_path)) is None
    finally:
        child.kill()
        child.wait()


def test_a_fork_keeps_the_lock_when_its_parent_ends(tmp_path: Path) -> None:
    """A descriptor handed down is what is left of a fork whose parent closed its own."""
    lock = CacheLock(str(tmp_path))
    lock.acquire()
    child = subprocess.Popen(["sleep", "60"], pass_fds=(lock._descriptor,))
    try:
        lock.release()
        assert in_use(str(tmp_path)) is not None
    finally:
        child.kill()
        child.wait()
    assert in_use(str(tmp_path)) is None


@pytest.mark.parametrize("content", ["", "no number\n", "-1\n", "12 34\n", "\0\0"])
def test_a_holder_that_did_not_say_its_pid_is_another_process(tmp_path: Path, content: str) -> None:
    lock = CacheLock(str(tmp_path))
    lock.acquire()
    (tmp_path / "lock").write_text(content)
    with pytest.raises(CacheInUse, match="in use by another process") as caught:
        CacheLock(str(tmp_path)).acquire()
    assert caught.value.pid is None
    lock.release()


def test_a_longer_pid_of_before_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("9" * 20 + "\n")
    lock = CacheLock(str(tmp_path))
    lock.acquire()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_looking_makes_no_file_and_no_folder(tmp_path: Path) -> None:
    assert in_use(str(tmp_path)) is None
    assert in_use(str(tmp_path / "none")) is None
    assert list(tmp_path.iterdir()) == []


def test_looking_changes_nothing_and_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = CacheLock(str(tmp_path))
    lock.acquire()
    found = in_use(str(tmp_path))
    assert found is not None
    assert found.pid == os.getpid()
    lock.release()
    assert in_use(str(tmp_path)) is None
    lock.acquire()
    lock.release()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_missing_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    lock = CacheLock(str(folder))
    lock.acquire()
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "lock").stat().st_mode & 0o077 == 0
    lock.release()


@pytest.mark.parametrize("there", [True, False])
def test_a_symlink_is_not_followed(tmp_path: Path, there: bool) -> None:
    folder, target = tmp_path / "cache", tmp_path / "precious"
    folder.mkdir()
    if there:
        target.write_text("precious")
    (folder / "lock").symlink_to(target)
    with pytest.raises(OSError):
        CacheLock(str(folder)).acquire()
    assert in_use(str(folder)) is None
    assert target.exists() == there
    assert not there or target.read_text() == "precious"
