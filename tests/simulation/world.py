"""One history: machines, a server, senders, and the faults of a plan. Owns the order in which things happen; what has to be
true in the end is in ``verdict.py``."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.values.failure import StoreError
from lf6gateway.values.slot import HOUR_NS
from lf6gateway.values.stream import Stream
from tests.simulation import damage, old_cache, verdict
from tests.simulation.chance import Chance
from tests.simulation.machine import Life, Machine, small_settings
from tests.simulation.network import Server
from tests.simulation.plan import Plan, drawn
from tests.simulation.sent import Sent, Wrong

START_NS = 490_000 * HOUR_NS + HOUR_NS - 90_000_000_000
"""A minute and a half before an hour's end."""
KEY_SURE_NS = 45 * 60 * 1_000_000_000
"""For so long a repetition of a key is certainly within its hour."""
USERS = ("alice", "bob")
STOP_S = 60.0
"""A stop may take so much longer than its deadline, in all its parts together."""
SECOND_NS = 1_000_000_000

_STATES = {
    "{key}: another writer was first": "lost a race and looked again",
    "{key}: its metadata do not tell": "read the members of an object",
    "{key}: gave up {count} unfinished uploads": "gave up parts that a crash left",
    "set aside, for it cannot be read": "set aside",
    "the {stream} journal could not be written": "closed a segment after an error",
    "{path}: {torn} bytes of an unfinished write": "cut a torn tail",
    "adopted what the Go gateway left": "adopted a Go cache",
    "store {store}: it works again": "a store came back",
    "{path} could not be sealed": "could not seal at first",
    "the idempotency keys of the last hour could not be read": "could not read the keys at first",
    "specimen {path}: {why}": "a specimen waited by itself",
    "the disk of {path} takes writes again": "tried a disk that had failed",
    "removed {count} specimens that were still coming in": "removed unfinished specimens",
}
"""Lines of the log that show which way the gateway went."""


