"""Any bit flipped and any cut, anywhere in any file of a spool: it is recovered exactly, or set aside with the rest intact,
and is counted."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lf6gateway.values.stream import Stream
from tests.simulation import damage, verdict
from tests.simulation.chance import Chance
from tests.simulation.disk import Inode
from tests.simulation.plan import Plan
from tests.simulation.world import World, laid_to_rest

FILES = (
    "spool.json",
    "error/2025112416/00000001.seg",
    "specimen/2025112416/key.key",
    "specimen/2025112416/spec.spec",
    "usage/2025112416/00000001.gz",
    "usage/2025112416/00000001.keys",
    "usage/2025112416/00000002.gz",
    "usage/2025112416/00000002.keys",
    "usage/2025112416/ledger.json",
)


def spool() -> World:
    """A dead machine with every kind of file on its disk, part of it shipped already."""
    world = World(Chance(3), Plan())
    machine = world.machines[0]

    def send(stream: Stream, count: int = 1, *, keyed: bool = False) -> None:
        assert machine.life is not None
        sent = world.new(machine, stream, keyed=keyed, padding=[30] * count)
        world.ask(sent, machine.life)
        world.until(lambda: sent.acknowledged is not None, "an answer")

    def wait(seconds: int) -> None:
        end = world.wall + seconds * 1_000_000_000
        world.until(lambda: world.wall >= end, "some time")

    machine.start()
    world.until(lambda: machine.life is not None and machine.life.ready, "a start")
    send(Stream.USAGE, keyed=True)
    send(Stream.SPECIMEN, keyed=True)
    wait(62)
    world.server.down = True
    send(Stream.USAGE, 3)
    send(Stream.USAGE, keyed=True)
    send(Stream.SPECIMEN)
    world.until(lambda: machine.disk.files("/cache/spool/usage/2025112416/00000002-") != [], "a segment")
    assert machine.life is not None
    machine.life.gateway.assembly.seals[Stream.USAGE].seal_now()
    wait(3)
    send(Stream.ERROR)
    send(Stream.ERROR, 2)
    send(Stream.ERROR)
    machine.crash(power=True, keep=1.0)
    world.server.down = False
    return world


def short(path: str) -> str:
    """A file's name without what differs."""
    folder, _, name = path.removeprefix("/cache/").removeprefix("spool/").rpartition("/")
    stem, _, ending = name.rpartition(".")
    if folder.startswith("specimen"):
        stem = ending
    return f"{folder}/{stem.partition('-')[0]}.{ending}".lstrip("/")


def cut(inode: Inode, at: int) -> None:
    del inode.data[at:]
    inode.durable = bytes(inode.data)


def end_of(world: World) -> int:
    """How many files the rest of the story sets aside, or cuts as a torn tail."""
    world.machines[0].start()
    verdict.finish(world)
    verdict.judge(world)
    return world.counts["files in quarantine"] + world.counts["gateway: cut a torn tail"]


def test_the_spool_has_every_kind_of_file() -> None:
    world = spool()
    with laid_to_rest(world):
        assert tuple(sorted(map(short, damage.candidates(world.machines[0].disk)))) == tuple(sorted(FILES))
        assert end_of(world) == 0
        assert not any(sent.hurt for sent in world.requests)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(file=st.sampled_from(FILES), place=st.floats(0, 1, exclude_max=True), bit=st.none() | st.integers(0, 7))
def test_damage_anywhere_costs_no_more_than_what_it_hit_and_is_counted(
    file: str, place: float, bit: int | None
) -> None:
    world = spool()
    machine = world.machines[0]
    with laid_to_rest(world):
        (path,) = [path for path in damage.candidates(machine.disk) if short(path) == file]
        inode = machine.disk.inode(path)
        size = len(inode.data)
        at = int(place * size)
        end = size if bit is None else at + 1
        objects = {key: thing.data for key, thing in world.server.objects.items() if key.endswith(".gz")}
        damage.cost(machine.disk, path, at, end, world.requests, objects, forgets=bit is None)
        world.note_damage(machine, path)
        if bit is None:
            cut(inode, at)
        else:
            damage.flip(inode, at, bit)
        told = end_of(world)
        found = {number for thing in world.server.objects.values() for number in _requests(thing.data)}
        missing = [sent for sent in world.requests if sent.stream is not Stream.SPECIMEN and sent.number not in found]
        assert all(sent.hurt for sent in missing)
        # A file cut where a record ends cannot be told from one that never was longer.
        assert told or not missing or (bit is None and file.endswith(".seg"))


def _requests(data: bytes) -> list[int]:
    return list(damage.numbers(data)) if data.startswith(b"\x1f\x8b") else []
