"""What is remembered of tokens: one look-up for what was proven, and nothing that has changed since."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from lf6gateway.services import authenticate as module
from lf6gateway.services.authenticate import Authenticate
from lf6gateway.values.who import CannotTell, NotProven, Who
from tests.deferreds import result_of, unfired


class Hand:
    """Proofs that a test ends."""

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, Deferred[Who]]] = []
        self.valid = True

    def prove(self, token: bytes) -> Deferred[Who]:
        self.asked.append((token, Deferred()))
        return self.asked[-1][1]

    def still(self, who: Who) -> bool:
        return self.valid

    def end(self, result: Who | Exception) -> None:
        _, waiting = self.asked.pop(0)
        if isinstance(result, Who):
            waiting.callback(result)
        else:
            waiting.errback(result)


ALICE = Who("alice", "one")


class World:
    def __init__(self, max_cached: int = 10) -> None:
        self.hand = Hand()
        self.now = 100.0
        self.auth = Authenticate(self.hand, secret=b"k" * 16, now_s=lambda: self.now, max_cached=max_cached)

    def ask(self, token: bytes) -> Deferred[Who]:
        found = self.auth.who(token)
        assert isinstance(found, Deferred)
        return found


def test_a_token_is_proven_once_and_remembered() -> None:
    world = World()
    asked = world.ask(b"t")
    assert unfired(asked)
    world.hand.end(ALICE)
    assert result_of(asked) is ALICE
    assert world.auth.who(b"t") is ALICE
    assert world.auth.proofs == 1
    assert not any(key == b"t" for key in world.auth._good)


def test_all_who_ask_at_once_share_one_proof_and_one_may_leave() -> None:
    world = World()
    first, second, third = (world.ask(b"t") for _ in range(3))
    second.addErrback(lambda _: None)
    second.cancel()
    world.hand.end(ALICE)
    assert result_of(first) is result_of(third) is ALICE
    assert world.auth.proofs == 1


def test_a_wrong_token_is_remembered_too_until_the_tokens_change() -> None:
    world = World()
    asked = world.ask(b"t")
    world.hand.end(NotProven("no such"))
    with pytest.raises(NotProven, match="no such"):
        result_of(asked)
    with pytest.raises(NotProven, match="no such"):
        world.auth.who(b"t")
    world.auth.changed()
    assert unfired(world.ask(b"t"))


def test_what_cannot_be_told_is_asked_again() -> None:
    world = World()
    asked = world.ask(b"t")
    world.hand.end(CannotTell("no keys"))
    with pytest.raises(CannotTell):
        result_of(asked)
    assert unfired(world.ask(b"t"))


def test_a_proof_ends_at_its_moment() -> None:
    world = World()
    asked = world.ask(b"t")
    world.hand.end(Who("alice", "one", until_s=200.0))
    result_of(asked)
    world.now = 199.9
    assert isinstance(world.auth.who(b"t"), Who)
    world.now = 200.0
    assert unfired(world.ask(b"t"))


def test_a_change_of_the_tokens_forgets_what_no_longer_counts() -> None:
    world = World()
    asked = world.ask(b"t")
    world.hand.end(ALICE)
    result_of(asked)
    world.auth.changed()
    assert world.auth.who(b"t") is ALICE
    world.hand.valid = False
    world.auth.changed()
    assert unfired(world.ask(b"t"))


def test_a_proof_begun_before_a_change_is_made_again_after_it() -> None:
    world = World()
    asked = world.ask(b"t")
    world.auth.changed()
    world.hand.end(ALICE)
    assert unfired(asked)
    world.hand.end(NotProven("withdrawn meanwhile"))
    with pytest.raises(NotProven):
        result_of(asked)


def test_what_is_remembered_and_what_is_under_way_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 3)
    monkeypatch.setattr(module, "REFUSALS", 2)
    world = World(max_cached=2)
    asked = [world.ask(b"%d" % number) for number in range(3)]
    with pytest.raises(CannotTell):
        world.auth.who(b"3")
    for number, one in enumerate(asked):
        world.hand.end(Who(f"user{number}", "one"))
        result_of(one)
    assert world.auth.remembered == 2
    assert unfired(world.ask(b"0"))
    world.hand.end(NotProven("a"))
    for number in range(10, 20):
        world.ask(b"%d" % number).addErrback(lambda _: None)
        world.hand.end(NotProven("a"))
    assert len(world.auth._bad) == 2
    with pytest.raises(NotProven, match="too long"):
        world.auth.who(b"x" * 8193)


def test_a_fault_in_a_proof_lets_nobody_in() -> None:
    world = World()
    asked = world.ask(b"t")
    world.hand.end(ZeroDivisionError())
    with pytest.raises(CannotTell):
        result_of(asked)
