"""The memory for bodies: from half of its cap on senders wait, but never all of them for each other."""

from __future__ import annotations

import gzip
from collections.abc import Callable

from twisted.internet.defer import Deferred

from lf6gateway.edges.memory import Memory, Share
from lf6gateway.values.limits import Limits
from tests.http_support import Gateway, HandOffload, chunked, request

NDJSON = "Content-Type: application/x-ndjson"


class Sender:
    """Notes whether it was told to wait; ``resumed`` is what it does when it goes on."""

    def __init__(self) -> None:
        self.waits = False
        self.resumed: Callable[[], None] = lambda: None

    def pause(self) -> None:
        self.waits = True

    def resume(self) -> None:
        self.waits = False
        self.resumed()


def begun(memory: Memory, count: int) -> tuple[list[Sender], list[Share]]:
    senders = [Sender() for _ in range(count)]
    return senders, [memory.share(sender, waits=True) for sender in senders]


def test_from_half_of_the_cap_on_all_senders_but_the_oldest_wait() -> None:
    memory = Memory(800)
    senders, shares = begun(memory, 3)
    shares[1].set(400)
    assert not any(sender.waits for sender in senders)
    shares[2].set(1)
    assert [sender.waits for sender in senders] == [False, True, True]
    late, _ = begun(memory, 1)
    assert late[0].waits
    assert memory.pauses == 1


def test_when_the_oldest_is_whole_the_next_one_is_read() -> None:
    memory = Memory(800)
    senders, shares = begun(memory, 3)
    shares[0].set(500)
    shares[0].whole()
    assert [sender.waits for sender in senders] == [False, False, True]
    shares[1].release()
    assert [sender.waits for sender in senders] == [False, False, False]


def test_all_are_read_on_once_three_eighths_are_held() -> None:
    memory = Memory(800)
    senders, shares = begun(memory, 3)
    shares[0].set(401)
    shares[0].set(301)
    assert [sender.waits for sender in senders] == [False, True, True]
    shares[0].set(300)
    assert not any(sender.waits for sender in senders)


def test_those_that_deliver_at_once_make_the_others_wait_again() -> None:
    memory = Memory(800)
    senders, shares = begun(memory, 10)
    for sender, share in zip(senders[1:], shares[1:], strict=True):
        sender.resumed = lambda share=share: share.set(201)  # type: ignore[misc]
    shares[0].set(401)
    shares[0].set(0)
    assert memory.held == 2 * 201
    assert [sender.waits for sender in senders] == [False] + [True] * 9


def test_a_small_body_is_never_waited_with() -> None:
    memory = Memory(800)
    begun(memory, 1)[1][0].set(700)
    sender = Sender()
    share = memory.share(sender, waits=False)
    assert not sender.waits
    assert share.fits(200) and not share.fits(201)  # small ones have a reserve of an eighth


def test_alone_any_body_fits() -> None:
    memory = Memory(800)
    _, (share,) = begun(memory, 1)
    share.set(700)
    assert share.fits(10_000)


def test_few_bodies_are_decoded_at_once_and_none_while_memory_is_full() -> None:
    memory = Memory(800)
    _, shares = begun(memory, 4)
    turns = [Deferred.fromCoroutine(share.decoding(300)) for share in shares]
    assert [turn.called for turn in turns] == [True, True, False, False]
    shares[0].set(201)
    shares[0].decoded()
    assert [turn.called for turn in turns] == [True, True, False, False]
    shares[0].set(200)
    assert [turn.called for turn in turns] == [True, True, True, False]
    shares[1].release()
    assert turns[3].called


def test_where_nothing_is_on_its_way_to_disk_one_is_decoded_though_memory_is_full() -> None:
    memory = Memory(800)
    _, shares = begun(memory, 2)
    shares[0].set(900)
    turn = Deferred.fromCoroutine(shares[1].decoding(300))
    assert turn.called
    shares[1].release()
    shares[0].release()
    assert memory.held == 0


# Over connections.


def test_senders_of_large_bodies_wait_while_the_disk_is_behind_and_go_on_by_themselves() -> None:
    gateway = Gateway(Limits(max_waiting=800_000, max_batch=800_000))
    gateway.backend.usage.by_hand = True
    first = gateway.connect()
    first.send(request("PUT", "/usage", b'"' + b"x" * 500_000 + b'"', NDJSON))
    oldest, second = gateway.connect(), gateway.connect()
    whole = request("PUT", "/usage", b" " * 100_000 + b"2", NDJSON)
    oldest.send(whole[:-50_000])
    second.send(whole[:-50_000])
    assert not oldest.paused and second.paused
    third = gateway.connect()
    third.send(chunked("PUT", "/usage", [b" " * 1_000])[:-5])
    assert third.paused
    assert gateway.ask(request("GET", "/health")).status == 200
    gateway.backend.usage.flush()
    assert not any(one.paused for one in (oldest, second, third))
    assert first.reply().status == 204
    gateway.backend.usage.by_hand = False
    second.send(whole[-50_000:])
    assert second.reply().status == 204
    oldest.send(whole[-50_000:])
    assert oldest.reply().status == 204
    third.hang_up()
    assert gateway.resource.door.memory.held == 0


def test_a_body_counts_with_what_it_is_decoded_to_and_the_others_wait_with_theirs() -> None:
    offload = HandOffload()
    gateway = Gateway(Limits(max_waiting=1_000_000, max_batch=1_000_000), offload=offload)
    gateway.backend.usage.by_hand = True
    body = gzip.compress(b'"' + b"x" * 900_000 + b'"\n')
    clients = [gateway.connect() for _ in range(4)]
    for client in clients:
        client.send(request("PUT", "/usage", body, "Content-Encoding: gzip", NDJSON))
    memory = gateway.resource.door.memory
    for client in clients:
        assert offload.run() == 1
        assert 900_000 < memory.held < 910_000
        gateway.backend.usage.flush()
        assert client.reply().status == 204
    assert memory.held == 0


def test_full_memory_is_told() -> None:
    gateway = Gateway(Limits(max_waiting=300_000))
    gateway.backend.usage.by_hand = True
    client = gateway.connect()
    client.send(request("PUT", "/usage", b'"' + b"x" * 300_000 + b'"'))
    for asked in (request("GET", "/ready"), request("PUT", "/usage", b" " * 70_000 + b"1")):
        reply = gateway.ask(asked)
        assert (reply.status, reply.problem["reason"], reply.header("retry-after")) == (503, "overloaded", "1")
    assert gateway.ask(request("GET", "/health")).status == 200
    gateway.backend.usage.flush()
    assert client.reply().status == 204
    assert gateway.ask(request("GET", "/ready")).status == 200
