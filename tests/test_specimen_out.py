"""Fetching specimens: what is in their keys is hostile, and their bytes are those that were received or none."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from lf6gateway.disk.offload import inline
from lf6gateway.edges.commands.refusal import Refusal
from lf6gateway.edges.specimen_out import SpecimenOut, file_name
from lf6gateway.services.patient import PatientStore
from lf6gateway.stores.memory import MemoryStore, Stored
from lf6gateway.values.delivered import Delivered, delivered
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of

STAMP = 1_795_614_665_035_864_959
DATA = b"some picture"
DIGEST = hashlib.sha256(DATA).hexdigest()


def stored(user: str, name: str, digest: str | None = DIGEST) -> tuple[PatientStore, Delivered]:
    key = f"{user}/2026/11/25/{name}.{STAMP}"
    store = MemoryStore()
    store.objects[key] = Stored(DATA, {} if digest is None else {"sha256": digest}, "", '"1"')
    found = delivered(Stream.SPECIMEN, "", key, len(DATA), "", 0)
    assert found is not None
    return PatientStore(store, clock=Clock()), found


@given(st.text())
def test_a_name_stays_in_its_folder_and_is_seen_there(text: str) -> None:
    name = file_name(text)
    assert name and "/" not in name and not name.startswith(".") and len(name.encode()) <= 200
    assert os.path.dirname(os.path.normpath(os.path.join("/a/b", name))) == "/a/b"


@pytest.mark.parametrize("user", ["..", ".ssh", "~", "-rf", "a\\b", "\x1b[2J"])
@pytest.mark.parametrize("name", ["authorized_keys", ".bashrc", "..\\x", "\x07"])
def test_nothing_leaves_the_folder(tmp_path: Path, user: str, name: str) -> None:
    store, found = stored(user, name)
    out = SpecimenOut(store, inline, f"{tmp_path}/in/", False)
    result_of(out.fetch(found))
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert path.parent.parent == tmp_path / "in"
    assert not any(part.startswith(".") for part in path.relative_to(tmp_path).parts)
    assert path.name.isprintable() and path.parent.name.isprintable()
    assert path.read_bytes() == DATA
    assert "already" in (result_of(out.fetch(found)) or "")


def test_bytes_that_were_not_received_get_no_name(tmp_path: Path) -> None:
    store, found = stored("alice", "a", "0" * 64)
    with pytest.raises(ValueError, match="it is not what was received"):
        result_of(SpecimenOut(store, inline, f"{tmp_path}/a.png", True).fetch(found))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over_and_no_link_is_followed(tmp_path: Path) -> None:
    store, found = stored("alice", "a")
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("mine", "link"):
        with pytest.raises(ValueError, match="is there already"):
            result_of(SpecimenOut(store, inline, str(tmp_path / name), True).fetch(found))
    (tmp_path / "hanging").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is there already"):
        result_of(SpecimenOut(store, inline, str(tmp_path / "hanging"), True).fetch(found))
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hanging", "link", "mine"]


def test_a_place_that_cannot_be_is_told(tmp_path: Path) -> None:
    store, found = stored("alice", "a")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Refusal, match="that can be written"):
        result_of(SpecimenOut(store, inline, str(tmp_path / "file" / "x"), True).fetch(found))
    with pytest.raises(Refusal, match="-o FOLDER/"):
        SpecimenOut(store, inline, None, False)
