"""Who makes way where there are as many connections as there may be, and where bodies take up all the memory they may."""

from __future__ import annotations

import pytest

from lf6gateway.edges.memory import Memory
from lf6gateway.edges.room import Room
from lf6gateway.values.limits import Limits
from tests.http_support import Connection, Gateway, chunked, request


def sent(gateway: Gateway, data: bytes) -> Connection:
    connection = gateway.connect()
    connection.send(data)
    return connection


def served(gateway: Gateway) -> Connection:
    connection = sent(gateway, request("GET", "/health"))
    assert connection.reply().status == 200
    return connection


def test_idle_connections_make_way_oldest_first_and_those_that_never_asked_before_those_that_did() -> None:
    gateway = Gateway(Limits(max_connections=4))
    used = served(gateway)
    gateway.clock.advance(1)
    old = gateway.connect()
    gateway.clock.advance(1)
    young = gateway.connect()
    busy = sent(gateway, request("PUT", "/usage", b"12")[:-1])
    everyone = [used, old, young, busy]
    for alive in ([True, False, True, True], [True, False, False, True], [False, False, False, True]):
        assert served(gateway).open
        gateway.clock.advance(0)
        assert [connection.open for connection in everyone] == alive
    busy.send(b"2")
    assert busy.reply().status == 204
    assert gateway.backend.usage.lines == b"12\n"


def test_a_slow_head_makes_way_and_is_told_and_one_that_has_just_begun_does_not() -> None:
    gateway = Gateway(Limits(max_connections=1))
    slow = sent(gateway, b"PUT /usage HTTP/1.1\r\n")
    assert gateway.connect().reply().problem["reason"] == "too_many_connections"
    gateway.clock.advance(1)
    assert served(gateway).open
    assert slow.reply().status == 408
    gateway.clock.advance(2)
    assert not slow.open


def test_a_slow_body_makes_way_and_a_brisk_one_or_one_that_we_hold_does_not() -> None:
    gateway = Gateway(Limits(max_connections=3))
    gateway.backend.specimens.by_hand = True
    head = request("PUT", "/specimen?uri=a", None, "Content-Length: 20000000")
    slow, brisk, held = (sent(gateway, head) for _ in range(3))
    held.send(bytes(2_000_000))
    assert held.paused
    for _ in range(6):
        gateway.clock.advance(1)
        slow.send(b"x" * 100)
        brisk.send(b"x" * 10_000)
    assert served(gateway).open
    assert slow.reply().status == 408
    gateway.clock.advance(0)
    assert brisk.raw == held.raw == b""
    assert [writer.state for writer in gateway.backend.specimens.begun].count("aborted") == 1
    for connection in (brisk, held):
        connection.hang_up()


def test_the_work_of_looking_is_bounded_while_nobody_can_make_way() -> None:
    gateway = Gateway(Limits(max_connections=1))
    slow = sent(gateway, b"PUT /usage")
    gateway.clock.advance(0.875)
    assert gateway.connect().reply().status == 503  # in vain
    gateway.clock.advance(0.125)
    assert gateway.connect().reply().status == 503  # not looked again, though there would be one now
    gateway.clock.advance(0.125)
    assert served(gateway).open
    assert slow.reply().status == 408


def test_a_hundredth_makes_way_at_a_time() -> None:
    gateway = Gateway(Limits(max_connections=500))
    connections = [gateway.connect() for _ in range(500)]
    served(gateway)
    gateway.clock.advance(0)
    assert sum(connection.open for connection in connections) == 495
    assert gateway.site.connections == 496


# Memory.


