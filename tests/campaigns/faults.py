"""Each kind of fault: what is done, for how long, and how it is undone."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

import yaml

from tests.blackbox.gateway import Gateway
from tests.campaigns.load import Sent
from tests.campaigns.plant import Plant, await_start, descriptors, lock_it_up, pid_of, second_daemon
from tests.campaigns.relay import MODES


@dataclass
class Scene:
    """What a fault has to do with.

    :param found: what was seen that must not be, in words.
    """

    plant: Plant
    chance: Random
    sent: Sent
    over: threading.Event
    found: list[str]

    def wait(self, seconds: float) -> None:
        self.over.wait(seconds)

    def gateway(self) -> Gateway:
        return self.chance.choice(self.plant.gateways)


NOT_ACCEPTED = "Could not accept new connection"
"""What the log has of each attempt that found no descriptor."""

Fault = Callable[[Scene, float], None]
"""Does it, waits about so many seconds, and undoes it."""


def kill(scene: Scene, seconds: float) -> None:
    gateway = scene.gateway()
    gateway.kill()
    scene.wait(scene.chance.choice((0.0, seconds / 2)))
    await_start(gateway)


def stop(scene: Scene, seconds: float) -> None:
    """In an orderly way, perhaps a hurried one."""
    gateway = scene.gateway()
    assert gateway.process is not None
    gateway.process.send_signal(signal.SIGTERM)
    if scene.chance.random() < 0.5:
        scene.wait(seconds / 4)
        gateway.process.send_signal(signal.SIGTERM)
    status = gateway.process.wait(330)
    if status:
        scene.found.append(f"a stop ended with status {status}")
    await_start(gateway)


def kill_s3(scene: Scene, seconds: float) -> None:
    scene.plant.s3.kill()
    scene.wait(seconds)
    scene.plant.s3.start()


def freeze(scene: Scene, seconds: float) -> None:
    gateway = scene.gateway()
    os.kill(pid_of(gateway), signal.SIGSTOP)
    scene.wait(seconds)
    os.kill(pid_of(gateway), signal.SIGCONT)


def freeze_s3(scene: Scene, seconds: float) -> None:
    scene.plant.s3.pause()
    scene.wait(seconds)
    scene.plant.s3.resume()


def relay(mode: str) -> Fault:
    def through(scene: Scene, seconds: float) -> None:
        scene.plant.relay.mode = mode
        scene.wait(seconds)
        if scene.chance.random() < 0.3:
            kill(scene, seconds)
        scene.plant.relay.join()

    return through


def full_disk(scene: Scene, seconds: float) -> None:
    """By somebody else's file, while S3 is away; where nothing can be mounted, by a limit of the spool."""
    disk, gateway = scene.plant.disk, scene.plant.gateways[0]
    scene.plant.relay.cut()
    if disk is None:
        with _settings(gateway, spool={"max_bytes": "1MiB", "max_waiting_bytes": "64KiB"}):
            scene.wait(seconds)
    else:
        disk.fill(leave=scene.chance.choice((0, 0, 1 << 20, 9 << 20)))
        scene.wait(seconds)
        if scene.chance.random() < 0.3:
            gateway.kill()
            await_start(gateway)
        disk.give_back()
    scene.plant.relay.join()


def clock(scene: Scene, seconds: float) -> None:
    """Back and forth, by less than an hour, by more, and at last to what it was."""
    for offset in (scene.chance.choice((-7200, -600, 600)), scene.chance.choice((3700, 86_400, -60)), 0):
        scene.sent.clock_moves += 1
        scene.plant.move_clock(offset)
        scene.wait(seconds / 3)
    scene.sent.clock_moves += 1


def same_cache(scene: Scene, seconds: float) -> None:
    gateway = scene.gateway()
    run = second_daemon(gateway)
    if run.returncode != 1 or str(pid_of(gateway)) not in run.stderr:
        scene.found.append(f"a second daemon on one cache directory ended with {run.returncode}: {run.stderr[-300:]}")


def no_descriptors(scene: Scene, seconds: float) -> None:
    """The process may open none more, and has more connections waiting than it could take."""
    gateway = scene.gateway()
    pid = pid_of(gateway)
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (descriptors(gateway) + scene.chance.choice((0, 1, 5)), before[1]))
    with contextlib.ExitStack() as open_ones:
        for _ in range(50):
            with contextlib.suppress(OSError):
                open_ones.enter_context(socket.create_connection(("127.0.0.1", gateway.port), 5))
        begun, told = time.monotonic(), gateway.log.read_text().count(NOT_ACCEPTED)
        scene.wait(seconds)
        often = (gateway.log.read_text().count(NOT_ACCEPTED) - told) / (time.monotonic() - begun)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    if often > 50:
        scene.found.append(f"with no descriptor left the daemon tried to accept {often:.0f} times a second")


def read_only(scene: Scene, seconds: float) -> None:
    gateway = scene.gateway()
    lock_it_up(gateway, locked=True)
    scene.wait(seconds)
    if scene.chance.random() < 0.3:
        gateway.kill()
    lock_it_up(gateway, locked=False)
    if gateway.process is not None and gateway.process.poll() is not None:
        await_start(gateway)


def reload(scene: Scene, seconds: float) -> None:
    """Another configuration, a wrong one, the first again."""
    gateway = scene.gateway()
    with _settings(gateway, http={"max_report": "100KiB"}, aggregation={"usage_interval": "300ms"}):
        scene.wait(seconds / 2)
    text = gateway.config.read_text()
    gateway.config.write_text("nonsense: 1\n")
    os.kill(pid_of(gateway), signal.SIGHUP)
    scene.wait(seconds / 2)
    gateway.config.write_text(text)


@contextmanager
def _settings(gateway: Gateway, **changed: dict[str, str]) -> Iterator[None]:
    text = gateway.config.read_text()
    settings = yaml.safe_load(text)
    for section, values in changed.items():
        settings[section] = {**settings.get(section, {}), **values}
    gateway.config.write_text(yaml.safe_dump(settings))
    os.kill(pid_of(gateway), signal.SIGHUP)
    yield
    gateway.config.write_text(text)
    os.kill(pid_of(gateway), signal.SIGHUP)


FAULTS: dict[str, Fault] = {
    "kill -9 of a gateway": kill,
    "stop and start of a gateway": stop,
    "kill -9 of S3": kill_s3,
    "SIGSTOP of a gateway": freeze,
    "SIGSTOP of S3": freeze_s3,
    **{f"network: {mode}": relay(mode) for mode in MODES if mode != "pass"},
    "full disk": full_disk,
    "clock back and forth": clock,
    "second daemon on one cache": same_cache,
    "no descriptors left": no_descriptors,
    "cache read-only": read_only,
    "reload": reload,
}
NEEDS = {"cache read-only": "permissions that bind root"}
"""What of ``Plant.missing`` a kind cannot do without."""
EXACTLY = frozenset({"SIGSTOP of a gateway", "SIGSTOP of S3"})
"""The kinds that the long form draws out to a minute now and then."""
