"""The configuration file as it lies on disk, and what can go wrong with it there."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import pytest

from lf6gateway.disk.settings_file import LARGEST_FILE, load_settings
from lf6gateway.values.settings import Settings
from lf6gateway.values.settings_problem import SettingsError

FOLDER = {"LIGHTFILE6_STORAGE_DIRECTORY": "out"}


def load(path: Path | str | None, **more: object) -> Settings:
    environ = more.pop("environ", FOLDER)
    return load_settings(None if path is None else str(path), environ=environ, hostname="me", **more)  # type: ignore[arg-type]


def refused(path: Path | str | None, **more: object) -> str:
    with pytest.raises(SettingsError) as caught:
        load(path, **more)
    return str(caught.value)


def test_the_file_is_read_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("cache_dir: cache\nlog: {level: warn}", encoding="utf-8")
    settings = load("config.yml", cwd=str(tmp_path))
    assert settings.log.level == "warn"
    assert settings.cache_dir == str(tmp_path / "cache")
    assert settings.storage is not None
    assert settings.storage.directory == str(tmp_path / "out")


def test_the_environment_the_folder_and_the_name_are_the_machine_s_own_if_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTFILE6_STORAGE_DIRECTORY", "out")
    (tmp_path / "config.yml").write_bytes(b"\xef\xbb\xbflog: {level: warn}")
    settings = load_settings("config.yml")
    assert settings.log.level == "warn"
    assert settings.hostname == socket.gethostname()
    assert settings.storage is not None
    assert settings.storage.directory == str(tmp_path / "out")


def test_a_named_file_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "no.yml"
    assert refused(path) == f"{path}: there is no such file; name the configuration file with -c"


def test_the_default_file_may_be_missing_if_the_environment_says_what_is_needed(tmp_path: Path) -> None:
    default = str(tmp_path / "no.yml")
    assert load(None, default=default, cwd="/srv").storage is not None
    first, second = refused(None, default=default, environ={}).split("\n")
    assert first == f"{default}: there is no such file; name the configuration file with -c"
    assert "nothing says where the data go" in second


def test_a_file_that_is_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_bytes("a: 1\nb: caf\xe9".encode("latin-1"))
    assert refused(path) == f"{path}:2:7: is not UTF-8; save the file as UTF-8"


def test_a_folder(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: cannot be read: it is a folder; name the file in it"


def test_a_file_that_this_user_may_not_read() -> None:
    with tempfile.TemporaryDirectory() as folder:  # not in pytest's own, which is closed to other users as a whole
        Path(folder).chmod(0o755)
        path = Path(folder, "config.yml")
        path.write_text("a: 1", encoding="utf-8")
        path.chmod(0)
        user = os.geteuid()
        if user == 0:  # root may read everything; become nobody for a moment
            os.seteuid(65534)
        try:
            told = refused(path, cwd="/")
        finally:
            os.seteuid(user)
    assert told == f"{path}: cannot be read: this user may not read it; give the gateway's user the right to"


def test_a_file_of_no_sensible_size(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("#" * (LARGEST_FILE + 1), encoding="utf-8")
    assert "so it is no configuration" in refused(path)
    assert "so it is no configuration" in refused("/dev/zero")


def test_a_name_that_no_file_can_have() -> None:
    assert "is no path" in refused("a\0b")


def test_mistakes_in_the_file_are_told_with_its_name_as_it_was_given(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("\nlog: {level: loud}", encoding="utf-8")
    assert refused("config.yml", cwd=str(tmp_path)).startswith("config.yml:2:14: log.level: loud is not one of")
