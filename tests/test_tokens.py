"""Proof by the tokens file: hashes are checked in a thread, and the file counts as it is now."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lf6gateway.services.tokens import CannotRead, TokenProof
from lf6gateway.values.token import hash_token, id_of, make_token
from lf6gateway.values.token_file import Token, edited
from lf6gateway.values.who import NotProven, Who
from tests.deferreds import result_of, unfired
from tests.http_support import HandOffload


def made(user: str, letter: bytes, **more: int) -> tuple[bytes, Token]:
    token = make_token(letter * 8, letter * 32)
    identity = id_of(token.encode())
    assert identity is not None
    return token.encode(), Token(user, hash_token(token, b"salt" * 4), identity, **more)


class World:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "tokens"
        self.clock = Clock()
        self.offload = HandOffload()
        self.changes: list[tuple[list[str], list[str]]] = []
        self.proof = TokenProof(
            str(self.path),
            clock=self.clock,
            offload=self.offload,
            now_s=lambda: 1000.0 + self.clock.seconds(),
            changed=lambda came, went: self.changes.append((came, went)),
        )

    def write(self, *tokens: Token) -> None:
        temporary = self.path.with_suffix(".new")
        temporary.write_text(edited("", added=tokens))
        temporary.chmod(0o600)
        temporary.rename(self.path)

    def start(self) -> None:
        starting = Deferred.fromCoroutine(self.proof.start())
        self.run()
        result_of(starting)

    def run(self) -> None:
        while self.offload.run():
            pass

    def later(self) -> None:
        self.clock.advance(2)
        self.run()

    def prove(self, token: bytes) -> Who:
        proving = self.proof.prove(token)
        self.run()
        return result_of(proving)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_token_is_checked_in_a_thread(world: World) -> None:
    sent, token = made("alice", b"a")
    world.write(token)
    world.start()
    proving = world.proof.prove(sent)
    assert unfired(proving)
    world.run()
    assert result_of(proving).user == "alice"


def test_wrong_tokens_say_to_the_operator_what_is_wrong(world: World) -> None:
    sent, token = made("alice", b"a", expires_s=1010)
    world.write(token)
    world.start()
    with pytest.raises(NotProven, match="it is no token of this gateway"):
        world.prove(b"alice")
    with pytest.raises(NotProven, match="no token has this id"):
        world.prove(made("x", b"x")[0])
    with pytest.raises(NotProven, match=f"it is not the token {token.id}"):
        world.prove(sent[:-3] + b"AAA")
    assert world.prove(sent).until_s == 1010
    world.clock.advance(10)
    world.run()
    with pytest.raises(NotProven, match="has expired"):
        world.prove(sent)


def test_a_change_of_the_file_counts_within_seconds(world: World) -> None:
    (one, first), (two, second) = made("alice", b"a"), made("bob", b"b")
    world.write(first)
    world.start()
    alice = world.prove(one)
    world.later()
    assert world.changes == []
    world.write(first, second)
    world.later()
    assert world.changes == [([second.id], [])]
    assert world.proof.still(alice)
    bob = world.prove(two)
    world.write(second)
    world.later()
    assert world.changes[1:] == [([], [first.id])]
    assert not world.proof.still(alice)
    assert world.proof.still(bob)
    with pytest.raises(NotProven):
        world.prove(one)


def test_another_hash_or_expiry_of_the_same_id_ends_what_was_proven(world: World) -> None:
    sent, token = made("alice", b"a")
    world.write(token)
    world.start()
    before = world.prove(sent)
    world.write(Token("alice", made("x", b"x")[1].hash, token.id))
    world.later()
    assert not world.proof.still(before)
    world.write(Token("alice", token.hash, token.id, expires_s=5000))
    world.later()
    assert not world.proof.still(before)


def test_a_file_that_cannot_be_used_any_more_changes_nothing(world: World) -> None:
    sent, token = made("alice", b"a")
    world.write(token)
    world.start()
    for spoil in (lambda: world.path.write_text("nonsense"), lambda: os.unlink(world.path)):
        spoil()
        world.later()
        assert world.prove(sent).user == "alice"
    assert world.changes == []
    world.write()
    world.later()
    assert world.changes == [([], [token.id])]


def test_sighup_reads_it_whether_it_has_changed_or_not(world: World) -> None:
    world.write()
    world.start()
    reading = Deferred.fromCoroutine(world.proof.reread())
    world.run()
    result_of(reading)
    assert world.changes == [([], [])]


def test_a_start_without_a_good_file_fails_with_the_cure(world: World) -> None:
    with pytest.raises(CannotRead, match="make it with: lf6gateway token add USER"):
        world.start()
    world.path.write_text("alice: secret\n")
    with pytest.raises(CannotRead, match=r"tokens:1: is no Argon2 hash"):
        World(world.path.parent).start()
