"""``lf6gateway token``: a token is shown once, the file is private, and an edit loses nothing that another one did."""

from __future__ import annotations

import re
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lf6gateway.disk import tokens_file
from lf6gateway.edges.cli import main
from lf6gateway.edges.commands.refusal import Refusal
from lf6gateway.edges.commands.token import moment
from lf6gateway.values.stream import Stream
from lf6gateway.values.token import matches
from lf6gateway.values.token_file import Token, parse_tokens


class File:
    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path = folder / "tokens"
        self._capsys = capsys

    def run(self, *arguments: str) -> str:
        main(["token", *arguments, "--file", str(self.path)])
        captured = self._capsys.readouterr()
        self.err = captured.err
        return captured.out

    def fails(self, *arguments: str) -> str:
        with pytest.raises(SystemExit) as caught:
            self.run(*arguments)
        assert isinstance(caught.value.code, str)
        return caught.value.code

    def tokens(self) -> list[Token]:
        return list(parse_tokens(self.path.read_text(), "tokens").values())


@pytest.fixture
def file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> File:
    return File(tmp_path, capsys)


def test_add_prints_a_token_once_and_keeps_a_hash_alone(file: File) -> None:
    text = file.run("add", "alice", "--streams", "usage,error", "--expires", "90d").strip()
    [token] = file.tokens()
    assert re.fullmatch(r"lf6_[a-z2-7]{13}_[A-Za-z0-9_-]{43}", text)
    assert token.id in file.err
    assert matches(token.hash, text.encode())
    assert text.split("_", 2)[2] not in file.path.read_text() + file.err + file.run("list")
    assert token.streams == {Stream.USAGE, Stream.ERROR}
    assert token.expires_s is not None
    assert token.created_s is not None
    assert token.expires_s - token.created_s in range(90 * 86400 - 2, 90 * 86400 + 3)


def test_the_file_is_its_owner_s_alone_and_a_link_to_it_stays(file: File, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    real.write_text("# kept\n")
    real.chmod(0o644)
    file.path.symlink_to(real)
    file.run("add", "alice")
    assert file.path.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o600
    assert real.read_text().startswith("# kept\n")
    assert not list(tmp_path.glob("*.tmp"))


def test_list_shows_everything_but_secrets(file: File) -> None:
    file.run("add", "alice", "--expires", "2199-01-31")
    file.run("add", "bob\u202e", "--streams", "usage")
    listed = file.run("list").splitlines()
    assert len(listed) == 3
    assert "alice" in listed[1] and "2199-01-31T00:00:00Z" in listed[1] and listed[1].endswith("all")
    assert "\\u202e" in listed[2] and "never" in listed[2] and listed[2].endswith("usage")
    assert "$argon2" not in "".join(listed)
    assert len(file.run("list", "alice").splitlines()) == 2


def test_revoke_takes_tokens_by_id_or_all_of_a_user(file: File) -> None:
    for user in ("alice", "alice", "bob", "carol"):
        file.run("add", user)
    bob = file.tokens()[2]
    file.run("revoke", bob.id)
    assert [one.user for one in file.tokens()] == ["alice", "alice", "carol"]
    file.run("revoke", "--user", "alice")
    assert [one.user for one in file.tokens()] == ["carol"]
    before = file.path.read_bytes()
    assert "no token has the id" in file.fails("revoke", bob.id)
    assert "no token is alice's" in file.fails("revoke", "--user", "alice")
    assert "say which" in file.fails("revoke")
    assert file.path.read_bytes() == before


def test_rotate_makes_another_one_for_the_same_and_ends_the_old_one(file: File) -> None:
    old_text = file.run("add", "alice", "--streams", "usage", "--expires", "90d").strip()
    [old] = file.tokens()
    new_text = file.run("rotate", old.id).strip()
    [new] = file.tokens()
    assert new_text != old_text and new.id != old.id
    assert (new.user, new.streams, new.expires_s) == (old.user, old.streams, old.expires_s)
    file.run("rotate", new.id, "--keep", "24h", "--expires", "365d")
    kept, newest = file.tokens()
    assert kept.id == new.id and kept.hash == new.hash
    assert kept.expires_s is not None and newest.expires_s is not None and new.expires_s is not None
    assert kept.expires_s < new.expires_s < newest.expires_s


def test_what_is_wrong_is_said_and_changes_nothing(file: File) -> None:
    file.run("add", "alice")
    before = file.path.read_bytes()
    assert "leads to another folder" in file.fails("add", "..").replace("would lead", "leads")
    assert "takes some of usage, error, specimen" in file.fails("add", "bob", "--streams", "all")
    assert "is no moment" in file.fails("add", "bob", "--expires", "tomorrow")
    assert "is not in the future" in file.fails("add", "bob", "--expires", "2020-01-01")
    assert "an id is the part between" in file.fails("rotate", "lf6_abc_secret")
    assert "secret" not in file.fails("revoke", "lf6_abc_secret")
    assert file.path.read_bytes() == before
    with file.path.open("a") as spoilt:
        spoilt.write("nonsense\n")
    assert "tokens:4: is not of the form" in file.fails("add", "bob")


def test_edits_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "tokens")

    def work(number: int) -> None:
        for _ in range(20):
            tokens_file.edit_tokens(path, lambda text: f"{text}#{number}\n")

    workers = [threading.Thread(target=work, args=(number,)) for number in range(5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(Path(path).read_text().split()) == sorted(f"#{number}" for number in range(5) for _ in range(20))


def test_an_edit_that_fails_leaves_the_old_file(file: File, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file.run("add", "alice")
    before = file.path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokens_file.os, "fsync", full)
    assert "No space left" in file.fails("add", "bob")
    assert file.path.read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))


def test_the_configuration_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "config.yml"
    config.write_text(f"storage: {{directory: {tmp_path}/out}}\nauth: {{mode: tokens, tokens_file: {tmp_path}/t}}")
    main(["token", "add", "alice", "-c", str(config)])
    assert capsys.readouterr().out.startswith("lf6_")
    assert (tmp_path / "t").exists()
    config.write_text(f"storage: {{directory: {tmp_path}/out}}\n")
    with pytest.raises(SystemExit, match=r"names no auth\.tokens_file"):
        main(["token", "list", "-c", str(config)])


def test_moments() -> None:
    now = int(datetime(2026, 11, 25, tzinfo=UTC).timestamp())
    assert moment("1d", now) == moment("24h", now) == moment("2026-11-26", now) == now + 86400
    assert moment("2026-11-25T00:00:01Z", now) == now + 1
    for wrong in ("", "d", "-1d", "0d", "2026-11-25", "99999d99999d", "9999999h", "2026-13-01"):
        with pytest.raises(Refusal):
            moment(wrong, now)