class Hand:
    """A clock of its own for the memory."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def short_of_memory() -> tuple[Gateway, Hand]:
    gateway = Gateway(Limits(max_waiting=1_000_000))
    hand = Hand()
    gateway.resource.door.memory = Memory(1_000_000, now=hand)
    return gateway, hand


def text(size: int) -> bytes:
    return b'"%s"' % (b"x" * (size - 2))


def test_slow_bodies_that_fill_the_memory_make_way_for_those_that_come() -> None:
    gateway, hand = short_of_memory()
    slow = [sent(gateway, request("PUT", "/usage", b" " * 490_000 + b"1")[:-1]) for _ in range(2)]
    hand.seconds = 20.0
    assert gateway.ask(request("PUT", "/usage", b" " * 200_000 + b"2")).status == 204
    assert slow[0].reply().problem["type"].endswith(":too-slow")
    assert slow[1].raw == b""  # it was we who held that one
    slow[1].send(b"1")
    assert slow[1].reply().status == 204
    assert gateway.resource.door.memory.held == 0
    assert gateway.backend.usage.lines.split() == [b"2", b"1"]


def test_one_that_sends_nothing_when_it_has_its_turn_makes_way_too() -> None:
    gateway, hand = short_of_memory()
    silent = sent(gateway, request("PUT", "/usage", None, "Content-Length: 900000"))
    gateway.backend.usage.by_hand = True
    quick = [sent(gateway, request("PUT", "/usage", text(490_000))) for _ in range(2)]
    hand.seconds = 1.0
    last = sent(gateway, chunked("PUT", "/usage", [text(10_000)]))
    assert silent.reply().status == 408
    gateway.backend.usage.flush()
    gateway.backend.usage.flush()
    assert [one.reply().status for one in (*quick, last)] == [204] * 3


def test_small_bodies_have_a_reserve_that_large_ones_do_not_get() -> None:
    gateway, _ = short_of_memory()
    gateway.backend.usage.by_hand = True
    large = [sent(gateway, request("PUT", "/usage", text(499_900))) for _ in range(2)]
    assert gateway.ask(request("PUT", "/usage", text(70_000))).status == 503
    assert gateway.ask(chunked("PUT", "/usage", [b" " * 30_000] * 3 + [b"1"])).status == 503
    small = sent(gateway, request("PUT", "/usage", text(60_000)))
    assert small.raw == b""
    for _ in range(3):
        gateway.backend.usage.flush()
    assert [one.reply().status for one in (*large, small)] == [204] * 3
    assert gateway.resource.door.memory.held == 0


@pytest.mark.parametrize("pace", [1_000, 10_000_000])
def test_a_brisk_body_makes_way_for_nobody(pace: int) -> None:
    gateway, hand = short_of_memory()
    one = sent(gateway, request("PUT", "/usage", b" " * 990_000 + b"1")[:-1])
    hand.seconds = 990_000 / pace
    other = sent(gateway, request("PUT", "/usage", b" " * 200_000 + b"2"))
    if pace == 1_000:
        assert (one.reply().status, other.reply().status) == (408, 204)
    else:
        assert (one.raw, other.reply().status) == (b"", 503)
        one.hang_up()


# Specimens.


def test_slow_specimens_that_take_up_all_places_make_way_and_those_that_we_hold_do_not() -> None:
    gateway = Gateway(Limits(max_specimens=3))
    hand = Hand()
    gateway.resource.door.places = Room(now=hand)
    gateway.backend.specimens.by_hand = True
    head = request("PUT", "/specimen?uri=a", None, "Content-Length: 20000000")
    held, plain, packed = (
        sent(gateway, head),
        sent(gateway, head),
        sent(gateway, head[:-2] + b"Content-Encoding: gzip\r\n\r\n"),
    )
    held.send(bytes(2_000_000))
    plain.send(b"x" * 100)
    assert sent(gateway, head).reply().problem["reason"] == "overloaded"
    hand.seconds = 60.0
    gateway.backend.specimens.by_hand = False
    assert gateway.ask(request("PUT", "/specimen?uri=b", b"x")).status == 204
    assert packed.reply().problem["type"].endswith(":too-slow")
    assert plain.raw == held.raw == b""
    for connection in (held, plain):
        connection.hang_up()
    assert gateway.resource.door.places.held == 0
    assert [writer.state for writer in gateway.backend.specimens.begun] == ["aborted"] * 3 + ["committed"]


# Descriptors.


@pytest.mark.parametrize(("files", "connections"), [(1_024, 640), (20_000, 10_000), (64, 24), (1 << 20, 10_000)])
def test_there_are_no_more_connections_than_descriptors_for_them(files: int, connections: int) -> None:
    from lf6gateway.edges.descriptors import OWN, within

    limits = within(Limits(), files)
    assert limits.max_connections == connections
    if files > 600:
        assert limits.max_connections + limits.max_refused + limits.max_specimens + OWN <= files