class World:
    """See the module.

    :param plan: drawn from chance if ``None``.
    :param watched: told everything that happens, if given.
    """

    def __init__(
        self,
        chance: Chance,
        plan: Plan | None = None,
        *,
        without: Collection[str] = (),
        watched: Callable[[str], None] | None = None,
    ) -> None:
        self.chance = chance
        self.plan = plan = drawn(chance, without) if plan is None else plan
        self.wall = START_NS
        self.jumps = 0
        self.moments = 0
        self.log: list[str] = []
        self.requests: list[Sent] = []
        self.outstanding: list[Sent] = []
        self.acknowledgements = 0
        self.counts: Counter[str] = Counter()
        self.rotten: set[str] = set()
        """Files that were damaged, without what changes in their names."""
        self.errors: list[str] = []
        """What the gateway itself calls a failure of its own making."""
        self.server = Server(chance, plan.honours, self.counts)
        settings = small_settings(plan.segment_bytes, plan.max_bytes, plan.min_free_bytes)
        self.machines = [
            Machine(name, chance, self.server, settings, lambda: self.wall, self.counts)
            for name in ("one", "two")[: 1 + plan.twins]
        ]
        self.watched = watched
        for machine in self.machines:
            machine.probes = plan.probes
            if plan.old_cache:
                old_cache.leave(machine, self.requests, START_NS)
            if watched is not None:
                machine.watched = lambda what, name=machine.name: watched(f"{name}: {what}")
        if watched is not None:
            self.server.watched = lambda what: watched(f"s3: {what}")

    # The story.

    def run(self, steps: int) -> None:
        """A time of trouble, a time of calm, and the verdict."""
        self.trouble()
        for machine in self.machines:
            machine.start()
        for number in range(steps):
            self.server.down = number < self.plan.down
            self.step()
        self.calm()
        verdict.finish(self)
        verdict.judge(self)

    def trouble(self) -> None:
        """From now on things go wrong as planned."""
        for machine, faults in zip(self.machines, self.plan.faults, strict=False):
            machine.disk.calm = False
            machine.disk.faults = replace(faults)
        self.server.calm = False
        self.server.weather = self.plan.weather

    def calm(self) -> None:
        """From now on nothing goes wrong any more."""
        self.say("calm")
        self.server.calm = True
        self.server.down = False
        for machine in self.machines:
            machine.disk.calm = True
            machine.disk.faults.capacity = None

    def step(self) -> None:
        """One thing happens."""
        chance = self.chance
        plan = self.plan
        self.server.now = self.wall
        machine = chance.of(self.machines)
        life = machine.life
        if life is None:
            if chance(0.3):
                self.say(f"{machine.name} starts")
                machine.start()
            return
        if life.stopped:
            self.over(machine, life)
            return
        for what, rate in (("crash", plan.crash), ("kill", plan.kill)):
            if chance(rate):
                self.crash(machine, power=what == "crash")
                return
        if life.ready and life.stopping is None and chance(plan.stop):
            self.say(f"{machine.name} is asked to stop")
            self.counts["stopped in the middle"] += 1
            life.stop()
            return
        if chance(plan.jump):
            self.jump(chance.of((-7200, -30, 30, 1800, 3600, 7200)))
        if chance(plan.drop) and not any(one.life and one.life.stopping for one in self.machines):
            self._strip()
        if chance(plan.rot):
            self._rot(machine)
        if life.ready and life.stopping is None and chance(0.2):
            self.send(machine, life)
            return
        self._move(life)
        self.look()

    def look(self) -> None:
        """What must never be, at any moment.

        :raises Wrong: it is.
        """
        if self.errors:
            raise Wrong(f"the gateway met an error of its own: {self.errors[0]}")
        for machine in self.machines:
            life = machine.life
            if life is not None and life.stopping is not None and not life.stopped:
                deadline = life.gateway.settings.shutdown.deadline.seconds
                if life.clock.seconds() > life.asked_to_stop + deadline + STOP_S:
                    raise Wrong(f"{machine.name}: a stop goes on beyond its deadline")

    def crash(self, machine: Machine, *, power: bool, keep: float | None = None) -> None:
        """The process ends, or the power goes."""
        what = "power loss" if power else "kill"
        self.say(f"{machine.name}: {what}")
        self.counts[what] += 1
        machine.crash(power=power, keep=keep)
        self.outstanding = [sent for sent in self.outstanding if sent.machine is not machine]

    def over(self, machine: Machine, life: Life) -> None:
        """A process has ended by itself."""
        if machine.died_of is not None:
            self.counts["could not start"] += 1
            self.say(f"{machine.name} did not start: {machine.died_of.getErrorMessage()}")
            if not machine.died_of.check(OSError):
                raise Wrong(f"the start failed: {machine.died_of.getTraceback()}")
            machine.died_of = None
        machine.crash(power=False)

    def jump(self, seconds: int) -> None:
        """The wall clock is set."""
        self.say(f"the clock jumps by {seconds} s")
        self.counts["clock set back" if seconds < 0 else "clock set forward"] += 1
        self.jumps += 1
        self.go_by(seconds * SECOND_NS)
        for sent in self.outstanding:
            sent.doubtful = True

    def _strip(self) -> None:
        """Somebody copies an object onto itself, and its metadata are gone."""
        keys = sorted(key for key in self.server.objects if key.endswith(".gz"))
        if keys:
            key = self.chance.of(keys)
            thing = self.server.objects[key]
            self.server.objects[key] = replace(thing, metadata={}, etag=thing.etag + "x")
            self.counts["metadata removed"] += 1
            self.say(f"the metadata of {key} are removed")

    def _rot(self, machine: Machine) -> None:
        life = machine.life
        paths = damage.candidates(machine.disk)
        if paths:
            path = self.chance.of(paths)
            objects = {key: thing.data for key, thing in self.server.objects.items() if key.endswith(".gz")}
            grows = life is not None and life.grows(path)
            what = damage.damage(self.chance, machine.disk, path, self.requests, objects, grows=grows)
            self.note_damage(machine, path)
            self.say(f"{machine.name}: {what}")

    def note_damage(self, machine: Machine, path: str) -> None:
        """A file is damaged, and may be set aside."""
        self.rotten.add(verdict.origin(machine.name, path))
        kind = path.rpartition("/")[2].rpartition(".")[2]
        self.counts[f"damaged: {'ledger or spool.json' if kind == 'json' else '.' + kind}"] += 1

    def _move(self, life: Life) -> None:
        """Something goes on by itself: a thread, a message to the reactor, a request, or time."""
        chance = self.chance
        acts: list[Callable[[], None]] = []
        if life.jobs:
            acts += [lambda: self._job(life)] * 3
        if life.mail:
            acts += [lambda: self._mail(life)] * 3
        if self.server.flights:
            acts += [lambda: self.server.advance(chance.of(self.server.flights))] * 2
        if not acts or chance(0.1):
            acts = [lambda: self._time(life)]
        chance.of(acts)()

    def _job(self, life: Life) -> None:
        job = self.chance.of(life.jobs)
        job.switch()
        if job.dead:
            life.jobs.remove(job)

    def _mail(self, life: Life) -> None:
        call, arguments = life.mail.popleft()
        call(*arguments)

    def _time(self, life: Life) -> None:
        calls = life.clock.getDelayedCalls()
        if calls:
            self.advance(max(0.0, min(call.getTime() for call in calls) - life.clock.seconds()))

    def advance(self, seconds: float) -> None:
        """Time goes by, for all."""
        self.go_by(int(seconds * 1e9) + 1)
        for machine in self.machines:
            if machine.life is not None:
                machine.life.clock.advance(seconds)

    def go_by(self, ns: int) -> None:
        """The wall clock shows something else."""
        self.wall += ns
        for sent in self.outstanding:
            self._note_hour(sent)

    def _note_hour(self, sent: Sent) -> None:
        """A request that is under way now may be received in this hour."""
        life = sent.machine.life
        if life is not None and life.ready:
            sent.hours.add(max(self.wall, life.gateway.receiver._moments.last_ns + 1) // HOUR_NS)

    # In a plain order.

    def plain(self) -> bool:
        """The next thing happens, in a plain order, one effect or one message at a time; whether there was any."""
        self.moments += 1
        self.server.now = self.wall
        for machine in self.machines:
            life = machine.life
            if life is not None and life.mail:
                self._mail(life)
                return True
            if life is not None and life.jobs:
                job = life.jobs[0]
                job.switch()
                if job.dead:
                    life.jobs.remove(job)
                return True
        if self.server.flights:
            self.server.advance(self.server.flights[0])
            return True
        soonest = [
            call.getTime() - one.life.clock.seconds()
            for one in self.machines
            if one.life is not None
            for call in one.life.clock.getDelayedCalls()
        ]
        if soonest:
            self.advance(max(0.0, min(soonest)))
        return bool(soonest)

    def until(self, done: Callable[[], bool], what: str) -> None:
        """Go on in a plain order."""
        for _ in range(400_000):
            if done():
                self.look()
                return
            if not self.plain():
                raise Wrong(f"{what}: nothing goes on any more")
        raise Wrong(f"{what}: it does not come to an end")

    # Senders.

    def send(self, machine: Machine, life: Life) -> None:
        """A new request, or one with a key once more."""
        chance = self.chance
        again = [
            one
            for one in self.requests
            if one.machine is machine
            and one.key is not None
            and one.jumps == self.jumps
            and self.wall - one.first_ns < KEY_SURE_NS
            and not (one.stream is Stream.SPECIMEN and one.asked > 3)
        ]
        if again and chance(0.4):
            self.ask(chance.of(again), life)
            return
        stream = chance.of((Stream.USAGE, Stream.USAGE, Stream.ERROR, Stream.SPECIMEN))
        count = chance.of((1, 1, 3)) if stream is not Stream.SPECIMEN else 1
        sent = self.new(
            machine,
            stream,
            user=chance.of(USERS),
            keyed=chance(0.4),
            padding=[chance.of((10, 30, 60, 60, 5000)) for _ in range(count)],
        )
        self.ask(sent, life)

    def new(
        self, machine: Machine, stream: Stream, *, user: str = "alice", keyed: bool = False, padding: list[int]
    ) -> Sent:
        """A request that nobody has sent yet; one record for each padding."""
        number = len(self.requests)
        if stream is Stream.SPECIMEN:
            data = b"specimen %d " % number * (1 + padding[0] // 3)
        else:
            lines = [b'{"id":"%d.%d","p":"%s"}\n' % (number, part, b"x" * size) for part, size in enumerate(padding)]
            data = b"".join(lines)
        key = f"key-{number}" if keyed else None
        sent = Sent(number, stream, user, machine, len(padding), key, data, jumps=self.jumps, first_ns=self.wall)
        self.requests.append(sent)
        return sent

    def ask(self, sent: Sent, life: Life) -> None:
        """Send it to a machine that is ready."""
        receiver = life.gateway.receiver
        refusal = receiver.admission(len(sent.data))
        if refusal is not None:
            self.counts[f"refused: {refusal.reason}"] += 1
            return
        if self.watched is not None:
            self.watched(f"{sent.machine.name} <- {sent}")
        sent.asked += 1
        self._note_hour(sent)
        self.counts["requests"] += 1
        if receiver.repeated(sent.stream, sent.user, sent.key):
            self.counts["repeated key acknowledged"] += 1
            self._acknowledge(None, sent, life)
            return
        self.outstanding.append(sent)
        work = self._specimen(life, sent) if sent.stream is Stream.SPECIMEN else self._records(life, sent)
        Deferred.fromCoroutine(work).addCallbacks(
            self._acknowledge, self._refused, callbackArgs=(sent, life), errbackArgs=(sent, life)
        )

    async def _records(self, life: Life, sent: Sent) -> None:
        await life.gateway.receiver.records(
            sent.stream, user=sent.user, lines=sent.data, count=sent.count, key=sent.key, request_id="r"
        )

    async def _specimen(self, life: Life, sent: Sent) -> None:
        reception = life.gateway.receiver.specimen(
            user=sent.user, uri=f"file-{sent.number}.txt", content_type=None, key=sent.key, request_id="r"
        )
        half = len(sent.data) // 2
        reception.write(sent.data[:half])
        await reception.when_drained()
        reception.write(sent.data[half:])
        await reception.commit()

    def _acknowledge(self, _: object, sent: Sent, life: Life) -> None:
        if life.dead:
            return
        if sent in self.outstanding:
            self.outstanding.remove(sent)
        if sent.acknowledged is None:
            self.acknowledgements += 1
            sent.acknowledged = self.acknowledgements
            self.counts["acknowledged"] += 1
            self.counts["records acknowledged"] += sent.count
        if self.watched is not None:
            self.watched(f"{sent.machine.name} -> acknowledged: {sent}")

    def _refused(self, failure: Failure, sent: Sent, life: Life) -> None:
        if life.dead:
            return
        self.outstanding.remove(sent)
        error = failure.value
        if isinstance(error, SpoolUnavailable):
            self.counts[f"failed: {error.reason}"] += 1
        elif not isinstance(error, CancelledError):
            self.errors.append(f"a request failed in an unforeseen way: {failure.getTraceback()}")

    def say(self, what: str) -> None:
        """Into the log of this history."""
        self.log.append(what)
        if self.watched is not None:
            self.watched(what)

    def hear(self, event: dict[str, Any]) -> None:
        """A line of the gateway's own log."""
        text = event.get("log_format") or ""
        for front, state in _STATES.items():
            if text.startswith(front):
                self.counts[f"gateway: {state}"] += 1
        if text.startswith("set aside") and "the rest is delivered" in str(event.get("why")):
            self.counts["gateway: salvaged what can be read"] += 1
        failure = event.get("log_failure")
        if event["log_level"] is LogLevel.critical and not (failure and failure.check(OSError, StoreError)):
            trace = failure.getTraceback() if failure else ""
            self.errors.append(f"{text} {event.get('what', '')} {trace}")


@cache
def _freeze() -> None:
    """What was there before the first history is not looked through each time."""
    gc.collect()
    gc.freeze()


@contextmanager
def laid_to_rest(world: World) -> Iterator[None]:
    """Hear the gateway's log; and when all is over, let what is left of every life unwind, unheard and unseen.

    A life that was killed leaves coroutines in the middle. When they are collected, their ``finally`` clauses run and
    wait for things that nobody will bring them, which Python calls an ignored ``GeneratorExit``; and what failed in them
    is never told to anyone, which Twisted calls an unhandled error. Both are as they should be, for the dead."""
    heard = globalLogPublisher._observers
    globalLogPublisher._observers = [world.hear]
    was_on = gc.isenabled()
    gc.disable()  # nothing unwinds while others go on
    _freeze()
    hook = sys.unraisablehook
    try:
        yield
    finally:
        globalLogPublisher._observers = []
        sys.unraisablehook = lambda args: None if _of_the_dead(args.exc_value) else hook(args)
        for machine in world.machines:
            if machine.life is not None:
                machine.crash(power=False)
            machine.lives.clear()
        world.server.flights.clear()
        world.outstanding.clear()
        gc.collect()
        sys.unraisablehook = hook
        globalLogPublisher._observers = heard
        if was_on:
            gc.enable()


def _of_the_dead(error: BaseException | None) -> bool:
    return isinstance(error, RuntimeError) and str(error) == "coroutine ignored GeneratorExit"


def history(
    chance: Chance,
    steps: int,
    without: Collection[str] = (),
    watched: Callable[[str], None] | None = None,
) -> Counter[str]:
    """One history to its end; what happened in it.

    :raises Wrong: a promise was broken.
    """
    world = World(chance, without=without, watched=watched)
    with laid_to_rest(world):
        try:
            world.run(steps)
        except Wrong as wrong:
            wrong.add_note("\n".join(world.log[-60:]))
            raise
    world.counts["histories"] = 1
    world.counts["twin hosts"] = int(world.plan.twins)
    world.counts["s3 without conditions"] = int(not world.plan.guarded)
    return world.counts
