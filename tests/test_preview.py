"""A look at what is in quarantine leads nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.preview import beginning


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    made = tmp_path / "quarantine" / "usage"
    made.mkdir(parents=True)
    (made / "a.seg").write_bytes(b"x" * 10_000)
    (made / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(made / "pipe")
    (made / "folder").mkdir()
    (made.parent / "note").write_text("beside")
    (made.parent / "away").symlink_to(tmp_path)
    return made.parent


def test_it_is_bounded(root: Path) -> None:
    found = beginning(OsFileSystem(), str(root), "usage/a.seg", 100)
    assert found is not None and (found.size, found.data) == (10_000, b"x" * 100)


@pytest.mark.parametrize(
    "name",
    ["", "/", "usage", "usage/", "note", "../secret", "usage/../../secret", "usage/./a.seg", "/usage/a.seg", "usage//a.seg",
     "usage/a.seg\0", "usage/folder", "away/secret", "usage/a.seg/", "usage/%2e%2e"],
)  # fmt: skip
def test_no_name_leads_elsewhere(root: Path, name: str) -> None:
    assert beginning(OsFileSystem(), str(root), name, 100) is None


def test_a_link_is_not_followed_and_a_pipe_not_waited_for(root: Path) -> None:
    with pytest.raises(OSError, match="link"):
        beginning(OsFileSystem(), str(root), "usage/link", 100)
    found = beginning(OsFileSystem(), str(root), "usage/pipe", 100)
    assert found is not None and found.data == b""


def test_a_name_that_is_no_utf8_can_be_asked_for_as_it_is_told(root: Path) -> None:
    path = os.fsencode(root / "usage") + b"/\xff.seg"
    try:
        with open(path, "wb") as file:
            file.write(b"y")
    except OSError:
        pytest.skip("this file system takes UTF-8 names alone")
    found = beginning(OsFileSystem(), str(root), "usage/?.seg", 100)
    assert found is not None and found.data == b"y"
